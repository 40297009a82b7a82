//! The priority of a decision's calls, compared to those of other groups.

use crate::api::ResourceStatus;
use booking_budget::{Priority, Rank};
use jiff::Timestamp;

use crate::decide::groups::{
    booking::ValidBooking, grant::Grant, hold::Hold, locks::LockHistory, progress::reason,
};
use booking_calendar::instant;
use booking_decision::condition::reason_of;

/// The priority of a decision's calls, compared to those of other groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPriority {
    /// Since when they are due.
    pub due: Timestamp,
    /// The user whom they serve. Empty if they serve none.
    pub user: String,
    /// Why they are sent.
    pub rank: Rank,
}

impl From<&CallPriority> for Priority {
    fn from(CallPriority { due, user, rank }: &CallPriority) -> Self {
        Self { rank: *rank, due: (*due).into(), user: user.as_str().into() }
    }
}

/// The priority of calls for the holder, or for nobody. If the group was ready before, the calls are a repair.
pub(crate) fn priority(
    old: &ResourceStatus,
    hold: Option<&Hold>,
    (bookings, grants): (&[ValidBooking], &[Grant]),
    lock_history: &LockHistory,
    now: Timestamp,
) -> CallPriority {
    let before = reason_of(&old.conditions, "Ready").unwrap_or_default();
    let (is_repair, since, user) = match hold {
        None => {
            let idle_since = lock_history.idle_since.as_deref().and_then(|text| instant::parse(text).ok());
            (before == reason::STOPPED, idle_since, String::new())
        }
        Some(hold) => {
            let windows =
                grants.iter().zip(bookings).filter_map(|(grant, booking)| Some((grant.window?, booking)));
            let begun = windows.filter(|(window, _)| window.contains(now));
            let held_before = old.holder.as_ref().is_some_and(|holder| holder.user == hold.user);
            // Nothing is due before its Booking was created.
            let since = begun.map(|(window, booking)| window.from.max(booking.created)).min();
            (before == reason::HELD && held_before, since, hold.user.clone())
        }
    };
    if is_repair {
        return CallPriority { due: now, user, rank: Rank::Repair };
    }
    CallPriority { due: since.unwrap_or(now), user, rank: Rank::Due }
}
