//! The changes that a leader has seen. They tell it when to plan. They are lost with the lead: the next leader starts
//! to count when its own lead begins.

use std::{collections::BTreeMap, time::Duration};

use super::{Known, Peer};
use crate::{
    record::{Incarnation, Move, Ring},
    slot::Slot,
    timing::Timing,
};

/// When members came and went, and when the slots of moves were first seen drained, by the monotonic clock.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The members, and whether they are active.
    members: BTreeMap<Incarnation, bool>,
    joins: Option<Joins>,
    last_change: Duration,
    /// By slot, and by the epoch that began its move.
    drained: BTreeMap<(Slot, u64), Duration>,
}

/// Joins that are planned together.
#[derive(Clone, Copy, Debug)]
struct Joins {
    first: Duration,
    last: Duration,
    /// Moves have begun since. So the next join is planned separately. Otherwise joins that never end would delay
    /// balancing for ever.
    served: bool,
}

impl Changes {
    /// The state at the beginning of a lead, or of a ring.
    pub fn new(ring: &Ring, now: Duration) -> Self {
        Self {
            members: ring.members.keys().map(|member| (member.clone(), true)).collect(),
            joins: None,
            last_change: now,
            drained: BTreeMap::new(),
        }
    }

    /// Records what is new. Call it before each plan, with the same facts.
    pub fn note(&mut self, ring: &Ring, peers: &[Peer<'_>], timing: &Timing, now: Duration) {
        let known = Known::of(peers);
        let members: BTreeMap<Incarnation, bool> =
            known.members().map(|peer| (peer.incarnation.clone(), peer.is_active())).collect();
        if members != self.members {
            self.last_change = now;
        }
        if let Some(joins) = &mut self.joins {
            joins.served |= !ring.moves.is_empty();
        }
        if members.iter().any(|(member, active)| *active && !self.members.contains_key(member)) {
            let is_open = |joins: &Joins| !joins.served && now <= joins.last.saturating_add(timing.settle());
            let first = self.joins.filter(is_open).map_or(now, |joins| joins.first);
            self.joins = Some(Joins { first, last: now, served: false });
        }
        self.members = members;
        self.note_drained(ring, &known, now);
    }

    fn note_drained(&mut self, ring: &Ring, known: &Known<'_>, now: Duration) {
        let is_drained = |slot: Slot, moving: &Move| {
            ring.owners.get(&slot).is_some_and(|owner| known.has_drained(owner, slot, moving))
        };
        let drained = ring.moves.iter().filter(|(slot, moving)| is_drained(**slot, moving));
        let keys = drained.map(|(slot, moving)| (*slot, moving.since));
        let before = std::mem::take(&mut self.drained);
        self.drained = keys.map(|key| (key, before.get(&key).copied().unwrap_or(now))).collect();
    }

    /// When the slot of a move was first seen drained.
    pub(super) fn drained_at(&self, slot: Slot, moving: &Move) -> Option<Duration> {
        self.drained.get(&(slot, moving.since)).copied()
    }

    /// When members may be balanced. The time depends on whether all members have one release.
    pub(super) fn quiet_at(&self, one_release: bool, timing: &Timing) -> Duration {
        if one_release {
            self.settled_at(timing)
        } else {
            self.last_change.saturating_add(timing.update_quiet())
        }
    }

    fn settled_at(&self, timing: &Timing) -> Duration {
        self.joins.map_or(Duration::ZERO, |joins| {
            let (first, last) = (joins.first, joins.last);
            last.saturating_add(timing.settle()).min(first.saturating_add(timing.settle_max()))
        })
    }
}
