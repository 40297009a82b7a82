//! A store that does what it is asked, at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    claim::Neighbour,
    protocol::{Answer, Event, Op},
    record::{Incarnation, LeaderLease, MemberLease, Ring, Stored},
};

#[derive(Clone, Default)]
pub struct Store {
    version: u64,
    pub members: BTreeMap<Incarnation, Stored<MemberLease>>,
    pub leader: Option<Stored<LeaderLease>>,
    pub ring: Option<Stored<Ring>>,
    uids: u64,
    /// Members of other rings.
    pub neighbours: Vec<Neighbour>,
}

/// What the sender of a request is told, and what watchers are told.
type Done = (Answer, Option<Event>);

impl Store {
    fn stored<T>(&mut self, value: T, uid: Option<Arc<str>>) -> Stored<T> {
        self.version += 1;
        self.uids += 1;
        let uid = uid.unwrap_or_else(|| self.uids.to_string().into());
        Stored { uid, version: self.version, value: Arc::new(value) }
    }

    fn put_member(&mut self, lease: MemberLease, uid: Option<Arc<str>>, now: Duration) -> Done {
        let name = lease.incarnation.clone();
        let created = i64::try_from(now.as_secs()).unwrap();
        let created = self.members.get(&name).map_or(created, |known| known.value.created);
        let stored = self.stored(MemberLease { created, ..lease }, uid);
        self.members.insert(name, stored.clone());
        (Answer::Member(stored.clone()), Some(Event::MemberSeen(stored)))
    }

    fn put_leader(&mut self, lease: LeaderLease, uid: Option<Arc<str>>) -> Done {
        let stored = self.stored(lease, uid);
        self.leader = Some(stored.clone());
        (Answer::Leader(stored.clone()), Some(Event::LeaderSeen(stored)))
    }

    fn put_ring(&mut self, ring: Ring, uid: Option<Arc<str>>) -> Done {
        let stored = self.stored(ring, uid);
        self.ring = Some(stored.clone());
        (Answer::Ring(stored.clone()), Some(Event::RingSeen(stored)))
    }

    pub fn delete_member(&mut self, name: &Incarnation) -> Event {
        self.members.remove(name);
        Event::MemberGone(name.clone())
    }

    pub fn execute(&mut self, op: Op, now: Duration) -> Done {
        let told = |answer| (answer, None);
        let none = Answer::NotFound;
        match op {
            Op::CreateMember(lease) if self.members.contains_key(&lease.incarnation) => told(Answer::Exists),
            Op::CreateMember(lease) => self.put_member(lease, None, now),
            Op::UpdateMember { uid, version, lease } => {
                match found(self.members.get(&lease.incarnation), &uid, version) {
                    Ok(()) => self.put_member(lease, Some(uid), now),
                    Err(answer) => told(answer),
                }
            }
            Op::ReadMember(name) => told(self.members.get(&name).cloned().map_or(none, Answer::Member)),
            Op::MarkToLeave(name) => match self.members.get(&name).cloned() {
                None => told(none),
                Some(known) => {
                    let lease = MemberLease { told_to_leave: true, ..(*known.value).clone() };
                    self.put_member(lease, Some(known.uid), now)
                }
            },
            Op::DeleteMember { incarnation, uid, version } => {
                match found(self.members.get(&incarnation), &uid, version) {
                    Ok(()) => (Answer::Deleted, Some(self.delete_member(&incarnation))),
                    Err(answer) => told(answer),
                }
            }
            Op::ListNeighbours => {
                told(Answer::Neighbours { members: self.neighbours.clone(), sees_all: true })
            }
            Op::ListMembers => told(Answer::Members(self.members.values().cloned().collect())),
            Op::CreateLeader(_) if self.leader.is_some() => told(Answer::Exists),
            Op::CreateLeader(lease) => self.put_leader(lease, None),
            Op::UpdateLeader { uid, version, lease } => match found(self.leader.as_ref(), &uid, version) {
                Ok(()) => self.put_leader(lease, Some(uid)),
                Err(answer) => told(answer),
            },
            Op::ReadLeader => told(self.leader.clone().map_or(none, Answer::Leader)),
            Op::CreateRing(_) if self.ring.is_some() => told(Answer::Exists),
            Op::CreateRing(ring) => self.put_ring(ring, None),
            Op::UpdateRing { uid, version, ring } => match found(self.ring.as_ref(), &uid, version) {
                Ok(()) => self.put_ring(ring, Some(uid)),
                Err(answer) => told(answer),
            },
            Op::ReadRing => told(self.ring.clone().map_or(none, Answer::Ring)),
        }
    }
}

/// Whether what stands there is what a write was made from.
fn found<T>(known: Option<&Stored<T>>, uid: &Arc<str>, version: u64) -> Result<(), Answer> {
    match known {
        None => Err(Answer::NotFound),
        Some(known) if known.uid == *uid && known.version == version => Ok(()),
        Some(_) => Err(Answer::Conflict),
    }
}
