//! What a decision about a group depends on.

use crate::api::{Booking, Resource};
use jiff::Timestamp;

use crate::decide::groups::{attempts::Attempts, claim::Claim, instance::Instance, notices::Deliveries};

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
    /// What became of the notices that were handed out.
    pub deliveries: &'a Deliveries,
    /// Whether this Resource is the one that acts on its group.
    pub claim: Claim,
    /// So many groups will be locked soon that their locks are written ahead.
    pub locks_ahead: bool,
    /// The time.
    pub now: Timestamp,
}
