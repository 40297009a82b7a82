//! Tests of the databases without input or output, and over HTTP.

mod describe;
mod life;
mod wire;

use std::time::Duration;

use super::actions::{Answer, Request};
use super::arn::Kind;
use super::databases::Databases;
use super::model::{AddDbCluster, AddDbInstance, DbInstanceView};
use crate::ec2::actions::Power;
use crate::ec2::{ApiError, DEFAULT_ACCOUNT, DEFAULT_REGION, Scope, Settings, SimTime};

const MINUTE: u64 = 60_000;
const WEEK: u64 = 7 * 24 * 60 * MINUTE;

fn scope() -> Scope {
    Scope { account: DEFAULT_ACCOUNT.to_owned(), region: DEFAULT_REGION.to_owned() }
}

/// So many milliseconds into the test.
fn at(ms: u64) -> SimTime {
    SimTime::from_unix_micros(1_767_225_600_000_000).after(Duration::from_millis(ms))
}

/// The databases, at the beginning of the test.
fn with(clusters: &[AddDbCluster], instances: &[AddDbInstance]) -> Databases {
    let mut databases = Databases::default();
    for add in clusters {
        databases.add_cluster(at(0), add, &Settings::default()).unwrap();
    }
    for add in instances {
        databases.add_instance(at(0), add, &Settings::default()).unwrap();
    }
    databases
}

fn power(databases: &mut Databases, ms: u64, kind: Kind, power: Power, name: &str) -> Result<(), ApiError> {
    let request = Request::Power(kind, power, name.to_owned());
    databases.carry_out(at(ms), &scope(), request, &Settings::default()).map(drop)
}

fn instance(databases: &Databases, ms: u64, name: &str) -> DbInstanceView {
    let found = databases.instances.iter().find(|(arn, _)| arn.identifier == name);
    found.map(|(arn, instance)| instance.view(at(ms), arn)).unwrap()
}

fn status(databases: &Databases, ms: u64, name: &str) -> String {
    instance(databases, ms, name).status
}

fn cluster_status(databases: &Databases, ms: u64, name: &str) -> String {
    let found = databases.clusters.iter().find(|(arn, _)| arn.identifier == name);
    found.map(|(arn, cluster)| cluster.view(at(ms), arn)).unwrap().status
}
