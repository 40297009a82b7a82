//! The EC2 simulator, a fresh one for each test. Its clock stands still.

use std::time::Duration;

use booking_cloud::{Ec2, Tag};
use testbed::ec2::{AddInstances, CallQuery, Ec2Config, Ec2Simulator, InstanceState};

use super::backend::{Backend, Kind, unique_group_tag};
use crate::common;

pub struct Simulator {
    server: Ec2Simulator,
    ec2: Ec2,
    group_tag: String,
}

impl Simulator {
    pub async fn start() -> Self {
        let server = Ec2Simulator::start(Ec2Config::default().virtual_clock()).await.unwrap();
        let group_tag = unique_group_tag();
        let ec2 = common::ec2(&server.url(), &group_tag);
        Self { server, ec2, group_tag }
    }
}

impl Backend for Simulator {
    fn kind(&self) -> Kind {
        Kind::Simulator
    }

    fn ec2(&self) -> &Ec2 {
        &self.ec2
    }

    fn group_tag(&self) -> &str {
        &self.group_tag
    }

    async fn add(&self, count: usize, state: InstanceState, tags: &[Tag]) -> Vec<String> {
        let add = AddInstances { tags: tags.iter().cloned().collect(), ..AddInstances::count(count) };
        self.server.world().add_instances(&add.state(state)).unwrap()
    }

    fn settle(&self) {
        self.server.world().advance(Duration::from_mins(1)).unwrap();
    }

    fn calls(&self) -> Option<usize> {
        Some(self.server.world().calls(&CallQuery::default()).calls.len())
    }
}
