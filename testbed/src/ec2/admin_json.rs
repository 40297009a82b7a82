//! The messages between the simulator and an administrator in another process.

use serde::{Deserialize, Serialize};

use super::model::{FallsBack, InstanceState, StateReason, Tags};

/// Ids of instances.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ids {
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChangeTags {
    pub(crate) ids: Vec<String>,
    pub(crate) set: Tags,
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetState {
    pub(crate) ids: Vec<String>,
    pub(crate) state: InstanceState,
    #[serde(default)]
    pub(crate) reason: Option<StateReason>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetFallsBack {
    pub(crate) ids: Vec<String>,
    #[serde(default)]
    pub(crate) falls_back: Option<FallsBack>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetAccount {
    pub(crate) account: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advance {
    pub(crate) ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FaultId {
    pub(crate) id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) error: String,
}
