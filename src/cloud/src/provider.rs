//! The provider trait and its vocabulary.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{error::CloudError, permit::Permit};

/// What tells one cloud from another: calls to different clouds share neither tokens nor fate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloudKey {
    /// Account or role; empty for the credentials of the process itself.
    pub account: String,
    /// Region, for example `eu-central-1`.
    pub region: String,
    /// Service, for example `ec2`.
    pub service: String,
}

/// A tag: key and value.
pub type Tag = (String, String);

/// One result per machine of a mutation.
pub type Results = BTreeMap<String, Result<(), CloudError>>;

/// State of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Shutting down for good, or gone.
    Terminated,
}

/// A machine, as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in this state, `code: message`.
    pub state_reason: Option<String>,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

/// A cloud: one account or role, one region, one service.
///
/// Mutations are idempotent, so any may be repeated when its outcome is unknown. Each takes a permit
/// that is checked before every attempt, and answers once per machine: one that cannot follow does not
/// fail the others. Every call is bounded in time.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Which cloud this is.
    fn key(&self) -> &CloudKey;

    /// All machines of these groups (values of the group tag), from all pages. An empty list of
    /// groups costs no call and has no machines. A machine appears once; terminated ones may appear.
    ///
    /// # Errors
    /// When any page fails: half a group must not pass for the whole.
    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError>;

    /// All machines that carry this tag and one that marks a group, from all pages. A machine appears once;
    /// terminated ones may appear.
    ///
    /// # Errors
    /// When any page fails.
    async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError>;

    /// Starts machines.
    async fn start(&self, permit: &dyn Permit, ids: &[String]) -> Results;

    /// Stops machines.
    async fn stop(&self, permit: &dyn Permit, ids: &[String]) -> Results;

    /// Sets tags on machines, replacing values of the same keys.
    async fn tag(&self, permit: &dyn Permit, ids: &[String], tags: &[Tag]) -> Results;

    /// Removes tags from machines where they hold exactly these values.
    async fn untag(&self, permit: &dyn Permit, ids: &[String], tags: &[Tag]) -> Results;
}
