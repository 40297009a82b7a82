//! Prelocks: locks that are written before their window begins.
//!
//! Each Booking has lock tags of its own, so locks of several Bookings cannot share a call, and a cloud accepts few
//! calls per second. If the calls for all groups that will be locked at about the same time would take a while, the
//! locks are written in the two minutes before. The groups must be at rest and held by nobody, and `status.holder` is
//! written first. Users see the holder only when its window begins. If the Booking is deleted, the recorded lock
//! becomes an earlier lock like any other and is removed. Prelocks never delay a start.
//!
//! If only a few groups are locked, a prelock would just cost one more write, so none is written.

use std::time::Duration;

use crate::api::{Lock, ResourceStatus};
use booking_budget::Rank;
use jiff::Timestamp;

use crate::decide::groups::{
    booking::ValidBooking,
    grant::Grant,
    hold::{Hold, ManualHold},
    input::{GroupInput, Observation},
    machine::{Machine, MachineState},
    machines::Goal,
    priority::CallPriority,
};
use booking_calendar::{instant::after, window::Window};

/// The earliest time before a window at which a group is prelocked. EC2 accepts ten `CreateTags` per second after its
/// bucket is empty, so two minutes are enough for more than a thousand locks.
const EARLIEST: Duration = Duration::from_mins(2);
/// This long after a lock was first expected, all replicas know of all expected locks and divide the calls
/// accordingly. If prelocks were sent earlier, all replicas would send at once.
const TOLD: Duration = Duration::from_secs(15);
/// No prelock is written this shortly before the window, because a start needs an observation that is younger than
/// the last call.
const LATEST: Duration = Duration::from_secs(15);

/// The next holder of the group, if its window begins soon.
pub(crate) struct Next {
    pub(crate) hold: Hold,
    from: Timestamp,
    told: Timestamp,
}

impl Next {
    /// The lock that will be wanted, and when.
    pub(crate) fn expected(&self) -> (Lock, Timestamp) {
        (self.hold.lock(), self.from)
    }

    /// The goal for the group until the window begins.
    pub(crate) fn goal(&self, now: Timestamp) -> Goal {
        Goal::Prelocked { lock: self.hold.lock(), write: after(now, LATEST) <= self.from }
    }

    /// The priority of its lock call.
    pub(crate) fn priority(&self) -> CallPriority {
        CallPriority { due: self.from, user: self.hold.user.clone(), rank: Rank::Upcoming }
    }
}

/// When to decide about the lock of a window that begins at `from`, for a Booking that was created at `created`: once
/// to announce the lock, and once after all replicas know of it.
pub(crate) fn wakes(from: Timestamp, created: Timestamp) -> [Timestamp; 2] {
    let earliest = from.checked_sub(EARLIEST).unwrap_or(from);
    [earliest, after(earliest.max(created), TOLD)]
}

/// The next holder, if its window begins soon and nobody holds the group until then.
pub(crate) fn next_hold(
    (bookings, grants): (&[ValidBooking], &[Grant]),
    hold: Option<&Hold>,
    manual: &ManualHold,
    now: Timestamp,
) -> Option<Next> {
    if hold.is_some() || *manual != ManualHold::None {
        return None;
    }
    let soon = after(now, EARLIEST);
    let granted = bookings.iter().zip(grants).filter_map(|(booking, grant)| Some((booking, grant.window?)));
    let ahead = granted.filter(|(_, window)| now < window.from && window.from <= soon);
    // If several windows begin at the same instant, this is the one that will have the hold.
    let last =
        |booking: &ValidBooking, window: Window| (window.until, booking.uid.clone(), booking.name.clone());
    let (booking, window) = ahead.min_by(|(a, of_a), (b, of_b)| {
        of_a.from.cmp(&of_b.from).then_with(|| last(b, *of_b).cmp(&last(a, *of_a)))
    })?;
    let hold = Hold {
        user: booking.user.clone(),
        until: window.until,
        booking: Some((booking.uid.clone(), booking.name.clone())),
    };
    let [_, told] = wakes(window.from, booking.created);
    Some(Next { hold, from: window.from, told })
}

/// Whether a machine that the operator may lock does not show the lock yet.
pub(crate) fn is_unlocked(next: &Next, observation: &Observation) -> bool {
    let Observation::Seen(instances) = observation else { return false };
    let lock = [next.hold.lock()];
    let ours = |it: &&Machine| it.state != MachineState::Terminated && it.owner.is_none();
    instances.iter().filter(ours).any(|instance| !instance.lock.is_one_of(&lock))
}

/// Whether a group at rest is prelocked: this is called for now, or it was before and has been recorded.
pub(crate) fn is_prelocked(next: &Next, old: &ResourceStatus, input: &GroupInput<'_>) -> bool {
    let is_recorded = old.holder.as_ref() == Some(&next.hold.record());
    // If the group was not observed for a moment, the recorded prelock is kept.
    let Observation::Seen(instances) = input.observation else { return is_recorded };
    let is_time = next.told <= input.now && after(input.now, LATEST) <= next.from;
    let is_called_for = input.prelocks && is_time && is_unlocked(next, input.observation);
    let rests = |state| matches!(state, MachineState::Stopped | MachineState::Terminated);
    (is_called_for || is_recorded) && instances.iter().all(|instance| rests(instance.state))
}
