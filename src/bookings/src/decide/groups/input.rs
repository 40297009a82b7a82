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

/// The result of an observation of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// No observation was needed.
    NotNeeded,
    /// The cloud could not be asked.
    Failed {
        /// Why. The text has no part that changes from try to try.
        message: String,
        /// When to try again.
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
    /// Which group the Resource stands for, or why it acts on none. None if there is no Resource.
    pub standing: Option<&'a Result<Group, Blocked>>,
    /// All Bookings that name it.
    pub bookings: &'a [ReadBooking<'a>],
    /// What was observed of the group.
    pub observation: &'a Observation,
    /// What this process sent recently.
    pub attempts: &'a Attempts,
    /// The deliveries of the notices that were handed out.
    pub deliveries: &'a Deliveries,
    /// Whether so many windows begin soon that prelocks are written.
    pub prelocks: bool,
    /// The time.
    pub now: Timestamp,
}
