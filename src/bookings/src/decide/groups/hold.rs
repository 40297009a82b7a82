//! Decides who holds the group now: a user by hand, or the user whose granted window it is.
//!
//! The predecessor left a trace: `spec.booked_by` and `booked_until` with the values of one of its Bookings. Such a
//! pair is recorded as our own lock when it is first seen, and then cleared. Any other pair is a user's manual hold.

use crate::api::{Booking, Lock, Resource, ResourceHolder};
use jiff::Timestamp;

use super::booking::ReadBooking;
use crate::decide::groups::{booking::ValidBooking, grant::Grant, machine::same_lock};
use booking_calendar::instant;
use booking_decision::{
    meta,
    text::{cut, user_name},
};

/// What `spec.booked_by` and `spec.booked_until` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManualHold {
    /// Nothing, or a hold that is over.
    None,
    /// The trace that the predecessor left for one of its Bookings.
    Trace(Trace),
    /// A user holds the group by hand. This has precedence over Bookings.
    Held(Hold),
    /// Only one of the two fields, or an end that is not an instant. The text says what is wrong.
    Malformed(String),
}

/// The pair that the predecessor wrote for a Booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The pair, verbatim.
    pub lock: Lock,
    /// The Booking for which it was written.
    pub booking_uid: String,
}

/// A user holds the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub user: String,
    /// Until when.
    pub until: Timestamp,
    /// Uid and name of the Booking, unless it is a manual hold.
    pub booking: Option<(String, String)>,
}

impl Hold {
    /// The lock tags of this hold.
    pub fn lock(&self) -> Lock {
        Lock { user: self.user.clone(), until: self.until.to_string() }
    }

    /// The hold as it is recorded in the status.
    pub fn record(&self) -> ResourceHolder {
        let (booking_uid, booking) = self.booking.clone().unzip();
        ResourceHolder { user: self.user.clone(), until: self.until.to_string(), booking_uid, booking }
    }
}

/// Reads `spec.booked_by` and `spec.booked_until`, given all Bookings of the Resource.
pub fn manual_hold(resource: &Resource, bookings: &[ReadBooking<'_>], now: Timestamp) -> ManualHold {
    let by = resource.spec.booked_by.clone().unwrap_or_default();
    let until = resource.spec.booked_until.clone().unwrap_or_default();
    if by.is_empty() && until.is_empty() {
        return ManualHold::None;
    }
    let lock = Lock { user: by, until };
    if let Some(booking) =
        bookings.iter().map(|it| it.booking).find(|booking| is_trace_of(&lock, booking, now))
    {
        let booking_uid = meta::uid(&booking.metadata).to_owned();
        return ManualHold::Trace(Trace { lock, booking_uid });
    }
    match instant::parse(&lock.until) {
        Ok(until) if until <= now => ManualHold::None,
        Ok(_) if lock.user.is_empty() => {
            ManualHold::Malformed("spec.booked_until is set, but spec.booked_by is empty".into())
        }
        Ok(until) => match user_name("booked_by", Some(&lock.user)) {
            Ok(user) => ManualHold::Held(Hold { user: user.to_owned(), until, booking: None }),
            Err(error) => ManualHold::Malformed(error.to_string()),
        },
        Err(_) if lock.until.is_empty() => {
            ManualHold::Malformed("spec.booked_by is set, but spec.booked_until is empty".into())
        }
        Err(_) => ManualHold::Malformed(format!(
            "spec.booked_until {:?} is no RFC 3339 instant, such as 2027-03-01T08:00:00Z",
            cut(&lock.until)
        )),
    }
}

/// The predecessor writes a trace when a Booking begins. If the Booking has not begun, the pair is a user's manual
/// hold.
fn is_trace_of(lock: &Lock, booking: &Booking, now: Timestamp) -> bool {
    let spec = &booking.spec;
    let begun = spec
        .start_at
        .as_deref()
        .map(instant::parse)
        .is_none_or(|start| start.is_ok_and(|start| start <= now));
    let (Some(user), Some(end)) = (&spec.user_id, &spec.end_at) else {
        return false;
    };
    begun && same_lock(lock, &Lock { user: user.clone(), until: end.clone() })
}

/// The hold at `now`. A manual hold goes before Bookings; else the Booking whose granted window it is has it. If two
/// users' granted windows overlap (only hand-edited statuses can cause that), the present holder keeps the group,
/// else the first in the order given gets it.
pub fn hold_now(
    manual: &ManualHold,
    bookings: &[ValidBooking],
    grants: &[Grant],
    present: Option<&ResourceHolder>,
    now: Timestamp,
) -> Option<Hold> {
    let active: Vec<Hold> = bookings
        .iter()
        .zip(grants)
        .filter_map(|(booking, grant)| {
            let window = grant.window.filter(|window| window.contains(now))?;
            Some(Hold {
                user: booking.user.clone(),
                until: window.until,
                booking: Some((booking.uid.clone(), booking.name.clone())),
            })
        })
        .collect();
    let user = if let ManualHold::Held(hold) = manual {
        hold.user.clone()
    } else {
        let present = present.map(|holder| &holder.user);
        let kept = active.iter().find(|hold| Some(&hold.user) == present);
        kept.or(active.first())?.user.clone()
    };
    let manual = match manual {
        ManualHold::Held(hold) => Some(hold.clone()),
        _ => None,
    };
    active
        .into_iter()
        .chain(manual)
        .filter(|hold| hold.user == user)
        .max_by(|a, b| (a.until, &a.booking).cmp(&(b.until, &b.booking)))
}
