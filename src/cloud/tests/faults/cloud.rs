//! A simulator with machines of one group, and the calls that it got.

use booking_cloud::{CloudError, Ec2, Instance, Provider, Results};
use testbed::ec2::{
    AddInstances, CallQuery, CallRecord, Ec2Config, Ec2Simulator, FaultEffect, FaultRule, InstanceState,
};

use crate::common;

pub const GROUP_TAG: &str = "group";
pub const GROUP: &str = "a";

pub struct Cloud {
    pub simulator: Ec2Simulator,
    pub ec2: Ec2,
}

impl Cloud {
    /// Its clock stands still.
    pub async fn start() -> Self {
        Self::with(Ec2Config::default().virtual_clock()).await
    }

    pub async fn with(config: Ec2Config) -> Self {
        let simulator = Ec2Simulator::start(config).await.unwrap();
        let ec2 = common::ec2(&simulator.url(), GROUP_TAG);
        Self { simulator, ec2 }
    }

    /// Adds stopped machines of the group.
    pub fn stopped(&self, count: usize) -> Vec<String> {
        self.stopped_in("eu-central-1a", count)
    }

    pub fn stopped_in(&self, zone: &str, count: usize) -> Vec<String> {
        let add = AddInstances::count(count).tag(GROUP_TAG, GROUP).state(InstanceState::Stopped);
        let add = AddInstances { zone: Some(zone.to_owned()), ..add };
        self.simulator.world().add_instances(&add).unwrap()
    }

    /// Spoils all calls of an action.
    pub fn spoil(&self, rule: FaultRule) {
        self.simulator.world().add_fault(rule);
    }

    pub fn calls(&self) -> Vec<CallRecord> {
        self.simulator.world().calls(&CallQuery::default()).calls
    }

    pub fn state(&self, id: &str) -> InstanceState {
        self.simulator.world().instance(id).unwrap().state
    }

    pub async fn describe(&self) -> Result<Vec<Instance>, CloudError> {
        self.ec2.describe(&[GROUP.to_owned()]).await
    }
}

pub fn error(code: &str) -> FaultEffect {
    FaultEffect::error(code, "as the test wants it")
}

/// The error of the only machine of a mutation.
pub fn only_error(results: Results) -> CloudError {
    assert_eq!(results.len(), 1, "{results:?}");
    results.into_values().next().unwrap().unwrap_err()
}

/// Which machines failed, in order.
pub fn failed(results: &Results) -> Vec<&str> {
    results.iter().filter(|(_, result)| result.is_err()).map(|(id, _)| id.as_str()).collect()
}
