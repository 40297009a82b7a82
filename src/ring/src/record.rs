//! What stands at the API server, as this crate understands it: Leases and the ring object.
//!
//! A driver turns them into Kubernetes objects and back. Every write of these is a compare-and-swap on
//! the version that it was made from, but for the one mark that [`Op::MarkToLeave`] sets.
//!
//! [`Op::MarkToLeave`]: crate::protocol::Op::MarkToLeave

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use crate::{claim::Claim, slot::Slot};

/// The protocol that this release speaks. A ring or member of a higher one is left to newer releases.
pub const PROTOCOL: u32 = 1;

/// A running process that takes part in a ring, from one start to one end: the name of its Pod and an id
/// drawn at random at its start. Also the name of its member Lease. A process that has to begin anew
/// becomes another incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// An incarnation by its full name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as it was stored when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Set by the API server when it was created; another object of the same name has another.
    pub uid: Arc<str>,
    /// `resourceVersion`, as the number it is: grows with every write.
    pub version: u64,
    /// What it says.
    pub value: Arc<T>,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes slots.
    #[default]
    Active,
    /// It keeps what it has until somebody else is named, and takes nothing new.
    Leaving,
    /// It has ended and said so itself: no call of its is running or will be.
    Released,
    /// Somebody else saw its Lease unchanged for its duration, and marked it. It can renew no more.
    Sealed,
}

impl Standing {
    /// Whether what it owned may be given to others at once.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Sealed)
    }
}

/// A member's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLease {
    /// Whose it is.
    pub incarnation: Incarnation,
    /// Uid of the ring object that it is bound to: its epochs mean nothing in another ring.
    pub ring: Arc<str>,
    /// L of its owner.
    pub duration: Duration,
    /// T of its owner, where it is told.
    pub call: Option<Duration>,
    /// Grows with each attempt to renew.
    pub counter: u64,
    /// The newest epoch that its owner acts by.
    pub applied: u64,
    /// All slots that moves begun up to this epoch take from its owner are drained, but for `draining`:
    /// it works on them no more, and its calls for them have ended.
    pub acked: u64,
    /// Slots on their way from its owner for which a call of its may still be running.
    pub draining: BTreeSet<Slot>,
    /// Where it stands.
    pub standing: Standing,
    /// The leader wants it to go, for it does not apply what the ring says. Permits nobody anything.
    pub told_to_leave: bool,
    /// The container that its owner runs in: uid of the Pod and name of the container, where it is known.
    pub container: Option<Arc<str>>,
    /// The highest protocol that its owner speaks.
    pub protocol: u32,
    /// Release of its owner: slots of a leaver go to the newest.
    pub release: Arc<str>,
    /// When it was created, seconds by the API server's clock; 0 until the API server has said it.
    pub created: i64,
    /// Carried for the user of the ring; means nothing to it.
    pub payload: Arc<str>,
    /// What its owner works on; none if it does not say. Means nothing within the ring.
    pub claim: Option<Arc<Claim>>,
}

/// The leader's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderLease {
    /// The leader; none if the last one gave it up.
    pub holder: Option<Incarnation>,
    /// L of its holder.
    pub duration: Duration,
    /// Grows with each attempt to renew.
    pub counter: u64,
}

/// A slot on its way from its owner to another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Who gets it.
    pub to: Incarnation,
    /// The epoch that began the move: its owner's acknowledgement must be of this epoch or a later one.
    pub since: u64,
}

/// The ring object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Number of slots; never changes.
    pub slots: u16,
    /// Name of the hash from keys to slots; never changes.
    pub hash: Arc<str>,
    /// The protocol that its members speak to each other.
    pub protocol: u32,
    /// Grows with every write.
    pub epoch: u64,
    /// Whether slots may have owners: a new ring first waits until no owner of another one can be left.
    pub open: bool,
    /// Who planned last.
    pub leader: Option<Incarnation>,
    /// Members by name, with their releases.
    pub members: BTreeMap<Incarnation, Arc<str>>,
    /// Who owns each slot. A slot that is missing has no owner.
    pub owners: BTreeMap<Slot, Incarnation>,
    /// Slots under way. Their owners still own them, but take no new work.
    pub moves: BTreeMap<Slot, Move>,
}

impl Ring {
    /// A new ring.
    pub fn new(slots: u16) -> Self {
        Self { slots, hash: crate::slot::HASH.into(), protocol: PROTOCOL, ..Self::default() }
    }

    /// All its slots.
    pub fn all_slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.slots).map(Slot)
    }

    /// Whether it names an incarnation anywhere that matters to who owns what.
    pub fn names(&self, incarnation: &Incarnation) -> bool {
        self.owners.values().any(|owner| owner == incarnation)
            || self.moves.values().any(|moving| &moving.to == incarnation)
    }

    /// How many slots an incarnation owns.
    pub fn count(&self, incarnation: &Incarnation) -> usize {
        self.owners.values().filter(|owner| *owner == incarnation).count()
    }

    /// The slots that an incarnation may work on, permit granted: owned, and not on their way.
    pub fn workable<'a>(&'a self, incarnation: &'a Incarnation) -> impl Iterator<Item = Slot> + 'a {
        self.owners
            .iter()
            .filter(move |(slot, owner)| *owner == incarnation && !self.moves.contains_key(slot))
            .map(|(slot, _)| *slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_names_owners_and_those_to_whom_slots_go_and_counts_what_is_owned() {
        let [a, b, c] = ["a", "b", "c"].map(Incarnation::new);
        let ring = Ring {
            owners: [(Slot(0), a.clone()), (Slot(1), a.clone())].into(),
            moves: [(Slot(1), Move { to: b.clone(), since: 3 })].into(),
            ..Ring::new(4)
        };
        assert_eq!([&a, &b, &c].map(|who| ring.names(who)), [true, true, false]);
        assert_eq!([&a, &b, &c].map(|who| ring.count(who)), [2, 0, 0]);
        assert_eq!(ring.workable(&a).collect::<Vec<_>>(), [Slot(0)]);
        assert_eq!(ring.all_slots().map(|slot| slot.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
