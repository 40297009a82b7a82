//! Opens the clouds of AWS. This is the only part of [`aws`](super) that knows its services.

use std::sync::Arc;

use async_trait::async_trait;
use booking_decision::impossible;

use super::{Aws, Cloud, Clouds};
use crate::{ec2::Ec2, provider::Provider, rds::Rds};

#[async_trait]
impl Clouds for Aws {
    fn region(&self) -> &str {
        &self.region
    }

    async fn open(&self, Cloud { key, external_id }: &Cloud) -> Arc<dyn Provider> {
        let config = self.config(&key.account, &key.region, external_id.as_deref()).await;
        match key.service.as_str() {
            "rds" => Arc::new(Rds::new(&config, &key.account, &self.group_tag)),
            "ec2" => Arc::new(Ec2::new(&config, &key.account, &self.group_tag)),
            _ => {
                impossible("aws.service");
                Arc::new(Ec2::new(&config, &key.account, &self.group_tag))
            }
        }
    }
}
