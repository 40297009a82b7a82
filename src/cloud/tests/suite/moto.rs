//! moto, one server for all tests of this process. Its transitions are instant.

use aws_sdk_ec2::{
    Client,
    types::{InstanceType, ResourceType, Tag as SdkTag, TagSpecification},
};
use booking_cloud::{Ec2, Tag};
use testbed::{ec2::InstanceState, moto::MotoServer};
use tokio::sync::{Mutex, MutexGuard};

use super::backend::{Backend, Kind, unique_group_tag};
use crate::common;

/// moto checks no image.
const IMAGE: &str = "ami-12c6146b";

/// moto answers 500 if one request walks through its machines while another adds some ("dictionary changed size during
/// iteration"), so its tests run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub struct Moto {
    _alone: MutexGuard<'static, ()>,
    client: Client,
    ec2: Ec2,
    group_tag: String,
}

impl Moto {
    pub async fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let server = MotoServer::shared().await.unwrap_or_else(|error| panic!("no moto to test on: {error}"));
        let url = server.url();
        let group_tag = unique_group_tag();
        let ec2 = common::ec2(url, &group_tag);
        Self { _alone: alone, client: Client::new(&common::config(url)), ec2, group_tag }
    }

    async fn run(&self, count: usize, tags: &[Tag]) -> Vec<String> {
        let count = i32::try_from(count).unwrap();
        let tags: Vec<SdkTag> =
            tags.iter().map(|(key, value)| SdkTag::builder().key(key).value(value).build()).collect();
        // A specification without tags is refused.
        let tags = (!tags.is_empty()).then(|| {
            let instances = TagSpecification::builder().resource_type(ResourceType::Instance);
            vec![instances.set_tags(Some(tags)).build()]
        });
        let call = self.client.run_instances().image_id(IMAGE).instance_type(InstanceType::T3Micro);
        let answer = call.min_count(count).max_count(count).set_tag_specifications(tags).send().await;
        answer.unwrap().instances().iter().map(|i| i.instance_id().unwrap().to_owned()).collect()
    }
}

impl Backend for Moto {
    fn kind(&self) -> Kind {
        Kind::Moto
    }

    fn ec2(&self) -> &Ec2 {
        &self.ec2
    }

    fn group_tag(&self) -> &str {
        &self.group_tag
    }

    async fn add(&self, count: usize, state: InstanceState, tags: &[Tag]) -> Vec<String> {
        let ids = self.run(count, tags).await;
        let named = Some(ids.clone());
        match state {
            InstanceState::Running => {}
            InstanceState::Stopped => {
                self.client.stop_instances().set_instance_ids(named).send().await.unwrap();
            }
            InstanceState::Terminated => {
                self.client.terminate_instances().set_instance_ids(named).send().await.unwrap();
            }
            state => panic!("moto has no machine that is {}", state.name()),
        }
        ids
    }

    fn settle(&self) {}

    fn calls(&self) -> Option<usize> {
        None
    }
}
