//! The assignment: which member owns which slot, which member gets it next, and when. The functions are pure.
//!
//! # Why two members never get one slot
//! A slot changes its owner for one of three reasons. Each of them says that the old owner does not work on it any
//! more:
//!
//! 1. The slot has no owner.
//! 2. The owner's Lease, bound to this ring, is over: another member sealed it, or the owner released it.
//! 3. The slot has a move, and the owner's Lease, bound to this ring, acknowledges the epoch that began the move and
//!    does not list the slot as draining. So the owner has not worked on the slot since that epoch, and its calls for
//!    it have ended.
//!
//! A missing Lease is no reason. A Lease of another ring counts as a missing one. If a move begins anew, to any member,
//! it begins with the epoch that is written with it. An older acknowledgement does not count for it, because the owner
//! may have worked again in between. If a writer is wrong about the ring that it starts from, its write fails, because
//! every write is a compare-and-swap.
//!
//! All other rules here are for calm: few moves, none twice, and an even load.

mod changes;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use self::changes::Changes;
use crate::{
    injected_bugs::{Bug, is_injected},
    record::{Incarnation, MemberLease, Move, Ring, Standing},
    slot::Slot,
    timing::Timing,
};

/// A member, as its Lease shows it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The owner of the Lease.
    pub incarnation: &'a Incarnation,
    /// Whether it takes part, leaves, or is over.
    pub standing: Standing,
    /// It shall leave: it gets nothing new, and its slots go to others.
    pub told_to_leave: bool,
    /// The slots that moves up to this epoch take from it are drained, except for `draining`.
    pub acked: u64,
    /// Slots for which one of its calls may still be running.
    pub draining: &'a BTreeSet<Slot>,
    /// The release of the member.
    pub release: &'a Arc<str>,
    /// When its Lease was created, in seconds by the API server's clock. It is 0 if that is not known yet.
    pub created: i64,
    /// Whether its Lease is bound to exactly this ring. If not, the Lease does not count.
    pub bound: bool,
    /// The highest protocol that it speaks.
    pub protocol: u32,
}

impl<'a> Peer<'a> {
    /// The owner of a Lease, as seen from the ring object with this uid.
    pub fn of(lease: &'a MemberLease, ring_uid: &str) -> Self {
        Self {
            incarnation: &lease.incarnation,
            standing: lease.standing,
            told_to_leave: lease.told_to_leave,
            acked: lease.acked,
            draining: &lease.draining,
            release: &lease.release,
            created: lease.created,
            bound: &*lease.ring == ring_uid,
            protocol: lease.protocol,
        }
    }

    fn is_active(&self) -> bool {
        self.standing == Standing::Active && !self.told_to_leave
    }
}

/// The result of planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ring to write, with the next epoch. None if the ring needs no change now.
    pub ring: Option<Ring>,
    /// The number of moves that begin with it.
    pub begun: usize,
    /// When to plan again if nothing changes before that, by the monotonic clock.
    pub again_at: Option<Duration>,
}

/// The next ring, as its leader `me` should write it. Call [`Changes::note`] before, with the same facts. `now` is by
/// the monotonic clock.
pub fn plan(
    ring: &Ring,
    peers: &[Peer<'_>],
    me: &Incarnation,
    changes: &Changes,
    timing: &Timing,
    now: Duration,
) -> Plan {
    let mut draft = Draft::of(ring, Known::of(peers), me);
    if ring.open {
        draft.end_moves(me, changes, timing, now);
        draft.free_leavers();
        draft.place_orphans();
        draft.balance(changes, timing, now);
    }
    draft.end(ring)
}

/// What the member `me` may write by itself: it takes the slots of moves to it if it may have them now. None if there
/// are no such slots.
pub fn complete(ring: &Ring, peers: &[Peer<'_>], me: &Incarnation) -> Option<Ring> {
    let known = Known::of(peers);
    if !ring.open || !known.is_active(me) {
        return None;
    }
    let may_have = |slot: Slot, moving: &Move| {
        let owner = ring.owners.get(&slot);
        owner.is_none_or(|owner| known.is_over(owner) || known.has_drained(owner, slot, moving))
    };
    let to_me = ring.moves.iter().filter(|(_, moving)| &moving.to == me);
    let mine: Vec<Slot> =
        to_me.filter(|(slot, moving)| may_have(**slot, moving)).map(|(slot, _)| *slot).collect();
    if mine.is_empty() {
        return None;
    }
    let mut next = Ring { epoch: ring.epoch.saturating_add(1), ..ring.clone() };
    for slot in mine {
        next.moves.remove(&slot);
        next.owners.insert(slot, me.clone());
    }
    Some(next)
}

/// The members whose Leases are bound to this ring. All others count as unknown.
struct Known<'a>(BTreeMap<&'a Incarnation, &'a Peer<'a>>);

impl<'a> Known<'a> {
    fn of(peers: &'a [Peer<'a>]) -> Self {
        let bound = peers.iter().filter(|peer| peer.bound || is_injected(Bug::LeaseOfAnyRing));
        Self(bound.map(|peer| (peer.incarnation, peer)).collect())
    }

    /// Reason 2: no process works in its name any more. A missing Lease does not show that.
    fn is_over(&self, who: &Incarnation) -> bool {
        self.0.get(who).map_or(is_injected(Bug::AbsenceIsDeath), |peer| peer.standing.is_over())
    }

    /// Reason 3: an owner has drained a slot that a move takes from it.
    fn has_drained(&self, owner: &Incarnation, slot: Slot, moving: &Move) -> bool {
        let enough = |acked| if is_injected(Bug::AckOfAnyEpoch) { acked > 0 } else { acked >= moving.since };
        let is_draining =
            |peer: &Peer<'_>| peer.draining.contains(&slot) && !is_injected(Bug::IgnoresDraining);
        self.0.get(owner).is_some_and(|peer| enough(peer.acked) && !is_draining(peer))
    }

    fn is_active(&self, who: &Incarnation) -> bool {
        self.0.get(who).is_some_and(|peer| peer.is_active())
    }

    /// Whether it leaves, and keeps its slots until another member is ready for them.
    fn is_leaving(&self, who: &Incarnation) -> bool {
        self.0.get(who).is_some_and(|peer| !peer.standing.is_over() && !peer.is_active())
    }

    fn members(&self) -> impl Iterator<Item = &'a Peer<'a>> {
        self.0.values().copied().filter(|peer| !peer.standing.is_over())
    }

    fn active(&self) -> impl Iterator<Item = &'a Peer<'a>> {
        self.members().filter(|peer| peer.is_active())
    }

    /// The newest release that an active member has. The age of a release is the age of its oldest member, so a
    /// restarted member does not make its release the newest.
    fn newest_release(&self) -> Option<&'a Arc<str>> {
        let mut oldest: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
        for peer in self.members() {
            // If the API server has not said when a Lease was created, the Lease counts as the newest.
            let created = if peer.created == 0 { i64::MAX } else { peer.created };
            let entry = oldest.entry(peer.release).or_insert(created);
            *entry = created.min(*entry);
        }
        let age = |release: &Arc<str>| oldest.get(release).copied();
        self.active().map(|peer| peer.release).max_by_key(|release| (age(release), *release))
    }
}

/// Members by their planned loads: the least loaded first, then by name.
struct Loads(BTreeSet<(usize, Incarnation)>);

impl Loads {
    /// Adds a slot to the least loaded member. None if there is no member.
    fn pick(&mut self) -> Option<Incarnation> {
        let (load, least) = self.0.pop_first()?;
        self.0.insert((load + 1, least.clone()));
        Some(least)
    }
}

/// A ring during planning.
struct Draft<'a> {
    ring: Ring,
    known: Known<'a>,
    begun: usize,
    again_at: Option<Duration>,
}

impl<'a> Draft<'a> {
    fn of(ring: &Ring, known: Known<'a>, me: &Incarnation) -> Self {
        let members = known.members().map(|peer| (peer.incarnation.clone(), Arc::clone(peer.release)));
        let lowest = known.members().map(|peer| peer.protocol).min();
        let next = Ring {
            epoch: ring.epoch.saturating_add(1),
            leader: Some(me.clone()),
            members: members.collect(),
            protocol: lowest.unwrap_or(ring.protocol).max(1),
            ..ring.clone()
        };
        Self { ring: next, known, begun: 0, again_at: None }
    }

    fn end(self, before: &Ring) -> Plan {
        let Self { ring: next, begun, again_at, .. } = self;
        let is_news = Ring { epoch: before.epoch, ..next.clone() } != *before;
        Plan { ring: is_news.then_some(next), begun, again_at }
    }

    fn again(&mut self, at: Duration) {
        self.again_at = Some(self.again_at.map_or(at, |before| before.min(at)));
    }

    fn give(&mut self, slot: Slot, to: Incarnation) {
        self.ring.moves.remove(&slot);
        self.ring.owners.insert(slot, to);
    }

    fn begin_move(&mut self, slot: Slot, to: Incarnation) {
        self.ring.moves.insert(slot, Move { to, since: self.ring.epoch });
        self.begun += 1;
    }

    /// How many slots each member will have when all moves are complete.
    fn loads(&self, of: impl Fn(&Peer<'_>) -> bool) -> Loads {
        self.loads_of(self.known.active().filter(|peer| of(peer)))
    }

    fn loads_of<'p>(&self, chosen: impl Iterator<Item = &'p Peer<'p>>) -> Loads {
        let mut loads: BTreeMap<&Incarnation, usize> = chosen.map(|peer| (peer.incarnation, 0)).collect();
        for slot in self.ring.all_slots() {
            let moving = self.ring.moves.get(&slot).map(|moving| &moving.to);
            let load = moving.or(self.ring.owners.get(&slot)).and_then(|has| loads.get_mut(has));
            if let Some(load) = load {
                *load += 1;
            }
        }
        Loads(loads.into_iter().map(|(who, load)| (load, who.clone())).collect())
    }

    /// Ends moves whose owners are members. A move to an active member ends when it is acknowledged and the leader must
    /// stand in for the next owner. A move from an active member to another one that is not active ends at once,
    /// without effect.
    fn end_moves(&mut self, me: &Incarnation, changes: &Changes, timing: &Timing, now: Duration) {
        for (slot, moving) in self.ring.moves.clone() {
            let owner = self.ring.owners.get(&slot).filter(|owner| !self.known.is_over(owner)).cloned();
            let Some(owner) = owner else { continue };
            if !self.known.is_active(&moving.to) {
                if self.known.is_active(&owner) {
                    // The owner drained in vain. It works on when it sees that the move is gone.
                    self.ring.moves.remove(&slot);
                }
            } else if self.known.has_drained(&owner, slot, &moving) {
                let seen = changes.drained_at(slot, &moving).unwrap_or(now);
                // The next owner does this itself, and sooner. If it does not, the leader stands in.
                let at = if &moving.to == me { now } else { seen.saturating_add(timing.retry()) };
                if at <= now {
                    self.give(slot, moving.to);
                } else {
                    self.again(at);
                }
            }
        }
    }

    /// Names successors for the slots of leaving members. They have the newest release, because others may leave soon.
    fn free_leavers(&mut self) {
        let newest = self.known.newest_release();
        let mut loads = self.loads(|peer| Some(peer.release) == newest);
        for slot in self.ring.all_slots() {
            let moving = self.ring.moves.get(&slot);
            let Some(owner) = self.ring.owners.get(&slot).filter(|owner| self.known.is_leaving(owner)) else {
                continue;
            };
            if moving.is_some_and(|moving| self.known.is_active(&moving.to)) {
                continue;
            }
            let is_drained = moving.is_some_and(|moving| self.known.has_drained(owner, slot, moving));
            match loads.pick() {
                Some(to) if is_drained => self.give(slot, to),
                Some(to) => self.begin_move(slot, to),
                // There is no successor. The owner works on while it can.
                None => drop(self.ring.moves.remove(&slot)),
            }
        }
    }

    /// Gives away the slots that have no owner, or whose owner is over.
    fn place_orphans(&mut self) {
        let mut loads = self.loads(|_| true);
        if loads.0.is_empty() {
            // Members that rest or leave are better than no owner.
            loads = self.loads_of(self.known.members().filter(|peer| !peer.told_to_leave));
        }
        for slot in self.ring.all_slots() {
            if self.ring.owners.get(&slot).is_some_and(|owner| !self.known.is_over(owner)) {
                continue;
            }
            let moving = self.ring.moves.remove(&slot).map(|moving| moving.to);
            match moving.filter(|to| self.known.is_active(to)).or_else(|| loads.pick()) {
                Some(to) => self.give(slot, to),
                None => drop(self.ring.owners.remove(&slot)),
            }
        }
    }

    /// Begins the fewest moves that bring all active members within one slot, if members have been unchanged long
    /// enough.
    fn balance(&mut self, changes: &Changes, timing: &Timing, now: Duration) {
        // The slots of an unknown owner will be free soon. They then go to the least loaded members without a move.
        let is_unknown = |owner: &Incarnation| !self.known.0.contains_key(owner);
        if !self.ring.moves.is_empty() || self.ring.owners.values().any(is_unknown) {
            return;
        }
        let transfers = self.transfers();
        if transfers.is_empty() {
            return;
        }
        let releases: BTreeSet<&Arc<str>> = self.known.active().map(|peer| peer.release).collect();
        let at = changes.quiet_at(releases.len() < 2, timing);
        if now < at {
            self.again(at);
            return;
        }
        for (slot, to) in transfers {
            self.begin_move(slot, to);
        }
    }

    fn transfers(&self) -> Vec<(Slot, Incarnation)> {
        let mut owned: BTreeMap<&Incarnation, Vec<Slot>> =
            self.known.active().map(|peer| (peer.incarnation, Vec::new())).collect();
        for (slot, owner) in &self.ring.owners {
            if let Some(slots) = owned.get_mut(owner) {
                slots.push(*slot);
            }
        }
        let total: usize = owned.values().map(Vec::len).sum();
        let each = total.checked_div(owned.len()).unwrap_or_default();
        let extra = total.checked_rem(owned.len()).unwrap_or_default();
        let mut owned: Vec<(&Incarnation, Vec<Slot>)> = owned.into_iter().collect();
        // The members with the most slots keep the remainder. For other members it would take one more move.
        owned.sort_by_key(|(who, slots)| (Reverse(slots.len()), *who));
        let (mut surplus, mut takers) = (Vec::new(), Vec::new());
        for (place, (who, slots)) in owned.into_iter().enumerate() {
            let share = each + usize::from(place < extra);
            takers.extend(std::iter::repeat_n(who, share.saturating_sub(slots.len())));
            surplus.extend(slots.into_iter().skip(share));
        }
        surplus.into_iter().zip(takers.into_iter().cloned()).collect()
    }
}
