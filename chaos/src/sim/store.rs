//! The content of the model API server: objects under one revision counter, which change by compare-and-swap, and the
//! log of all changes, from which older states are made.

use std::{collections::BTreeMap, sync::Arc};

use booking_ring::record::{LeaderLease, MemberLease, Ring, Stored};
use bookings::api::{Booking, Resource};

/// The kinds of objects. Each has a watch of its own. Leases are one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Leases of members and of the leader.
    Lease,
    /// The ring.
    Ring,
    /// Resources.
    Resource,
    /// Bookings.
    Booking,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Lease, Self::Ring, Self::Resource, Self::Booking];

    /// Whether the ring reads it. Otherwise the controller does.
    pub fn is_of_ring(self) -> bool {
        matches!(self, Self::Lease | Self::Ring)
    }
}

/// The namespace of all Resources and Bookings.
pub const NAMESPACE: &str = "team";
/// The name of the leader's Lease.
pub const LEADER: &str = "ring-leader";
/// The name of the ring object.
pub const RING: &str = "ring";

/// The content of an object.
#[derive(Clone, Debug)]
pub enum Value {
    /// A member's Lease.
    Member(Arc<MemberLease>),
    /// The leader's Lease.
    Leader(Arc<LeaderLease>),
    /// The ring object.
    Ring(Arc<Ring>),
    /// A Resource.
    Resource(Arc<Resource>),
    /// A Booking.
    Booking(Arc<Booking>),
}

impl Value {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Member(_) | Self::Leader(_) => Kind::Lease,
            Self::Ring(_) => Kind::Ring,
            Self::Resource(_) => Kind::Resource,
            Self::Booking(_) => Kind::Booking,
        }
    }
}

/// An object as it is stored.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// The revision that wrote it last.
    pub version: u64,
    /// Its content.
    pub value: Value,
}

impl Object {
    /// The member's Lease, as the ring reads it.
    pub fn member(&self) -> Option<Stored<MemberLease>> {
        let Value::Member(value) = &self.value else { return None };
        Some(Stored { uid: self.uid.clone(), version: self.version, value: value.clone() })
    }

    /// The leader's Lease, as the ring reads it.
    pub fn leader(&self) -> Option<Stored<LeaderLease>> {
        let Value::Leader(value) = &self.value else { return None };
        Some(Stored { uid: self.uid.clone(), version: self.version, value: value.clone() })
    }

    /// The ring object, as the ring reads it.
    pub fn ring(&self) -> Option<Stored<Ring>> {
        let Value::Ring(value) = &self.value else { return None };
        Some(Stored { uid: self.uid.clone(), version: self.version, value: value.clone() })
    }

    /// The Resource.
    pub fn resource(&self) -> Option<&Resource> {
        if let Value::Resource(value) = &self.value { Some(value) } else { None }
    }

    /// The Booking.
    pub fn booking(&self) -> Option<&Booking> {
        if let Value::Booking(value) = &self.value { Some(value) } else { None }
    }
}

/// A change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that made it.
    pub revision: u64,
    /// The object. If it is deleted, its last state.
    pub object: Object,
    /// Whether the object is deleted.
    pub deleted: bool,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such object.
    NotFound,
    /// The object has another uid or version now.
    Conflict,
    /// Such an object exists already.
    Exists,
}

/// The version that a write must find.
#[derive(Clone, Debug)]
pub struct Found {
    /// The uid.
    pub uid: Arc<str>,
    /// The version.
    pub version: u64,
}

type Objects = BTreeMap<(Kind, Arc<str>), Object>;

/// The store of the model API server.
#[derive(Debug, Default)]
pub struct Store {
    revision: u64,
    objects: Objects,
    log: Vec<Change>,
    uids: u64,
}

impl Store {
    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.objects.get(&(kind, Arc::from(name)))
    }

    /// All objects of a kind.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects
            .range((kind, Arc::from(""))..)
            .map(|(_, object)| object)
            .take_while(move |object| object.value.kind() == kind)
    }

    /// All objects of a kind as they were at a revision.
    pub fn list_at(&self, kind: Kind, revision: u64) -> Vec<Object> {
        let objects = self.state_at(revision);
        objects.into_values().filter(|object| object.value.kind() == kind).collect()
    }

    /// Changes of a kind after a revision.
    pub fn changes_since(&self, kind: Kind, revision: u64) -> Vec<Change> {
        let newer = self.log.iter().rev().take_while(|change| change.revision > revision);
        let mut newer: Vec<Change> =
            newer.filter(|change| change.object.value.kind() == kind).cloned().collect();
        newer.reverse();
        newer
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`Refusal::Exists`].
    pub fn create(&mut self, name: &Arc<str>, value: Value) -> Result<Change, Refusal> {
        if self.objects.contains_key(&(value.kind(), name.clone())) {
            return Err(Refusal::Exists);
        }
        self.uids += 1;
        let uid = Arc::from(format!("uid-{}", self.uids));
        Ok(self.put(name.clone(), uid, value))
    }

    /// Replaces an object. If `found` is given, the object must still have that version.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Conflict`].
    pub fn update(&mut self, name: &str, found: Option<&Found>, value: Value) -> Result<Change, Refusal> {
        let object = self.check(value.kind(), name, found)?;
        let (name, uid) = (object.name.clone(), object.uid.clone());
        Ok(self.put(name, uid, value))
    }

    /// Deletes an object. If `found` is given, the object must still have that version.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Conflict`].
    pub fn delete(&mut self, kind: Kind, name: &str, found: Option<&Found>) -> Result<Change, Refusal> {
        let object = self.check(kind, name, found)?.clone();
        self.objects.remove(&(kind, object.name.clone()));
        Ok(self.record(object, true))
    }

    /// Goes back to an older state. The revision counter jumps far ahead (etcd's `--bump-revision`), or goes back as
    /// well.
    pub fn restore(&mut self, revision: u64, bump: bool) {
        self.objects = self.state_at(revision);
        if bump {
            self.revision += 1_000;
            // The log must contain the restored state, too.
            self.log.retain(|change| change.revision <= revision);
        } else {
            self.log.retain(|change| change.revision <= revision);
            self.revision = revision;
        }
    }

    fn check(&self, kind: Kind, name: &str, found: Option<&Found>) -> Result<&Object, Refusal> {
        let object = self.get(kind, name).ok_or(Refusal::NotFound)?;
        let same = found.is_none_or(|found| found.uid == object.uid && found.version == object.version);
        if same { Ok(object) } else { Err(Refusal::Conflict) }
    }

    fn put(&mut self, name: Arc<str>, uid: Arc<str>, value: Value) -> Change {
        let object = Object { name, uid, version: self.revision + 1, value };
        self.objects.insert((object.value.kind(), object.name.clone()), object.clone());
        self.record(object, false)
    }

    fn record(&mut self, object: Object, deleted: bool) -> Change {
        self.revision += 1;
        let change = Change { revision: self.revision, object, deleted };
        self.log.push(change.clone());
        change
    }

    fn state_at(&self, revision: u64) -> Objects {
        let mut objects = Objects::new();
        for change in self.log.iter().take_while(|change| change.revision <= revision) {
            let key = (change.object.value.kind(), change.object.name.clone());
            if change.deleted {
                objects.remove(&key);
            } else {
                objects.insert(key, change.object.clone());
            }
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(counter: u64) -> Value {
        let duration = std::time::Duration::from_secs(15);
        Value::Leader(Arc::new(LeaderLease { holder: None, duration, counter }))
    }

    fn name() -> Arc<str> {
        LEADER.into()
    }

    #[test]
    fn a_write_from_an_old_version_or_of_another_object_is_refused() {
        // given an object that was written twice
        let mut store = Store::default();
        let first = store.create(&name(), leader(1)).unwrap().object;
        let old = Found { uid: first.uid.clone(), version: first.version };
        let second = store.update(LEADER, Some(&old), leader(2)).unwrap().object;
        // then only who knows the second may write
        assert_eq!(store.update(LEADER, Some(&old), leader(3)).unwrap_err(), Refusal::Conflict);
        assert_eq!(store.delete(Kind::Lease, LEADER, Some(&old)).unwrap_err(), Refusal::Conflict);
        let other = Found { uid: "other".into(), version: second.version };
        assert_eq!(store.update(LEADER, Some(&other), leader(3)).unwrap_err(), Refusal::Conflict);
        assert_eq!(store.create(&name(), leader(3)).unwrap_err(), Refusal::Exists);
        let new = Found { uid: second.uid, version: second.version };
        assert!(store.delete(Kind::Lease, LEADER, Some(&new)).is_ok());
        assert_eq!(store.update(LEADER, None, leader(4)).unwrap_err(), Refusal::NotFound);
    }

    #[test]
    fn an_older_state_is_as_it_was() {
        for bump in [false, true] {
            // given three versions of an object
            let mut store = Store::default();
            store.create(&name(), leader(1)).unwrap();
            let second = store.update(LEADER, None, leader(2)).unwrap();
            store.delete(Kind::Lease, LEADER, None).unwrap();
            assert_eq!(store.list(Kind::Lease).count(), 0);
            assert_eq!(store.list_at(Kind::Lease, second.revision).len(), 1);
            assert_eq!(store.changes_since(Kind::Lease, second.revision).len(), 1);
            // when the second comes back
            store.restore(second.revision, bump);
            // then it stands as it was, and what is written next is newer
            let found = store.get(Kind::Lease, LEADER).unwrap();
            assert_eq!(found.version, second.object.version);
            let next = store.update(LEADER, None, leader(5)).unwrap();
            assert_eq!(next.revision > 1_000, bump);
            assert!(next.object.version > second.object.version);
        }
    }
}
