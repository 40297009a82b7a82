//! Rings beside each other. Two of them must never work on one family for the same namespaces.
//!
//! Each member's Lease says what its owner works on ([`Claim`]). Members of other rings with which this one would share
//! work are *neighbours*. A *check* is a consistent list of them; [`Neighbours`] remembers for how long each Lease has
//! been unchanged, by the monotonic clock, from one check to the next.
//!
//! # Why two rings never do the same work
//! A member works only if
//! 1. a check that it sent while its own Lease stood in the store found no neighbour but over or silent ones, and
//! 2. its permit has not lapsed since it sent that check. After a lapse it checks again, after the renewal.
//!
//! *Silent* is a neighbour whose Lease has been unchanged for the longer L of the two.
//!
//! Let X and Y of two rings both work, and let the store have served the check of X first. By 1. the Lease of X was
//! there when it served the check of Y. So Y found X silent: it had seen version v of that Lease for L, and v still
//! stood there. Whatever renewal of X came before v gave a permit of D from its sending, which was before Y first saw
//! v; that permit has ended, and the calls made with it, for D + T < L. A renewal of X after v took effect after the
//! check of Y, so the permit of X had lapsed before, and by 2. X has checked again since: its check is not the first.
//!
//! A member that is not there yet checks before it creates its Lease, too. That is not needed for the above: it
//! spares a ring that is at work the sight of members that come and go.
//!
//! # Who gives way
//! A process does not join while there is a neighbour that is neither over nor silent: the ring that was there first
//! stays. If two begin at one moment, both may have joined before they see each other. Then the larger one, by
//! namespace and name, goes at once. The smaller one waits, without working. If the larger one stays, it is at work,
//! and the smaller one goes.
//!
//! A member at work meets neighbours that do not give way: those of release 0.1.0, which know nothing of this, and
//! those that cannot see Leases in other namespaces. It hands over and goes once it has seen such a one renew. If both
//! see each other, the larger one goes.
//!
//! # What is not promised
//! A member does not see neighbours in other namespaces if it may not list Leases there. A member whose Lease somebody
//! deletes works on until it finds out, at its next renewal. Two members of release 0.1.0 and of this one that
//! work for one namespace each are not told apart from two that work for the same one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    claim::{Claim, Neighbour, RingName},
    record::{Incarnation, Standing},
};

/// Who looks at its neighbours.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// Its ring.
    pub ring: RingName,
    /// What it works on.
    pub claim: Claim,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is no member.
    Outside,
    /// It may not work: no check has allowed it to since it joined, or since its permit lapsed.
    Unproved,
    /// It may work.
    Proved,
}

/// A neighbour, and how its Lease was seen to change.
#[derive(Clone, Debug)]
pub struct Seen {
    neighbour: Neighbour,
    /// Since when its Lease has been seen as it is.
    since: Duration,
    /// It has been seen to renew.
    renewed: bool,
    /// It is silent, and will be until its Lease changes.
    silent: bool,
}

impl Seen {
    fn new(neighbour: Neighbour, now: Duration) -> Self {
        Self { neighbour, since: now, renewed: false, silent: false }
    }

    /// It is seen again.
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

    /// After so long without a change it is silent: each waits as long as the more patient of the two says.
    fn patience(&self, lease: Duration) -> Duration {
        lease.max(self.neighbour.lease.value.duration)
    }
}

/// The neighbours, as of the last check.
#[derive(Debug, Default)]
pub struct Neighbours(BTreeMap<(Arc<str>, Incarnation), Seen>);

impl Neighbours {
    /// Takes in a check: all members of all rings that can be seen. `lease` is the own L.
    pub fn take_in(&mut self, own: &Claimant, listed: Vec<Neighbour>, lease: Duration, now: Duration) {
        let mut before = std::mem::take(&mut self.0);
        for neighbour in listed.into_iter().filter(|neighbour| own.shares_work_with(neighbour)) {
            let id = (neighbour.ring.namespace.clone(), neighbour.lease.value.incarnation.clone());
            let mut seen = match before.remove(&id) {
                Some(known) => known.again(neighbour, now),
                None => Seen::new(neighbour, now),
            };
            seen.silent |= now.saturating_sub(seen.since) >= seen.patience(lease);
            self.0.insert(id, seen);
        }
    }

    /// A check has failed: what seems silent may just not have been heard.
    pub fn begin_anew(&mut self, now: Duration) {
        self.0.values_mut().filter(|seen| !seen.silent).for_each(|seen| seen.since = now);
    }

    /// Whether any of them may be alive.
    pub fn any_alive(&self) -> bool {
        self.0.values().any(|seen| !seen.silent)
    }

    /// Those of them to whom a member gives way.
    pub fn in_the_way<'a>(&'a self, own: &'a Claimant, stage: Stage) -> impl Iterator<Item = &'a Seen> {
        self.0.values().filter(move |seen| own.gives_way_to(seen, stage))
    }
}

impl Claimant {
    /// Whether a member of any ring is a neighbour: of another ring, and its work is partly the own one.
    fn shares_work_with(&self, other: &Neighbour) -> bool {
        let claim = other.claim();
        other.ring != self.ring
            && !claim.dry_run
            && !other.lease.value.standing.is_over()
            && !self.claim.overlap(&claim).is_empty()
    }

    /// See the module.
    pub fn gives_way_to(&self, seen: &Seen, stage: Stage) -> bool {
        let Seen { neighbour, renewed, silent, .. } = seen;
        if *silent {
            return false;
        }
        let is_first = neighbour.sees(&self.ring) && self.ring < neighbour.ring;
        // One that gives way itself is seen for a moment, or hands over.
        let stays = *renewed && neighbour.lease.value.standing == Standing::Active;
        match stage {
            _ if self.claim.dry_run => true,
            Stage::Outside => true,
            Stage::Unproved => stays || !is_first,
            Stage::Proved => stays && !is_first,
        }
    }

    /// What people are told.
    pub fn text(&self, seen: &Seen) -> String {
        let shared = self.claim.overlap(&seen.neighbour.claim());
        seen.neighbour.text(&shared)
    }
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
