//! What a decision about a group depends on.

use jiff::Timestamp;

use super::{
    attempts::Attempts,
    booking::ReadBooking,
    group::{Blocked, Group},
    machine::Machine,
    notices::Deliveries,
};
use crate::api::Resource;

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
    Seen(Vec<Machine>),
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct GroupInput<'a> {
    /// The Resource, if it exists.
    pub resource: Option<&'a Resource>,
    /// Which group the Resource stands for, or why it acts on none; None without a Resource.
    pub standing: Option<&'a Result<Group, Blocked>>,
    /// All Bookings that name it.
    pub bookings: &'a [ReadBooking<'a>],
    /// What was observed of its group.
    pub observation: &'a Observation,
    /// What this process sent lately.
    pub attempts: &'a Attempts,
    /// What became of the notices that were handed out.
    pub deliveries: &'a Deliveries,
    /// So many groups will be locked soon that their locks are written ahead.
    pub prelocks: bool,
    /// The time.
    pub now: Timestamp,
}
