//! What a decision about a group depends on.

use std::borrow::Cow;

use booking_decision::InvalidSpec;
use jiff::Timestamp;

use super::{
    attempts::Attempts,
    booking::{ValidBooking, validate},
    group::{Blocked, Group},
    machine::Machine,
    notices::Deliveries,
};
use crate::api::{Booking, Resource};

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

/// A Booking, and what it means: it is read once per version, not once per decision.
#[derive(Clone, Debug)]
pub struct ReadBooking<'a> {
    /// As it is stored.
    pub booking: &'a Booking,
    /// What it means, or what is wrong with it.
    pub read: Cow<'a, Result<ValidBooking, InvalidSpec>>,
}

impl<'a> ReadBooking<'a> {
    /// Reads a Booking now.
    pub fn new(booking: &'a Booking) -> Self {
        Self { booking, read: Cow::Owned(validate(booking)) }
    }

    /// A Booking that was read before.
    pub fn known(booking: &'a Booking, read: &'a Result<ValidBooking, InvalidSpec>) -> Self {
        Self { booking, read: Cow::Borrowed(read) }
    }
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
