//! What a leader remembers of the changes that it saw, to plan at the right time. Lost with the lead: the
//! next leader begins as if all had just changed, and waits a little longer.

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
    /// The first of the joins that settle together, and the last.
    joins: Option<(Duration, Duration)>,
    last_change: Duration,
    /// By owner and epoch that began the move.
    acked: BTreeMap<(Incarnation, u64), Duration>,
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
        if members.iter().any(|(member, active)| *active && !self.members.contains_key(member)) {
            let open = self.joins.filter(|_| now < self.settled_at(timing));
            self.joins = Some((open.map_or(now, |(first, _)| first), now));
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
        self.joins.map_or(Duration::ZERO, |(first, last)| {
            last.saturating_add(timing.settle()).min(first.saturating_add(timing.settle_max()))
        })
    }
}
