//! The model API server: the effects of requests on the store, and the ways of requests and replies.

use std::sync::Arc;

use booking_ring::{
    protocol::{Answer, Op},
    record::{Incarnation, MemberLease, Ring},
};

use super::{
    clock::wall,
    dice::Dice,
    event::Event,
    messages::{Body, Inbox, ProcessId, Reply, Request},
    store::{Change, Found, Kind, LEADER, Object, RING, Refusal, Value},
    world::World,
};
use crate::{MILLI, Micros, SECOND};

/// The longest time of a late message.
const LATE_MAX: Micros = 6 * SECOND;
/// If a message waits longer than this for a broken connection, TCP gives it up.
const HELD_MAX: Micros = 30 * SECOND;

impl World {
    /// How long a message takes between a process and the API server.
    pub fn latency(&mut self, id: ProcessId) -> Micros {
        let (noise, now) = (self.plan.noise_at(self.now), self.now);
        let slow = self.processes.get(id).is_some_and(|process| now < process.link.slow);
        let dice = &mut self.dice;
        if slow {
            return dice.between(SECOND / 10, 3 * SECOND);
        }
        if dice.chance(noise.late) {
            return dice.between(100 * MILLI, LATE_MAX);
        }
        dice.between(noise.latency.0, noise.latency.1)
    }

    /// When a request that is sent now arrives. None if it is lost.
    pub fn arrival(&mut self, id: ProcessId) -> Option<Micros> {
        let arrives = self.now + self.latency(id);
        let open = self.processes.get(id).map_or(0, |process| process.link.requests);
        if arrives >= open {
            return Some(arrives);
        }
        // TCP goes on trying, even if the sender has given up.
        (open - self.now < HELD_MAX && self.dice.chance(300)).then_some(open + arrives - self.now)
    }

    /// A request arrives.
    pub fn serve(&mut self, request: &Request) {
        let now = self.now;
        if request.life != self.server.life || now < self.server.down {
            if !self.server.silent {
                self.reply(request, Reply::Failed);
            }
            return;
        }
        let (noise, bad) = (self.plan.noise_at(now), now < self.server.errors);
        if self.dice.chance(noise.errors + if bad { 600 } else { 0 }) {
            self.reply(request, Reply::Failed);
            return;
        }
        let reply = self.apply(request);
        let lossy = now < self.server.loses_replies;
        if self.dice.chance(noise.lost + if lossy { 500 } else { 0 }) {
            // 504 says that something went wrong. A broken connection may say nothing.
            if self.dice.chance(500) {
                self.reply(request, Reply::Failed);
            }
            return;
        }
        self.reply(request, reply);
    }

    fn reply(&mut self, request: &Request, reply: Reply) {
        let (id, now) = (request.from, self.now);
        let arrives = now + self.latency(id);
        let Some(process) = self.alive(id) else { return };
        if arrives >= process.link.replies {
            self.queue.push(arrives, Event::To(id, Inbox::Replied(request.number, reply, now)));
        }
    }

    fn apply(&mut self, request: &Request) -> Reply {
        match &request.body {
            Body::Ring(op) => {
                let answer = self.apply_op(op, request);
                Reply::Ring(Box::new(answer))
            }
            Body::Write(name, found, value) => {
                let written = self.store.update(name, Some(found), value.clone());
                if let Ok(change) = &written {
                    self.changed(change);
                }
                Reply::Written(written.map(|change| change.object))
            }
            Body::Read => {
                let objects = [Kind::Resource, Kind::Booking].map(|kind| self.store.list(kind));
                Reply::All(objects.into_iter().flatten().cloned().collect(), self.store.revision())
            }
        }
    }

    fn apply_op(&mut self, op: &Op, request: &Request) -> Answer {
        let name = |incarnation: &Incarnation| Arc::<str>::from(incarnation.as_str());
        let found = |uid: &Arc<str>, version: u64| Found { uid: uid.clone(), version };
        match op {
            Op::CreateMember(lease) => {
                let created = wall(self.now).as_second();
                let lease = MemberLease { created, ..lease.clone() };
                let name = name(&lease.incarnation);
                let written = self.store.create(&name, Value::Member(Arc::new(lease)));
                self.renews(request, &name, &written);
                if written.is_ok() && request.who == name {
                    self.checker.lease_created(&name, self.now);
                }
                self.answer(written)
            }
            Op::UpdateMember { uid, version, lease } => {
                let name = name(&lease.incarnation);
                let present = self.store.get(Kind::Lease, &name).and_then(Object::member);
                // The fields that the API server sets cannot be changed by a writer.
                let created = present.map_or(0, |present| present.value.created);
                let value = Value::Member(Arc::new(MemberLease { created, ..lease.clone() }));
                let written = self.store.update(&name, Some(&found(uid, *version)), value);
                self.renews(request, &name, &written);
                self.answer(written)
            }
            Op::ReadMember(incarnation) => read(self.store.get(Kind::Lease, incarnation.as_str())),
            Op::MarkToLeave(incarnation) => self.mark_to_leave(incarnation),
            Op::DeleteMember { incarnation, uid, version } => {
                let found = found(uid, *version);
                let deleted = self.store.delete(Kind::Lease, incarnation.as_str(), Some(&found));
                self.answer(deleted)
            }
            Op::ListMembers => {
                Answer::Members(self.store.list(Kind::Lease).filter_map(Object::member).collect())
            }
            // There is one ring here, and its members have no claim. So no member asks.
            Op::ListNeighbours => Answer::Neighbours { members: vec![], sees_all: true },
            Op::CreateLeader(lease) => {
                let written = self.store.create(&Arc::from(LEADER), Value::Leader(Arc::new(lease.clone())));
                self.answer(written)
            }
            Op::UpdateLeader { uid, version, lease } => {
                let value = Value::Leader(Arc::new(lease.clone()));
                let written = self.store.update(LEADER, Some(&found(uid, *version)), value);
                self.answer(written)
            }
            Op::ReadLeader => read(self.store.get(Kind::Lease, LEADER)),
            Op::CreateRing(ring) => {
                // The creation of an object ignores its status.
                let bare = Ring { slots: ring.slots, hash: ring.hash.clone(), ..Ring::default() };
                let written = self.store.create(&Arc::from(RING), Value::Ring(Arc::new(bare)));
                self.answer(written)
            }
            Op::UpdateRing { uid, version, ring } => self.update_ring(&found(uid, *version), ring),
            Op::ReadRing => read(self.store.get(Kind::Ring, RING)),
        }
    }

    fn update_ring(&mut self, found: &Found, ring: &Ring) -> Answer {
        let present = self.store.get(Kind::Ring, RING).and_then(Object::ring);
        // This is a rule of the CRD.
        if present.is_some_and(|present| ring.epoch < present.value.epoch) {
            return Answer::Failed;
        }
        let written = self.store.update(RING, Some(found), Value::Ring(Arc::new(ring.clone())));
        self.answer(written)
    }

    fn mark_to_leave(&mut self, incarnation: &Incarnation) -> Answer {
        let name = incarnation.as_str();
        let Some(present) = self.store.get(Kind::Lease, name).and_then(Object::member) else {
            return Answer::NotFound;
        };
        let marked = MemberLease { told_to_leave: true, ..present.value.as_ref().clone() };
        let written = self.store.update(name, None, Value::Member(Arc::new(marked)));
        self.answer(written)
    }

    /// The checker's own model of permits: who sent which renewal when, and which took effect.
    fn renews(&mut self, request: &Request, name: &Arc<str>, written: &Result<Change, Refusal>) {
        if written.is_ok() && request.who == *name {
            self.checker.renewed(name, request.sent);
        }
    }

    /// Tells the watchers about a write. Returns the answer for the writer.
    fn answer(&mut self, written: Result<Change, Refusal>) -> Answer {
        match written {
            Ok(change) => {
                self.changed(&change);
                if change.deleted { Answer::Deleted } else { read(Some(&change.object)) }
            }
            Err(Refusal::NotFound) => Answer::NotFound,
            Err(Refusal::Conflict) => Answer::Conflict,
            Err(Refusal::Exists) => Answer::Exists,
        }
    }

    /// The API server comes back.
    pub fn server_up(&mut self, state: Option<(u64, bool)>) {
        if self.now < self.server.down {
            // Another fault keeps it away for longer.
            let wait = self.server.down - self.now;
            self.after(wait, Event::ServerUp(state));
            return;
        }
        if let Some((revision, bump)) = state {
            self.store.restore(revision.min(self.store.revision()), bump);
            self.audit_restored();
            self.note(|| format!("API server is back with revision {revision}, counter bumped: {bump}"));
        } else {
            self.note(|| "API server is back".to_owned());
        }
    }

    /// The API server goes away, and connections break.
    pub fn server_down(&mut self, lasts: Micros) {
        self.server.down = self.server.down.max(self.now + lasts);
        self.server.life += 1;
        self.server.silent = self.dice.chance(500);
        for id in self.living() {
            for kind in Kind::ALL {
                self.break_watch(id, kind);
            }
        }
    }
}

/// The answer of a read.
fn read(object: Option<&Object>) -> Answer {
    let answer = object.and_then(|object| {
        let member = object.member().map(Answer::Member);
        member.or_else(|| object.leader().map(Answer::Leader)).or_else(|| object.ring().map(Answer::Ring))
    });
    answer.unwrap_or(Answer::NotFound)
}

/// How long a client waits before it opens a broken watch again.
pub fn reopen(dice: &mut Dice) -> Micros {
    dice.between(100 * MILLI, 3 * SECOND)
}
