//! Who holds the group now, and which locks are ours.
//!
//! Our locks are the ones recorded in the Resource's status before they were written to a machine:
//! the present holder's, and earlier ones that have not expired. The original operator left another
//! trace: `spec.booked_by` and `booked_until` equal to one of its Bookings. That is recorded like our
//! own at first sight, then cleared. Any other such pair is a person's manual hold.

use std::time::Duration;

use crate::api::{Booking, Lock, Resource, ResourceHolder, ResourceStatus};
use jiff::Timestamp;

use super::booking::ReadBooking;
use crate::decide::groups::{
    booking::ValidBooking,
    grant::Grant,
    machine::{LockTag, same_lock},
};
use booking_calendar::instant::{self, after};
use booking_decision::{
    meta,
    text::{cut, user_name},
};

/// Most earlier locks kept in a status; of more, those that expire first are dropped.
const RELEASED_LOCKS_MAX: usize = 16;

/// How long after a group was let go what was last sent for its holder may not show yet: what a describe of EC2 lags
/// behind at most (5 s), a second for `idle_since`, which is in whole ones, and [`CLOCKS_APART`].
const SHOWS_WITHIN: Duration = Duration::from_secs(10);

/// How far two replicas' clocks may be from each other: each that is off by more than 2 s goes by the API server's
/// time.
const CLOCKS_APART: Duration = Duration::from_secs(4);

/// What `spec.booked_by` and `spec.booked_until` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManualHold {
    /// Nothing, or something that is over.
    None,
    /// The trace that the original operator left for one of its Bookings.
    Trace(Trace),
    /// A person holds the group; goes before Bookings.
    Held(Hold),
    /// Half a pair, or an end that is no instant: what is wrong with it.
    Malformed(String),
}

/// The pair that the original operator wrote for a Booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The pair, verbatim.
    pub lock: Lock,
    /// The Booking it was written for.
    pub booking_uid: String,
}

/// Somebody holds the group.
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

    /// The hold as it stands in status.
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

/// The original writes a trace when a Booking begins: a hold for one that has not is a person's.
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

/// Who holds the group at `now`: a manual hold before Bookings, then whose granted window it is.
/// Should two users' granted windows overlap (only hand-edited statuses can), the present holder
/// keeps the group, else the first in the order given.
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

/// The part of a Resource's status that tells our locks from foreign ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockHistory {
    /// The holder, as recorded.
    pub holder: Option<ResourceHolder>,
    /// Earlier locks of ours that have not expired.
    pub released: Vec<Lock>,
    /// When the group was last let go.
    pub idle_since: Option<String>,
    /// Whether the holder held the group at the pass before, too.
    pub stands: bool,
    /// The holder's time has not begun: its locks are written ahead.
    pub is_ahead: bool,
}

impl LockHistory {
    /// The next lock history: `hold` is in force, everything that was in force before is remembered until
    /// it expires. Unchanged where nothing changed hands.
    pub fn next(status: &ResourceStatus, hold: Option<&Hold>, manual: &ManualHold, now: Timestamp) -> Self {
        let holder = hold.map(Hold::record);
        let before = status.holder.as_ref().map(|h| Lock { user: h.user.clone(), until: h.until.clone() });
        let trace = match manual {
            ManualHold::Trace(trace) => Some(trace.lock.clone()),
            _ => None,
        };
        let current = hold.map(Hold::lock);
        let superseded: Vec<Lock> = before
            .into_iter()
            .chain(trace.clone())
            .filter(|lock| current.as_ref().is_none_or(|current| !same_lock(current, lock)))
            .filter(|lock| is_unexpired(lock, now))
            .filter(|lock| !status.released_locks.iter().any(|known| same_lock(known, lock)))
            .collect();
        let let_go = status.holder.is_some() || (trace.is_some() && status.idle_since.is_none());
        Self {
            released: remember(&status.released_locks, superseded, now),
            idle_since: match (&holder, &status.idle_since) {
                (Some(_), _) => None,
                (None, _) if let_go => Some(instant::seconds(now)),
                (None, since) => since.clone(),
            },
            stands: holder.is_some() && holder == status.holder,
            is_ahead: false,
            holder,
        }
    }

    /// The next lock history where nobody holds the group yet, but locks of `next` are written ahead: recorded before
    /// they are.
    pub fn ahead(status: &ResourceStatus, next: &Hold, manual: &ManualHold, now: Timestamp) -> Self {
        let gone = status.holder.as_ref().is_some_and(|holder| *holder != next.record());
        let idle_since = if gone { Some(instant::seconds(now)) } else { status.idle_since.clone() };
        Self { idle_since, stands: false, is_ahead: true, ..Self::next(status, Some(next), manual, now) }
    }

    /// Until when a lock or a start for whoever had the group last may yet appear on a machine that does not show it.
    /// The process that sent it may be gone, and nobody else remembers.
    pub(crate) fn may_show_until(&self, now: Timestamp) -> Option<Timestamp> {
        let let_go = self.idle_since.as_deref().and_then(|text| instant::parse(text).ok())?;
        Some(after(let_go, SHOWS_WITHIN)).filter(|until| let_go <= after(now, CLOCKS_APART) && now < *until)
    }

    /// Who holds the group, as people are told.
    pub fn shown(&self) -> Option<&ResourceHolder> {
        self.holder.as_ref().filter(|_| !self.is_ahead)
    }

    /// Whether a lock tag is the holder's with another end: somebody altered it. Right after a hold began or changed,
    /// it may as well be another installation's, and is respected.
    fn is_altered(&self, wanted: Option<&Lock>, lock: &Lock) -> bool {
        self.stands && wanted.is_some_and(|wanted| wanted.user == lock.user)
    }

    /// Whether a lock tag is one that we wrote or took over.
    pub fn is_ours(&self, lock: &Lock) -> bool {
        let holder = self.holder.iter().map(|h| Lock { user: h.user.clone(), until: h.until.clone() });
        holder.chain(self.released.iter().cloned()).any(|ours| same_lock(&ours, lock))
    }
}

/// `known` with `more`, expired ones dropped; as it is where there is nothing to add.
fn remember(known: &[Lock], more: Vec<Lock>, now: Timestamp) -> Vec<Lock> {
    if more.is_empty() {
        return known.to_vec();
    }
    let mut all: Vec<Lock> =
        known.iter().filter(|lock| is_unexpired(lock, now)).cloned().chain(more).collect();
    if all.len() > RELEASED_LOCKS_MAX {
        all.sort_by_key(|lock| std::cmp::Reverse(instant::parse(&lock.until).ok()));
        all.truncate(RELEASED_LOCKS_MAX);
    }
    all
}

pub(crate) fn is_unexpired(lock: &Lock, now: Timestamp) -> bool {
    instant::parse(&lock.until).is_ok_and(|until| until > now)
}

/// How a machine's lock tag stands to the holder that we want it to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockStanding {
    /// No lock.
    Free,
    /// The wanted lock.
    AsWanted,
    /// A lock of ours that is not wanted, one of the holder's that somebody altered, or anybody's that has
    /// expired: may be replaced or removed.
    Stale(Lock),
    /// Somebody else's lock, in force.
    Foreign(Lock, Timestamp),
    /// Tags that make no lock.
    Malformed,
}

/// Judges a lock tag.
pub fn lock_standing(
    tag: &LockTag,
    wanted: Option<&Lock>,
    lock_history: &LockHistory,
    now: Timestamp,
) -> LockStanding {
    match tag {
        LockTag::Absent => LockStanding::Free,
        LockTag::Malformed { .. } => LockStanding::Malformed,
        LockTag::Held { raw, .. } if wanted.is_some_and(|wanted| same_lock(wanted, raw)) => {
            LockStanding::AsWanted
        }
        LockTag::Held { raw, until }
            if *until <= now || lock_history.is_ours(raw) || lock_history.is_altered(wanted, raw) =>
        {
            LockStanding::Stale(raw.clone())
        }
        LockTag::Held { raw, until } => LockStanding::Foreign(raw.clone(), *until),
    }
}
