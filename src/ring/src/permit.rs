//! Permits to begin calls. A permit has a deadline, and each call checks it at its beginning.
//!
//! Two conditions must be true when a call begins. First, the incarnation *sent* its last renewal that is known to have
//! succeeded less than D ago, by the clock that has run most since. Second, the incarnation has owned the slot without
//! a break since the work began. A call counts until its reply. A cancelled call may still run, so it counts until it
//! must have ended, that is its begin + T.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    injected_bugs::{Bug, is_injected},
    protocol::Action,
    slot::Slot,
    time::Stamp,
    timing::Timing,
};

/// A permit to work on a slot, for one period of owning it. If the slot is lost, the permit ends. If the slot comes
/// back, it needs a new permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPermit {
    /// The slot.
    pub slot: Slot,
    grant: u64,
}

/// The permit has run out, or the slot is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the permit for slot {0} has run out")]
pub struct Lapsed(pub Slot);

/// A call that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

#[derive(Clone, Copy, Debug)]
struct Call {
    slot: Slot,
    begun: Stamp,
    cancelled: bool,
}

/// The permits of a process, and the calls that it has begun. They outlive incarnations, because calls do.
#[derive(Debug)]
pub struct Permits {
    timing: Timing,
    /// When the last renewal that is known to have succeeded was sent.
    renewed: Option<Stamp>,
    owned: BTreeMap<Slot, u64>,
    grants: u64,
    calls: HashMap<CallId, Call>,
    last_call: u64,
}

impl Permits {
    /// A process without permits and calls.
    pub fn new(timing: Timing) -> Self {
        Self { timing, renewed: None, owned: BTreeMap::new(), grants: 0, calls: HashMap::new(), last_call: 0 }
    }

    /// A renewal that was sent at `sent` is known to have succeeded.
    pub fn renew(&mut self, sent: Stamp) {
        if self.renewed.is_none_or(|renewed| renewed.mono < sent.mono) {
            self.renewed = Some(sent);
        }
    }

    /// The incarnation has ended. All permits end.
    pub fn revoke(&mut self) {
        self.renewed = None;
        self.owned.clear();
    }

    /// The same as [`Self::revoke`], and it also reports the slots that are lost.
    pub(crate) fn revoke_with_notice(&mut self, actions: &mut Vec<Action>) {
        let lost: Vec<Slot> = self.owned().collect();
        if !lost.is_empty() {
            actions.push(Action::Lost(lost));
        }
        self.revoke();
    }

    /// Sets the slots that are owned from now on. Returns the slots that were gained and those that were lost.
    pub fn own(&mut self, slots: &BTreeSet<Slot>) -> (Vec<Slot>, Vec<Slot>) {
        let lost: Vec<Slot> = self.owned.keys().filter(|slot| !slots.contains(slot)).copied().collect();
        let gained: Vec<Slot> = slots.iter().filter(|slot| !self.owned.contains_key(slot)).copied().collect();
        for slot in &lost {
            self.owned.remove(slot);
        }
        for slot in &gained {
            self.grants += 1;
            self.owned.insert(*slot, self.grants);
        }
        (gained, lost)
    }

    /// The slots that are owned.
    pub fn owned(&self) -> impl ExactSizeIterator<Item = Slot> + '_ {
        self.owned.keys().copied()
    }

    /// For how long calls may still begin. It is zero if they may not.
    pub fn left(&self, now: Stamp) -> Duration {
        let spent = |sent: Stamp| {
            if is_injected(Bug::PermitByWallClock) {
                return now.wall.saturating_sub(sent.wall);
            }
            now.longest_since(sent)
        };
        let lasts = if is_injected(Bug::ActsPastTheDeadline) {
            self.timing.lease() * 3
        } else {
            self.timing.permit()
        };
        self.renewed.map_or(Duration::ZERO, |sent| lasts.saturating_sub(spent(sent)))
    }

    /// The permit to work on a slot, if the incarnation owns the slot and its permit has not run out.
    pub fn of(&self, slot: Slot, now: Stamp) -> Option<SlotPermit> {
        let grant = *self.owned.get(&slot)?;
        (!self.left(now).is_zero()).then_some(SlotPermit { slot, grant })
    }

    /// Whether a permit still holds.
    pub fn holds(&self, permit: SlotPermit, now: Stamp) -> bool {
        self.owned.get(&permit.slot) == Some(&permit.grant) && !self.left(now).is_zero()
    }

    /// Begins a call. The caller must send it now. [`Self::ended`] or [`Self::cancelled`] must follow.
    ///
    /// # Errors
    /// [`Lapsed`]: the call must not go out.
    pub fn begin(&mut self, permit: SlotPermit, now: Stamp) -> Result<CallId, Lapsed> {
        if !self.holds(permit, now) {
            return Err(Lapsed(permit.slot));
        }
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.calls.insert(id, Call { slot: permit.slot, begun: now, cancelled: false });
        Ok(id)
    }

    /// A call got its reply, so it is over.
    pub fn ended(&mut self, call: CallId) {
        self.calls.remove(&call);
    }

    /// A call was given up without a reply. It counts until it must be over.
    pub fn cancelled(&mut self, call: CallId) {
        if is_injected(Bug::CancelledCallIsOver) {
            self.calls.remove(&call);
        } else if let Some(call) = self.calls.get_mut(&call) {
            call.cancelled = true;
        }
    }

    /// Forgets cancelled calls that must be over by now. A call that was not cancelled lasts at most T and reports its
    /// own end.
    pub fn forget_old(&mut self, now: Stamp) {
        let longest = self.timing.call();
        // The monotonic clock counts, as it does for a sealer: a wall clock that is set ends no call.
        self.calls.retain(|_, call| !call.cancelled || now.since(call.begun) < longest);
    }

    /// The slots for which calls may be running.
    pub fn busy(&self) -> BTreeSet<Slot> {
        self.calls.values().map(|call| call.slot).collect()
    }

    /// Whether any call may be running.
    pub fn is_quiet(&self) -> bool {
        self.calls.is_empty()
    }

    /// When the next cancelled call must be over, by the monotonic clock.
    pub fn next_over(&self) -> Option<Duration> {
        let cancelled = self.calls.values().filter(|call| call.cancelled);
        cancelled.map(|call| call.begun.mono + self.timing.call()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::all(Duration::from_secs(seconds))
    }

    fn slots(slots: &[u16]) -> BTreeSet<Slot> {
        slots.iter().map(|slot| Slot(*slot)).collect()
    }

    /// Slots 1 and 2, renewed at 100 s.
    fn permits() -> Permits {
        let mut permits = Permits::new(Timing::default());
        permits.own(&slots(&[1, 2]));
        permits.renew(at(100));
        permits
    }

    #[test]
    fn calls_may_begin_until_d_after_the_renewal_was_sent() {
        let mut permits = permits();
        let permit = permits.of(Slot(1), at(100)).unwrap();
        assert!(permits.begin(permit, at(107)).is_ok());
        assert_eq!(permits.begin(permit, at(108)), Err(Lapsed(Slot(1))));
        assert_eq!(permits.left(at(107)), Duration::from_secs(1));
        // when an older renewal is heard of late, then it shortens nothing
        permits.renew(at(99));
        assert_eq!(permits.left(at(107)), Duration::from_secs(1));
        permits.renew(at(106));
        assert!(permits.begin(permit, at(113)).is_ok());
    }

    #[test]
    fn nothing_may_begin_without_a_renewal_or_after_the_end() {
        let mut permits = Permits::new(Timing::default());
        permits.own(&slots(&[1]));
        assert_eq!(permits.of(Slot(1), at(0)), None);
        permits.renew(at(1));
        let permit = permits.of(Slot(1), at(1)).unwrap();
        permits.revoke();
        assert!(permits.begin(permit, at(1)).is_err());
        assert_eq!(permits.owned().len(), 0);
    }

    #[test]
    fn a_clock_that_jumps_forward_ends_the_permit_and_one_that_jumps_back_does_not_prolong_it() {
        let permits = permits();
        let forward = Stamp { wall: Duration::from_hours(1), ..at(101) };
        assert_eq!(permits.of(Slot(1), forward), None);
        let back = Stamp { wall: Duration::ZERO, ..at(108) };
        assert_eq!(permits.of(Slot(1), back), None);
        let slept = Stamp { boot: Duration::from_secs(200), ..at(101) };
        assert_eq!(permits.of(Slot(1), slept), None);
    }

    #[test]
    fn a_permit_is_void_once_its_slot_was_lost_even_if_it_came_back() {
        let mut permits = permits();
        let permit = permits.of(Slot(1), at(100)).unwrap();
        assert_eq!(permits.own(&slots(&[2, 3])), (vec![Slot(3)], vec![Slot(1)]));
        assert!(permits.begin(permit, at(100)).is_err());
        permits.own(&slots(&[1, 2, 3]));
        assert!(permits.begin(permit, at(100)).is_err());
        let anew = permits.of(Slot(1), at(100)).unwrap();
        assert!(permits.begin(anew, at(100)).is_ok());
    }

    #[test]
    fn a_slot_is_busy_until_its_calls_are_replied_to() {
        let mut permits = permits();
        let permit = permits.of(Slot(1), at(100)).unwrap();
        let first = permits.begin(permit, at(100)).unwrap();
        let second = permits.begin(permit, at(101)).unwrap();
        permits.ended(first);
        assert!(permits.busy() == slots(&[1]));
        permits.ended(second);
        assert!(permits.busy().is_empty() && permits.is_quiet());
    }

    #[test]
    fn a_cancelled_call_counts_until_its_time_out() {
        let mut permits = permits();
        let permit = permits.of(Slot(1), at(100)).unwrap();
        let call = permits.begin(permit, at(101)).unwrap();
        let other = permits.begin(permit, at(101)).unwrap();
        permits.cancelled(call);
        permits.ended(other);
        assert_eq!(permits.next_over(), Some(Duration::from_secs(105)));
        permits.forget_old(Stamp { wall: Duration::from_hours(1), ..at(104) });
        assert_eq!(permits.busy(), slots(&[1]));
        permits.forget_old(at(105));
        assert!(permits.is_quiet());
        assert_eq!(permits.next_over(), None);
    }

    #[test]
    fn a_call_that_still_runs_is_not_forgotten_however_late_its_reply() {
        let mut permits = permits();
        let permit = permits.of(Slot(1), at(100)).unwrap();
        let call = permits.begin(permit, at(100)).unwrap();
        permits.forget_old(at(900));
        assert!(!permits.is_quiet());
        permits.ended(call);
        assert!(permits.is_quiet());
    }
}
