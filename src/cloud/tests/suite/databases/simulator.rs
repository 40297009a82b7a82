//! The simulator, a fresh one for each test. Its clock stands still.

use std::time::Duration;

use booking_cloud::{Rds, Tag};
use testbed::{
    ec2::{CallQuery, Ec2Config, Ec2Simulator},
    rds::{AddDbCluster, AddDbInstance},
};

use super::{Databases, Kind, unique_group_tag};
use crate::common;

pub struct Simulator {
    server: Ec2Simulator,
    rds: Rds,
    group_tag: String,
}

impl Simulator {
    pub async fn start() -> Self {
        let server = Ec2Simulator::start(Ec2Config::default().virtual_clock()).await.unwrap();
        let group_tag = unique_group_tag();
        let rds = Rds::new(&common::config(&server.url()), "", &group_tag);
        Self { server, rds, group_tag }
    }
}

impl Databases for Simulator {
    fn kind(&self) -> Kind {
        Kind::Simulator
    }

    fn rds(&self) -> &Rds {
        &self.rds
    }

    fn group_tag(&self) -> &str {
        &self.group_tag
    }

    async fn add(&self, name: &str, tags: &[Tag]) -> String {
        let add = AddDbInstance { tags: tags.iter().cloned().collect(), ..AddDbInstance::new(name) };
        self.server.world().add_db_instance(&add).unwrap()
    }

    async fn add_replica(&self, name: &str, of: &str, tags: &[Tag]) -> String {
        let tags = tags.iter().cloned().collect();
        let add = AddDbInstance { tags, read_replica_of: Some(of.to_owned()), ..AddDbInstance::new(name) };
        self.server.world().add_db_instance(&add).unwrap()
    }

    async fn add_cluster(&self, name: &str, tags: &[Tag]) -> (String, String) {
        let world = self.server.world();
        let tags: testbed::ec2::Tags = tags.iter().cloned().collect();
        let cluster = AddDbCluster { tags: tags.clone(), ..AddDbCluster::new(name) };
        let cluster = world.add_db_cluster(&cluster).unwrap();
        let of = Some(name.to_owned());
        let member = AddDbInstance { tags, cluster: of, ..AddDbInstance::new(&format!("{name}-1")) };
        (cluster, world.add_db_instance(&member).unwrap())
    }

    fn settle(&self) {
        self.server.world().advance(Duration::from_mins(10)).unwrap();
    }

    fn describes(&self) -> Option<usize> {
        let calls = self.server.world().calls(&CallQuery::default()).calls;
        Some(calls.iter().filter(|call| call.facts.action.starts_with("Describe")).count())
    }
}
