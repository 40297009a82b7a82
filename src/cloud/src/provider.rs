//! The provider trait and its vocabulary.

use std::{collections::BTreeMap, time::SystemTime};

use async_trait::async_trait;
use booking_budget::Action;

use crate::error::CloudError;
use booking_decision::permit::Permit;

/// Identifies a cloud. Calls to different clouds share no tokens, and trouble of one does not affect the others.
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

/// A change to machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Starts them.
    Start,
    /// Stops them.
    Stop,
    /// Sets tags, and replaces the values of keys that are there already.
    Tag(Vec<Tag>),
    /// Removes tags, but only those that hold exactly these values. RDS cannot compare values, so the provider reads
    /// them immediately before.
    Untag(Vec<Tag>),
}

impl Mutation {
    /// The action whose budget pays for it.
    pub fn action(&self) -> Action {
        match self {
            Self::Start => Action::Start,
            Self::Stop => Action::Stop,
            Self::Tag(_) => Action::Tag,
            Self::Untag(_) => Action::Untag,
        }
    }
}

/// One result for each machine of a mutation.
pub type Results = BTreeMap<String, Result<(), CloudError>>;

/// State of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// The machine is starting. A status of a database that RDS does not document counts as this.
    #[default]
    Pending,
    /// The machine is running.
    Running,
    /// The machine is running, but until some other work on it is done it can be neither started nor stopped.
    Busy,
    /// The machine is stopping.
    Stopping,
    /// The machine is stopped.
    Stopped,
    /// The machine can be neither started nor stopped until a person has repaired it.
    Broken,
    /// The machine is shutting down for good, or is gone. A state that EC2 does not document counts as this.
    Terminated,
}

/// A machine, as described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its id: the id that EC2 gave it, or the ARN of a database.
    pub id: String,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in this state, as `code: message`. For a database, its status if the state does not say the same.
    pub state_reason: Option<String>,
    /// What the machine belongs to, in words for people, if it is not started and stopped by itself: "DB cluster web".
    pub part_of: Option<String>,
    /// Why it cannot be stopped, in words for people.
    pub unstoppable: Option<String>,
    /// When the cloud will start it by itself.
    pub restarts_at: Option<SystemTime>,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

/// A cloud: one account or role, one region, one service.
///
/// Mutations are idempotent, so a mutation may be repeated if its outcome is unknown. Every call is bounded in time.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Which cloud this is.
    fn key(&self) -> &CloudKey;

    /// All machines of these groups (values of the group tag), from all pages. An empty list of groups costs no call
    /// and has no machines. Each machine appears once. Terminated machines may appear.
    ///
    /// # Errors
    /// When any page fails, because half a group must not pass for the whole.
    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError>;

    /// All machines that carry the tag `mark` and any group tag, from all pages. Each machine appears once. Terminated
    /// machines may appear.
    ///
    /// # Errors
    /// When any page fails.
    async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError>;

    /// Changes machines. The provider asks the permit before every call. It answers once for each machine: if one
    /// machine fails, the others succeed all the same.
    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results;
}
