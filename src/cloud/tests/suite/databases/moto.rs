//! moto, one server for all tests of this process. Its transitions are instant.

use aws_sdk_rds::{Client, types::Tag as SdkTag};
use booking_cloud::{Rds, Tag};
use testbed::moto::MotoServer;
use tokio::sync::{Mutex, MutexGuard};

use super::{Databases, Kind, unique_group_tag};
use crate::common;

/// moto cannot list databases while it adds some, so its tests run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub struct Moto {
    _alone: MutexGuard<'static, ()>,
    client: Client,
    rds: Rds,
    group_tag: String,
}

impl Moto {
    pub async fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let server = MotoServer::shared().await.unwrap_or_else(|error| panic!("no moto to test on: {error}"));
        let config = common::config(server.url());
        let group_tag = unique_group_tag();
        let rds = Rds::new(&config, "", &group_tag);
        Self { _alone: alone, client: Client::new(&config), rds, group_tag }
    }

    async fn add_to(&self, cluster: Option<&str>, name: &str, tags: &[Tag]) -> String {
        let engine = if cluster.is_some() { "aurora-postgresql" } else { "postgres" };
        let call = self.client.create_db_instance().db_instance_identifier(name).engine(engine);
        let call = call.db_instance_class("db.t3.micro").allocated_storage(20).set_tags(Some(sdk_tags(tags)));
        let call = call.master_username("root").master_user_password("a-long-one");
        let answer = call.set_db_cluster_identifier(cluster.map(ToOwned::to_owned)).send().await.unwrap();
        answer.db_instance().unwrap().db_instance_arn().unwrap().to_owned()
    }
}

fn sdk_tags(tags: &[Tag]) -> Vec<SdkTag> {
    tags.iter().map(|(key, value)| SdkTag::builder().key(key).value(value).build()).collect()
}

impl Databases for Moto {
    fn kind(&self) -> Kind {
        Kind::Moto
    }

    fn rds(&self) -> &Rds {
        &self.rds
    }

    fn group_tag(&self) -> &str {
        &self.group_tag
    }

    async fn add(&self, name: &str, tags: &[Tag]) -> String {
        self.add_to(None, name, tags).await
    }

    async fn add_replica(&self, name: &str, of: &str, tags: &[Tag]) -> String {
        let call = self.client.create_db_instance_read_replica().db_instance_identifier(name);
        let call = call.source_db_instance_identifier(of).set_tags(Some(sdk_tags(tags)));
        let answer = call.send().await.unwrap();
        answer.db_instance().unwrap().db_instance_arn().unwrap().to_owned()
    }

    async fn add_cluster(&self, name: &str, tags: &[Tag]) -> (String, String) {
        let call = self.client.create_db_cluster().db_cluster_identifier(name).engine("aurora-postgresql");
        let call = call.master_username("root").master_user_password("a-long-one");
        let answer = call.set_tags(Some(sdk_tags(tags))).send().await.unwrap();
        let cluster = answer.db_cluster().unwrap().db_cluster_arn().unwrap().to_owned();
        let member = self.add_to(Some(name), &format!("{name}-1"), tags).await;
        (cluster, member)
    }

    fn settle(&self) {}

    fn describes(&self) -> Option<usize> {
        None
    }
}
