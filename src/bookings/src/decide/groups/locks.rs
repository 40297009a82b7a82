//! Decides which locks are ours.
//!
//! Our locks are recorded in the Resource's status before they are written to a machine: the present holder's lock,
//! and earlier locks that have not expired.

use std::time::Duration;

use crate::api::{Lock, ResourceHolder, ResourceStatus};
use jiff::Timestamp;

use crate::decide::groups::{
    hold::{Hold, ManualHold},
    machine::{LockTag, same_lock},
};
use booking_calendar::instant::{self, after};

/// The most earlier locks that a status keeps. If there are more, those that expire first are dropped.
const RELEASED_LOCKS_MAX: usize = 16;

/// After a hold ends, calls that were sent for it can stay invisible in `DescribeInstances` for this long: EC2's lag
/// (at most 5 s), plus 1 s because `idle_since` has whole seconds, plus [`CLOCKS_APART`].
const SHOWS_WITHIN: Duration = Duration::from_secs(10);

/// The largest difference between two replicas' clocks. A replica whose clock is off by more than 2 s uses the API
/// server's time.
const CLOCKS_APART: Duration = Duration::from_secs(4);

/// The part of a Resource's status that tells our locks from other locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockHistory {
    /// The holder, as recorded.
    pub holder: Option<ResourceHolder>,
    /// Earlier locks of ours that have not expired.
    pub released: Vec<Lock>,
    /// When the group was last let go.
    pub idle_since: Option<String>,
    /// Whether the holder held the group at the previous pass, too.
    pub stands: bool,
    /// Whether the holder's window has not begun: the lock is a prelock.
    pub is_prelock: bool,
}

impl LockHistory {
    /// The next lock history: `hold` is in force, and everything that was in force before is remembered until it
    /// expires. If the holder did not change, the lock history does not change.
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
            is_prelock: false,
            holder,
        }
    }

    /// The next lock history if nobody holds the group yet but prelocks for `next` will be written. It is recorded
    /// before they are written.
    pub fn prelock(status: &ResourceStatus, next: &Hold, manual: &ManualHold, now: Timestamp) -> Self {
        let gone = status.holder.as_ref().is_some_and(|holder| *holder != next.record());
        let idle_since = if gone { Some(instant::seconds(now)) } else { status.idle_since.clone() };
        Self { idle_since, stands: false, is_prelock: true, ..Self::next(status, Some(next), manual, now) }
    }

    /// Until when a lock or a start for the previous holder may still appear on a machine that does not show it. The
    /// process that sent it may be gone, and no other process remembers it.
    pub(crate) fn may_show_until(&self, now: Timestamp) -> Option<Timestamp> {
        let let_go = self.idle_since.as_deref().and_then(|text| instant::parse(text).ok())?;
        Some(after(let_go, SHOWS_WITHIN)).filter(|until| let_go <= after(now, CLOCKS_APART) && now < *until)
    }

    /// The holder that is shown to users.
    pub fn shown(&self) -> Option<&ResourceHolder> {
        self.holder.as_ref().filter(|_| !self.is_prelock)
    }

    /// Whether a lock tag is the holder's with another end, which means that somebody altered it. Right after a hold
    /// began or changed, such a tag may be another installation's, so it is respected.
    fn is_altered(&self, wanted: Option<&Lock>, lock: &Lock) -> bool {
        self.stands && wanted.is_some_and(|wanted| wanted.user == lock.user)
    }

    /// Whether a lock tag is one that we wrote or took over.
    pub fn is_ours(&self, lock: &Lock) -> bool {
        let holder = self.holder.iter().map(|h| Lock { user: h.user.clone(), until: h.until.clone() });
        holder.chain(self.released.iter().cloned()).any(|ours| same_lock(&ours, lock))
    }
}

/// `known` and `more`, without expired locks. If there is nothing to add, `known` is unchanged.
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

/// How a machine's lock tag compares to the holder that it should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockStanding {
    /// No lock.
    Free,
    /// The wanted lock.
    AsWanted,
    /// A tag that may be replaced or removed: our own lock that is not wanted, the holder's lock that somebody
    /// altered, or anybody's lock that has expired.
    Stale(Lock),
    /// Another owner's lock that has not expired.
    Foreign(Lock, Timestamp),
    /// Tags that do not form a lock.
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
