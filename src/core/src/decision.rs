//! The vocabulary of a decision: what it depends on, and what it comes to. It is made in `pass`, and told
//! in `publish`.

use std::time::Duration;

use booking_api::{Booking, BookingStatus, Lock, Resource, ResourceStatus};
use jiff::Timestamp;

use crate::{
    attempts::Attempts,
    booking::{InvalidSpec, cut},
    claim::Claim,
    events::Note,
    group::{self, Group, GroupKey},
    instance::Instance,
};

/// What the operator is set to. Durations of the pass, not of a Booking.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own region.
    pub region: String,
    /// How long what runs unbooked when a Resource is first seen is left running.
    pub adoption_grace: Duration,
    /// Decide and report, but send nothing to the cloud and leave specs and finalizers alone.
    pub dry_run: bool,
    /// Shortest time between two looks at machines on their way.
    pub poll_shortest: Duration,
    /// Longest time between two looks at machines on their way.
    pub poll_longest: Duration,
    /// Time between two looks at a group that is as it should be.
    pub observe_interval: Duration,
    /// How long the deletion of a Resource waits for the cloud.
    pub release_timeout: Duration,
}

/// What was observed of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// There was no need to look.
    NotNeeded,
    /// The cloud did not say.
    Failed {
        /// Why, without anything that changes from try to try.
        message: String,
        /// When to look again.
        retry_at: Timestamp,
    },
    /// All machines of the group.
    Seen(Vec<Instance>),
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The Resource, if it exists.
    pub resource: Option<&'a Resource>,
    /// All Bookings that name it.
    pub bookings: &'a [&'a Booking],
    /// What was observed of its group.
    pub observation: &'a Observation,
    /// What this process sent lately.
    pub attempts: &'a Attempts,
    /// Whether this Resource is the one that acts on its group.
    pub claim: Claim,
    /// The time.
    pub now: Timestamp,
}

/// A call to the cloud for some machines of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Start them.
    Start(Vec<String>),
    /// Stop them.
    Stop(Vec<String>),
    /// Write these lock tags.
    Lock(Lock, Vec<String>),
    /// Remove lock tags that hold exactly this.
    Unlock(Lock, Vec<String>),
}

impl Call {
    /// The machines it is for.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Start(ids) | Self::Stop(ids) | Self::Lock(_, ids) | Self::Unlock(_, ids) => ids,
        }
    }
}

/// What happens to the finalizer of the Resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finalizer {
    /// Nothing.
    #[default]
    Keep,
    /// It is added, before anything is sent to the cloud.
    Add,
    /// It is removed, after everything else.
    Remove,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The finalizer; `Remove` comes last instead.
    pub finalizer: Finalizer,
    /// New statuses of Bookings, by uid; unchanged ones are left out.
    pub booking_statuses: Vec<(String, BookingStatus)>,
    /// New status of the Resource, unless unchanged.
    pub resource_status: Option<ResourceStatus>,
    /// `booked_by` and `booked_until` are cleared, if they still say this.
    pub clear_trace: Option<Lock>,
    /// Calls to the cloud.
    pub calls: Vec<Call>,
    /// Bookings to be deleted, by uid: finished, and their time to stay is over.
    pub expired: Vec<String>,
    /// Events, once the statuses stand.
    pub events: Vec<Note>,
    /// When to decide again, whatever happens.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// Whether nothing is to be done but wait.
    pub fn is_empty(&self) -> bool {
        Self { wake_at: None, ..self.clone() } == Self::default()
    }
}

/// The group that must be observed before a decision, if any.
///
/// Only machines of type ec2 in the operator's own account and region are in reach yet.
pub fn group_to_observe(resource: &Resource, claim: Claim, settings: &Settings) -> Option<GroupKey> {
    match standing(resource, claim, settings) {
        Ok(group) => Some(group.key),
        Err(_) => None,
    }
}

/// Why a Resource acts on nothing.
pub(crate) enum Blocked {
    Invalid(InvalidSpec),
    Unsupported(String),
    Claimed,
}

pub(crate) fn standing(resource: &Resource, claim: Claim, settings: &Settings) -> Result<Group, Blocked> {
    let group = group::validate(resource, &settings.region).map_err(Blocked::Invalid)?;
    let key = &group.key;
    if key.type_ != "ec2" {
        return Err(Blocked::Unsupported(format!(
            "spec.type: {} is not supported yet; supported: ec2",
            key.type_
        )));
    }
    if !key.role_arn.is_empty() {
        return Err(Blocked::Unsupported("spec.role_arn: this operator assumes no roles".into()));
    }
    if key.region != settings.region {
        let problem =
            format!("spec.region: {:?} is not this operator's region {}", cut(&key.region), settings.region);
        return Err(Blocked::Unsupported(problem));
    }
    if claim == Claim::Other { Err(Blocked::Claimed) } else { Ok(group) }
}
