//! What a leader remembers of the changes that it saw, to plan at the right time. Lost with the lead: the
//! next leader counts from the beginning of its own.

use std::{collections::BTreeMap, time::Duration};

use super::{Known, Peer};
use crate::{
    record::{Incarnation, Ring},
    timing::Timing,
};

/// When members came and went, and when moves were first seen acknowledged, by the monotonic clock.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Members, and whether they are active.
    members: BTreeMap<Incarnation, bool>,
    joins: Option<Joins>,
    last_change: Duration,
    /// By owner and epoch that began the move.
    acked: BTreeMap<(Incarnation, u64), Duration>,
}

/// Joins that settle together.
#[derive(Clone, Copy, Debug)]
struct Joins {
    first: Duration,
    last: Duration,
    /// Moves have begun since: the next join settles apart. Without this, joins that never end would put
    /// off balancing for ever.
    served: bool,
}

impl Changes {
    /// At the beginning of a lead, or of a ring.
    pub fn new(ring: &Ring, now: Duration) -> Self {
        Self {
            members: ring.members.keys().map(|member| (member.clone(), true)).collect(),
            joins: None,
            last_change: now,
            acked: BTreeMap::new(),
        }
    }

    /// Takes note of what is new. To be called with the facts of each plan, before it.
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
        self.note_acks(ring, &known, now);
    }

    fn note_acks(&mut self, ring: &Ring, known: &Known<'_>, now: Duration) {
        let mut acked = BTreeMap::new();
        for (slot, moving) in &ring.moves {
            let owner = ring.owners.get(slot).filter(|owner| known.has_acked(owner, moving.since));
            if let Some(owner) = owner {
                let key = (owner.clone(), moving.since);
                let seen = self.acked.get(&key).copied().unwrap_or(now);
                acked.insert(key, seen);
            }
        }
        self.acked = acked;
    }

    /// When a move was first seen acknowledged.
    pub(super) fn acked_at(&self, owner: &Incarnation, since: u64) -> Option<Duration> {
        self.acked.get(&(owner.clone(), since)).copied()
    }

    /// When members may be balanced, if all are of one release or if they are not.
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
