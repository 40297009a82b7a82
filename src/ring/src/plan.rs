//! The assignment: who owns which slot, who gets it next, and when. Pure functions of what is known.
//!
//! # Why two members never get one slot
//! A slot changes its owner for one of three reasons, and each says that the old owner works on it no more:
//!
//! 1. It has no owner.
//! 2. Its owner's Lease, bound to this ring, is over: sealed, or released by the owner itself.
//! 3. It is on its way, and its owner's Lease, bound to this ring, acknowledges the epoch that began the
//!    move and does not list the slot as draining: from that epoch on the owner did not work on it, and its
//!    calls for it had ended.
//!
//! That a Lease is missing is no reason, and a Lease of another ring is taken for a missing one. A move that
//! is begun anew, to whomever, begins with the epoch that is written with it: an older acknowledgement is
//! worth nothing to it, for in between the owner may have worked again. Whoever is wrong about the ring he
//! starts from fails when he writes, for every write is a compare-and-swap.
//!
//! All else here is about calm: few moves, none twice, and no load left uneven.

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
    injected_bugs::{Bug, planted},
    record::{Incarnation, MemberLease, Move, Ring, Standing},
    slot::Slot,
    timing::Timing,
};

/// A member as its Lease shows it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Whose Lease it is.
    pub incarnation: &'a Incarnation,
    /// Where it stands.
    pub standing: Standing,
    /// It is to go: it gets nothing new, and what it has goes to others.
    pub told_to_leave: bool,
    /// What moves begun up to this epoch take from it is drained, but for `draining`.
    pub acked: u64,
    /// Slots for which a call of its may still be running.
    pub draining: &'a BTreeSet<Slot>,
    /// Its release.
    pub release: &'a Arc<str>,
    /// When its Lease was created, seconds by the API server's clock; 0 if that is not known yet.
    pub created: i64,
    /// Its Lease is bound to this very ring. If not, it counts as nothing.
    pub bound: bool,
    /// The highest protocol that it speaks.
    pub protocol: u32,
}

impl<'a> Peer<'a> {
    /// A member's Lease, as seen from the ring object of this uid.
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

/// What is to be done about a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be written, its epoch one higher. None if the ring is as it should be for now.
    pub ring: Option<Ring>,
    /// How many moves begin with it.
    pub begun: usize,
    /// When to plan again if nothing changes before, by the monotonic clock.
    pub again_at: Option<Duration>,
}

/// The next ring, as its leader `me` should write it. [`Changes::note`] comes first, with the same facts.
/// `now` is by the monotonic clock.
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

/// What a member `me` may write by itself: it takes the slots on their way to it that it may have now.
/// None if there are none.
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

/// The members whose Leases are bound to this ring. All others are as good as unknown.
struct Known<'a>(BTreeMap<&'a Incarnation, &'a Peer<'a>>);

impl<'a> Known<'a> {
    fn of(peers: &'a [Peer<'a>]) -> Self {
        let bound = peers.iter().filter(|peer| peer.bound || planted(Bug::LeaseOfAnyRing));
        Self(bound.map(|peer| (peer.incarnation, peer)).collect())
    }

    /// Reason 2: nobody works in its name any more. Its absence would not show that.
    fn is_over(&self, who: &Incarnation) -> bool {
        self.0.get(who).map_or(planted(Bug::AbsenceIsDeath), |peer| peer.standing.is_over())
    }

    /// Reason 3: an owner has drained a slot that a move takes from it.
    fn has_drained(&self, owner: &Incarnation, slot: Slot, moving: &Move) -> bool {
        let enough = |acked| if planted(Bug::AckOfAnyEpoch) { acked > 0 } else { acked >= moving.since };
        let is_draining = |peer: &Peer<'_>| peer.draining.contains(&slot) && !planted(Bug::IgnoresDraining);
        self.0.get(owner).is_some_and(|peer| enough(peer.acked) && !is_draining(peer))
    }

    fn is_active(&self, who: &Incarnation) -> bool {
        self.0.get(who).is_some_and(|peer| peer.is_active())
    }

    /// It keeps what it has until somebody else is ready for it.
    fn is_leaving(&self, who: &Incarnation) -> bool {
        self.0.get(who).is_some_and(|peer| !peer.standing.is_over() && !peer.is_active())
    }

    fn members(&self) -> impl Iterator<Item = &'a Peer<'a>> {
        self.0.values().copied().filter(|peer| !peer.standing.is_over())
    }

    fn active(&self) -> impl Iterator<Item = &'a Peer<'a>> {
        self.members().filter(|peer| peer.is_active())
    }

    /// The newest release that an active member has. A release is as old as the oldest member of it: one
    /// that was started anew does not make its release the newest.
    fn newest_release(&self) -> Option<&'a Arc<str>> {
        let mut oldest: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
        for peer in self.members() {
            // What the API server has not dated yet was created last.
            let created = if peer.created == 0 { i64::MAX } else { peer.created };
            let entry = oldest.entry(peer.release).or_insert(created);
            *entry = created.min(*entry);
        }
        let age = |release: &Arc<str>| oldest.get(release).copied();
        self.active().map(|peer| peer.release).max_by_key(|release| (age(release), *release))
    }
}

/// Members by their planned loads, the least loaded first, then by name.
struct Loads(BTreeSet<(usize, Incarnation)>);

impl Loads {
    /// Adds a slot to the least loaded. None if there is nobody.
    fn pick(&mut self) -> Option<Incarnation> {
        let (load, least) = self.0.pop_first()?;
        self.0.insert((load + 1, least.clone()));
        Some(least)
    }
}

/// A ring that is being planned.
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

    /// How many slots each member is to have once all moves are complete.
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

    /// Ends the moves whose owners are members: those to active members when they are acknowledged and it
    /// is time to stand in for the next owner; those from active members to others at once, without effect.
    fn end_moves(&mut self, me: &Incarnation, changes: &Changes, timing: &Timing, now: Duration) {
        for (slot, moving) in self.ring.moves.clone() {
            let owner = self.ring.owners.get(&slot).filter(|owner| !self.known.is_over(owner)).cloned();
            let Some(owner) = owner else { continue };
            if !self.known.is_active(&moving.to) {
                if self.known.is_active(&owner) {
                    // It drained for nothing, and works on when it sees that the move is gone.
                    self.ring.moves.remove(&slot);
                }
            } else if self.known.has_drained(&owner, slot, &moving) {
                let seen = changes.drained_at(slot, &moving).unwrap_or(now);
                // The next owner does it itself, sooner. The leader stands in where it does not.
                let at = if &moving.to == me { now } else { seen.saturating_add(timing.retry()) };
                if at <= now {
                    self.give(slot, moving.to);
                } else {
                    self.again(at);
                }
            }
        }
    }

    /// Names successors for what leaving members have, of the newest release: others may be about to go.
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
                // Nobody is there: its owner works on while it can.
                None => drop(self.ring.moves.remove(&slot)),
            }
        }
    }

    /// Gives away what nobody owns, or somebody who is over.
    fn place_orphans(&mut self) {
        let mut loads = self.loads(|_| true);
        if loads.0.is_empty() {
            // Those that would rather have nothing are better than nobody.
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

    /// Begins the fewest moves that bring all active members within one slot, when members have been quiet.
    fn balance(&mut self, changes: &Changes, timing: &Timing, now: Duration) {
        // What an unknown owner has will be free soon, and goes to the least loaded without a move.
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
        // Those with most keep the one that is over: it would be a move more if others had it.
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
