//! Locks that are written ahead of a window.
//!
//! The lock tags of each booking are its own, so locks of many do not share calls, and a cloud takes few calls a
//! second. Where so many groups will be locked at about the same time that their calls would take a while, locks are
//! written in the two minutes before: to groups at rest that nobody holds, after `status.holder` says for whom. The
//! holder is shown to people from its window on. If the booking goes, what was recorded is an earlier lock like any
//! other: it is removed. Nothing of this delays a start.
//!
//! Where few are locked it would only cost a write more.

use std::time::Duration;

use crate::api::{Lock, ResourceStatus};
use booking_budget::Rank;
use jiff::Timestamp;

use crate::decide::groups::{
    booking::ValidBooking,
    builder::DecisionBuilder,
    grant::Grant,
    hold::{Hold, ManualHold},
    input::Observation,
    machine::{Machine, MachineState},
    machines::Goal,
    priority::CallPriority,
};
use booking_calendar::{instant::after, window::Window};

/// How long before its window a group is locked at the earliest: EC2 takes ten `CreateTags` a second once its bucket is
/// empty, so there is time for a thousand and more.
const EARLIEST: Duration = Duration::from_mins(2);
/// So long after a lock was first expected all replicas know of all that are, and share the calls by that; what is sent
/// before would be sent by all at once.
const TOLD: Duration = Duration::from_secs(15);
/// Right before the window nothing is written ahead any more: the start goes by what was seen since the last call.
const LATEST: Duration = Duration::from_secs(15);

/// Who holds the group next, soon.
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

    /// What the group should be until then.
    pub(crate) fn goal(&self, now: Timestamp) -> Goal {
        Goal::Prelocked { lock: self.hold.lock(), write: after(now, LATEST) <= self.from }
    }

    /// Where its lock stands among other calls.
    pub(crate) fn priority(&self) -> CallPriority {
        CallPriority { due: self.from, user: self.hold.user.clone(), rank: Rank::Upcoming }
    }
}

/// When to decide about the lock of a window that begins at an instant, for a Booking created at another: to tell of
/// it, and once that is known.
pub(crate) fn wakes(from: Timestamp, created: Timestamp) -> [Timestamp; 2] {
    let earliest = from.checked_sub(EARLIEST).unwrap_or(from);
    [earliest, after(earliest.max(created), TOLD)]
}

impl DecisionBuilder<'_> {
    /// Whose window is the next, if it begins soon and nobody holds the group until then.
    pub(crate) fn next_hold(
        &self,
        grants: &[Grant],
        hold: Option<&Hold>,
        manual: &ManualHold,
    ) -> Option<Next> {
        if hold.is_some() || *manual != ManualHold::None {
            return None;
        }
        let (now, soon) = (self.input.now, after(self.input.now, EARLIEST));
        let granted =
            self.live.iter().zip(grants).filter_map(|(booking, grant)| Some((booking, grant.window?)));
        let ahead = granted.filter(|(_, window)| now < window.from && window.from <= soon);
        // Of several from the same instant on, the one that will be the holder.
        let last = |booking: &ValidBooking, window: Window| {
            (window.until, booking.uid.clone(), booking.name.clone())
        };
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

    /// Whether some machine that is ours to lock does not show the lock yet.
    pub(crate) fn is_unlocked(&self, next: &Next) -> bool {
        let Observation::Seen(instances) = self.input.observation else { return false };
        let lock = [next.hold.lock()];
        let ours = |it: &&Machine| it.state != MachineState::Terminated && it.owner.is_none();
        instances.iter().filter(ours).any(|instance| !instance.lock.is_one_of(&lock))
    }

    /// Whether a group at rest is locked ahead: that is called for, or was, and has been recorded.
    pub(crate) fn is_locked_ahead(&self, next: &Next, old: &ResourceStatus) -> bool {
        let is_recorded = old.holder.as_ref() == Some(&next.hold.record());
        // Not seen for a moment, it stands.
        let Observation::Seen(instances) = self.input.observation else { return is_recorded };
        let is_time = next.told <= self.input.now && after(self.input.now, LATEST) <= next.from;
        let is_called_for = self.input.prelocks && is_time && self.is_unlocked(next);
        let rests = |state| matches!(state, MachineState::Stopped | MachineState::Terminated);
        (is_called_for || is_recorded) && instances.iter().all(|instance| rests(instance.state))
    }
}
