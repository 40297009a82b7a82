//! The objects at the API server, as this crate understands them: Leases and the ring object.
//!
//! A driver turns them into Kubernetes objects and back. Every write of them is a compare-and-swap on the version that
//! it was made from, except for the mark that [`Op::MarkToLeave`] sets.
//!
//! [`Op::MarkToLeave`]: crate::protocol::Op::MarkToLeave

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use crate::{claim::Claim, slot::Slot};

/// The protocol that this release speaks. A ring or a member with a higher one is for newer releases.
pub const PROTOCOL: u32 = 1;

/// A running process that takes part in a ring, from its start to its end. Its name is the name of its Pod and an id
/// that is drawn at random at its start. The member Lease has the same name. If a process has to begin anew, it becomes
/// another incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// The incarnation with this full name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as it was stored at the moment of the read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The API server sets it when it creates the object. Another object of the same name has another uid.
    pub uid: Arc<str>,
    /// `resourceVersion` as a number. It grows with every write.
    pub version: u64,
    /// The content.
    pub value: Arc<T>,
}

/// Whether a member takes part, leaves, or is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes slots.
    #[default]
    Active,
    /// It keeps its slots until another member is named, and it takes no new slots.
    Leaving,
    /// It has ended and said so itself. None of its calls runs or will run.
    Released,
    /// Another member saw its Lease unchanged for its duration, and marked it. It can never renew again.
    Sealed,
}

impl Standing {
    /// Whether its slots may be given to others at once.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Sealed)
    }
}

/// A member's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLease {
    /// The owner of the Lease.
    pub incarnation: Incarnation,
    /// The uid of the ring object that the Lease is bound to. Its epochs mean nothing in another ring.
    pub ring: Arc<str>,
    /// The owner's L.
    pub duration: Duration,
    /// The owner's T. None if the Lease does not say.
    pub call: Option<Duration>,
    /// It grows with each attempt to renew.
    pub counter: u64,
    /// The newest epoch that the owner has applied.
    pub applied: u64,
    /// Moves up to this epoch are drained: the owner does not work on the slots that they take from it, and its calls
    /// for them have ended. The slots in `draining` are the exception.
    pub acked: u64,
    /// Slots that a move takes from the owner, and for which one of the owner's calls may still be running.
    pub draining: BTreeSet<Slot>,
    /// Whether the owner takes part, leaves, or is over.
    pub standing: Standing,
    /// The leader wants the owner to leave, because the owner does not apply the ring. It permits nothing to anybody.
    pub told_to_leave: bool,
    /// The container that the owner runs in: uid of the Pod and name of the container. None if it is not known.
    pub container: Option<Arc<str>>,
    /// The highest protocol that the owner speaks.
    pub protocol: u32,
    /// The owner's release. Slots of leaving members go to the newest release.
    pub release: Arc<str>,
    /// When the Lease was created, in seconds by the API server's clock. It is 0 until the API server has said it.
    pub created: i64,
    /// Text for the users of the ring. It means nothing to the ring.
    pub payload: Arc<str>,
    /// What the owner works on. None if the Lease does not say. It means nothing within the ring.
    pub claim: Option<Arc<Claim>>,
}

/// The leader's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderLease {
    /// The leader. None if the last leader gave up the lead.
    pub holder: Option<Incarnation>,
    /// The holder's L.
    pub duration: Duration,
    /// It grows with each attempt to renew.
    pub counter: u64,
}

/// A move of a slot from its owner to another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The member that gets the slot.
    pub to: Incarnation,
    /// The epoch that began the move. The owner must acknowledge this epoch or a later one.
    pub since: u64,
}

/// The ring object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The number of slots. It never changes.
    pub slots: u16,
    /// The name of the hash from keys to slots. It never changes.
    pub hash: Arc<str>,
    /// The protocol that its members speak to each other.
    pub protocol: u32,
    /// It grows with every write.
    pub epoch: u64,
    /// Whether slots may have owners. A new ring first waits until no owner of another ring can be left.
    pub open: bool,
    /// The member that planned last.
    pub leader: Option<Incarnation>,
    /// Members by name, with their releases.
    pub members: BTreeMap<Incarnation, Arc<str>>,
    /// The owner of each slot. A slot that is missing has no owner.
    pub owners: BTreeMap<Slot, Incarnation>,
    /// The moves under way. The owners still own these slots, but they begin nothing more for them.
    pub moves: BTreeMap<Slot, Move>,
}

impl Ring {
    /// A new ring.
    pub fn new(slots: u16) -> Self {
        Self { slots, hash: crate::slot::HASH.into(), protocol: PROTOCOL, ..Self::default() }
    }

    /// All slots of the ring.
    pub fn all_slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.slots).map(Slot)
    }

    /// Whether the ring names an incarnation as an owner or as the next owner of a slot.
    pub fn names(&self, incarnation: &Incarnation) -> bool {
        self.owners.values().any(|owner| owner == incarnation)
            || self.moves.values().any(|moving| &moving.to == incarnation)
    }

    /// The number of slots that an incarnation owns.
    pub fn count(&self, incarnation: &Incarnation) -> usize {
        self.owners.values().filter(|owner| *owner == incarnation).count()
    }

    /// The slots that an incarnation may work on if it has a permit: it owns them, and no move takes them away.
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
