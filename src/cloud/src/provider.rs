//! The provider trait and its vocabulary.

use std::{collections::BTreeMap, time::SystemTime};

use async_trait::async_trait;

use crate::error::CloudError;
use booking_decision::permit::Permit;

/// What tells one cloud from another: calls to different clouds share neither tokens nor fate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloudKey {
    /// ARN of the role to assume; empty for the credentials of the process itself.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// On its way to running; unknown states count as this.
    #[default]
    Pending,
    /// Running.
    Running,
    /// Running, and at something during which it can be neither started nor stopped.
    Busy,
    /// On its way to stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Of no use before a person has mended it: neither started nor stopped.
    Broken,
    /// Shutting down for good, or gone.
    Terminated,
}

/// A machine, as described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its id: EC2's, or the ARN of a database.
    pub id: String,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in this state, `code: message`; of a database its status, where the state does not tell it.
    pub state_reason: Option<String>,
    /// What it is a part of, for people, if it is not started and stopped by itself: "DB cluster web".
    pub part_of: Option<String>,
    /// Why it cannot be stopped, for people.
    pub unstoppable: Option<String>,
    /// When the cloud will start it by itself.
    pub restarts_at: Option<SystemTime>,
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

    /// Removes tags from machines where they hold exactly these values. Where the cloud cannot compare by itself
    /// (RDS), they are looked at right before.
    async fn untag(&self, permit: &dyn Permit, ids: &[String], tags: &[Tag]) -> Results;
}
