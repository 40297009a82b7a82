//! Rings beside each other. Two of them must never work on one family for the same namespaces.
//!
//! Each member's Lease says what its owner works on ([`Claim`]). A *neighbour* is a member of another ring that would
//! share work with this one. A *check* is a consistent list of the neighbours. [`Neighbours`] remembers from one check
//! to the next for how long each Lease has been unchanged, by the monotonic clock.
//!
//! # Why two rings never do the same work
//! A member works only if both conditions are true:
//! 1. It sent a check while its own Lease was in the store, and the check found no neighbour except those that are over
//!    or silent.
//! 2. Its permit has not lapsed since it sent that check. After a lapse, and after the renewal, it checks again.
//!
//! A neighbour is *silent* if its Lease has been unchanged for the longer L of the two.
//!
//! Let X and Y of two rings both work, and let the store have served the check of X first. By 1., the Lease of X was in
//! the store when it served the check of Y. So Y found X silent: Y had seen version v of that Lease for L, and v was
//! still there.
//!
//! Every renewal of X up to v gave a permit of D from its sending, which was before Y first saw v. That permit has
//! ended, and the calls made with it are over, because D + T < L. A renewal of X after v took effect after the check of
//! Y. So the permit of X had lapsed before, and by 2. X has checked again since then. Then the check of X is not the
//! first one, which contradicts the assumption.
//!
//! A member also checks before it creates its Lease. The argument above does not need this check. It avoids that
//! members come and go beside a ring that is at work.
//!
//! # Which ring gives way
//! A process does not join while there is a neighbour that is neither over nor silent. So the ring that was there first
//! stays. If two rings begin at one moment, members of both may have joined before they see each other. Then the larger
//! ring, by namespace and name, goes at once. The smaller one waits and does not work. If the larger one stays all the
//! same, it is at work, and the smaller one goes.
//!
//! A member at work may meet neighbours that do not give way: those of release 0.1.0, which do not know this rule, and
//! those that cannot see Leases in other namespaces. The member hands over and goes when it has seen such a neighbour
//! renew. If both see each other, the larger one goes.
//!
//! # What is not promised
//! A member does not see neighbours in other namespaces if it may not list Leases there. If somebody deletes the Lease
//! of a member, the member works on until its next renewal, which shows that the Lease is gone. If a member of release
//! 0.1.0 and one of this release work for one namespace each, they do not know whether it is the same namespace.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    claim::{Claim, Neighbour, RingName},
    record::{Incarnation, Standing},
};

/// The member that looks at its neighbours.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The ring of the member.
    pub ring: RingName,
    /// What the member works on.
    pub claim: Claim,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not a member.
    Outside,
    /// It may not work: since it joined, or since its permit lapsed, no check has allowed it.
    Unproved,
    /// It may work.
    Proved,
}

/// A neighbour, and the changes of its Lease that were seen.
#[derive(Clone, Debug)]
pub struct SeenNeighbour {
    neighbour: Neighbour,
    /// Since when its Lease has been unchanged.
    since: Duration,
    /// Whether it has been seen to renew.
    renewed: bool,
    /// Whether it is silent. It stays silent until its Lease changes.
    silent: bool,
}

impl SeenNeighbour {
    fn new(neighbour: Neighbour, now: Duration) -> Self {
        Self { neighbour, since: now, renewed: false, silent: false }
    }

    /// The state after the neighbour was seen again.
    fn again(self, neighbour: Neighbour, now: Duration) -> Self {
        let (known, lease) = (&self.neighbour.lease, &neighbour.lease);
        if known.uid != lease.uid {
            return Self::new(neighbour, now);
        }
        if known.version == lease.version {
            return self;
        }
        let renewed = self.renewed || known.value.counter < lease.value.counter;
        Self { renewed, ..Self::new(neighbour, now) }
    }

    /// Whether it has been seen to renew.
    pub fn renewed(&self) -> bool {
        self.renewed
    }

    /// The neighbour is silent after this time without a change. It is the longer L of the two.
    fn patience(&self, lease: Duration) -> Duration {
        lease.max(self.neighbour.lease.value.duration)
    }
}

/// The neighbours at the last check.
#[derive(Debug, Default)]
pub struct Neighbours(BTreeMap<(Arc<str>, Incarnation), SeenNeighbour>);

impl Neighbours {
    /// Takes in a check: all members of all rings that can be seen. `lease` is this member's own L.
    pub fn take_in(&mut self, own: &Claimant, listed: Vec<Neighbour>, lease: Duration, now: Duration) {
        let mut before = std::mem::take(&mut self.0);
        for neighbour in listed.into_iter().filter(|neighbour| own.shares_work_with(neighbour)) {
            let id = (neighbour.ring.namespace.clone(), neighbour.lease.value.incarnation.clone());
            let mut seen = match before.remove(&id) {
                Some(known) => known.again(neighbour, now),
                None => SeenNeighbour::new(neighbour, now),
            };
            seen.silent |= now.saturating_sub(seen.since) >= seen.patience(lease);
            self.0.insert(id, seen);
        }
    }

    /// A check has failed. Neighbours that seem silent may only not have been heard, so counting begins anew.
    pub fn begin_anew(&mut self, now: Duration) {
        self.0.values_mut().filter(|seen| !seen.silent).for_each(|seen| seen.since = now);
    }

    /// Whether any neighbour may be alive.
    pub fn any_alive(&self) -> bool {
        self.0.values().any(|seen| !seen.silent)
    }

    /// The neighbours to which a member gives way.
    pub fn in_the_way<'a>(
        &'a self,
        own: &'a Claimant,
        stage: Stage,
    ) -> impl Iterator<Item = &'a SeenNeighbour> {
        self.0.values().filter(move |seen| own.gives_way_to(seen, stage))
    }
}

impl Claimant {
    /// Whether a member of any ring is a neighbour: it is of another ring and shares work with this one.
    fn shares_work_with(&self, other: &Neighbour) -> bool {
        let claim = other.claim();
        other.ring != self.ring
            && !claim.dry_run
            && !other.lease.value.standing.is_over()
            && !self.claim.overlap(&claim).is_empty()
    }

    /// Whether this member gives way to a neighbour (see "Which ring gives way" above).
    pub fn gives_way_to(&self, seen: &SeenNeighbour, stage: Stage) -> bool {
        let SeenNeighbour { neighbour, renewed, silent, .. } = seen;
        if *silent {
            return false;
        }
        let is_first = neighbour.sees(&self.ring) && self.ring < neighbour.ring;
        // A neighbour that gives way itself is seen only for a moment, or it hands over.
        let stays = *renewed && neighbour.lease.value.standing == Standing::Active;
        match stage {
            _ if self.claim.dry_run => true,
            Stage::Outside => true,
            Stage::Unproved => stays || !is_first,
            Stage::Proved => stays && !is_first,
        }
    }

    /// The text that people read about a neighbour.
    pub fn text(&self, seen: &SeenNeighbour) -> String {
        let shared = self.claim.overlap(&seen.neighbour.claim());
        seen.neighbour.text(&shared)
    }
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
