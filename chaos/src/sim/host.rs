//! Runs a member of the ring: it brings events to the member, and carries out its actions.

use std::{sync::Arc, time::Duration};

use booking_ring::{
    member::{Identity, Member},
    protocol::{Action, Answer, End, Event as RingEvent, Op, Story},
    record::Incarnation,
    slot::Slot,
};

use super::{
    clock::{Clocks, micros, wall},
    event::Event,
    keys::Controller,
    messages::{Body, Inbox, Pending, ProcessId, Reply},
    process::{Birth, Link, Process},
    store::{Change, Kind, Object, Value},
    world::World,
};
use crate::{MILLI, SECOND, checker::Invariant, seconds};

impl World {
    /// A process is started.
    pub fn spawn(&mut self, birth: Birth) {
        let (now, id) = (self.now, self.processes.len());
        let offset = self.dice.between(SECOND, 1_000 * SECOND);
        let drift = self.dice.sign(200);
        let skew = self.dice.sign(50 * MILLI);
        let clocks = Clocks::new(now, offset, drift, skew);
        let who: Arc<str> = Arc::from(format!("{}-{id}.1", birth.pod));
        let identity = Identity {
            incarnation: Incarnation::new(who.clone()),
            container: Some(birth.container.clone()),
            release: birth.release.clone(),
            protocol: birth.protocol,
        };
        let member = Member::new(identity, self.timing, self.plan.slots, clocks.stamp(now));
        let controller = Controller::new(&self.groups, self.plan.slots);
        self.note(|| format!("{who} starts, release {}", birth.release));
        self.stats.processes += 1;
        self.stats.incarnations += 1;
        self.processes.push(Process {
            birth,
            alive: true,
            stopping: false,
            clocks,
            member: Some(member),
            who,
            incarnations: 1,
            frozen_until: 0,
            trap: None,
            backlog: vec![],
            tick: 0,
            tick_at: None,
            valid: false,
            watches: std::collections::BTreeMap::new(),
            pending: std::collections::HashMap::new(),
            link: Link::default(),
            disturbed_until: now + 30 * SECOND,
            controller,
            server_time: None,
        });
        for kind in Kind::ALL {
            self.restart_watch(id, kind, MILLI);
        }
        self.feed(id, RingEvent::Tick);
    }

    /// A process ends silently.
    pub fn crash(&mut self, id: ProcessId, why: &str) {
        let Some(process) = self.alive(id) else { return };
        process.alive = false;
        process.member = None;
        process.backlog.clear();
        let who = process.who.clone();
        self.note(|| format!("{who} is dead: {why}"));
        let wait = self.dice.between(SECOND, 15 * SECOND);
        self.after(wait, Event::Deploy);
    }

    /// A message arrives at a process. It waits while the process stands still.
    pub fn deliver(&mut self, id: ProcessId, inbox: Inbox) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        if now < process.frozen_until {
            process.backlog.push(inbox);
            return;
        }
        self.take(id, inbox);
    }

    /// A process that stood still goes on, with all messages that came meanwhile.
    pub fn thaw(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        if now < process.frozen_until {
            return;
        }
        process.clocks.wake(now);
        process.tick_at = None;
        let who = process.who.clone();
        let backlog = std::mem::take(&mut process.backlog);
        self.note(|| format!("{who} goes on"));
        // The process may look at its timers before or after the messages from the network.
        let ticks_first = self.dice.chance(500);
        if ticks_first {
            self.feed(id, RingEvent::Tick);
        }
        for inbox in backlog {
            self.take(id, inbox);
        }
        self.feed(id, RingEvent::Tick);
    }

    fn take(&mut self, id: ProcessId, inbox: Inbox) {
        match inbox {
            Inbox::Tick(tick) => {
                let counts = self.alive(id).is_some_and(|process| process.tick == tick);
                if counts {
                    if let Some(process) = self.alive(id) {
                        process.tick_at = None;
                    }
                    self.feed(id, RingEvent::Tick);
                }
            }
            Inbox::Watch(kind, generation, change) => {
                if self.is_current(id, kind, generation, Some(&change)) {
                    self.watched(id, kind, &change);
                }
            }
            Inbox::Listed(kind, generation, objects, revision) => {
                if self.is_current(id, kind, generation, None) {
                    self.listed(id, kind, &objects, revision);
                }
            }
            Inbox::Replied(number, reply, served) => self.replied(id, number, reply, served),
            Inbox::TimedOut(number) => {
                if let Some(pending) = self.alive(id).and_then(|process| process.pending.remove(&number)) {
                    self.answered(id, pending, Reply::Failed);
                }
            }
            Inbox::Dead(who) => self.feed(id, RingEvent::ProcessDead(Incarnation::new(who))),
            Inbox::Stop => self.feed(id, RingEvent::Stop),
            Inbox::Described(key, pass) => self.described(id, key, pass),
            Inbox::Packet(key, call) => self.packet(id, key, call),
            Inbox::CloudReplied(call, results) => self.cloud_replied(id, call, &results),
            Inbox::CallTimedOut(call) => self.call_timed_out(id, call),
            Inbox::Timer => self.run_due(id),
            Inbox::ReadAgain(read) => self.read_again(id, read),
        }
    }

    fn watched(&mut self, id: ProcessId, kind: Kind, change: &Change) {
        if !kind.is_of_ring() {
            self.controller_saw(id, change);
            return;
        }
        let is_leader = matches!(change.object.value, Value::Leader(_));
        if let Some(process) = self.alive(id) {
            let shown = &mut process.watch(kind).shown;
            if change.deleted {
                shown.remove(&change.object.name);
            } else {
                shown.insert(change.object.name.clone(), is_leader);
            }
        }
        let event =
            if change.deleted { gone(kind, &change.object.name, is_leader) } else { seen(&change.object) };
        if let Some(event) = event {
            self.feed(id, event);
        }
    }

    fn listed(&mut self, id: ProcessId, kind: Kind, objects: &[Object], revision: u64) {
        if !kind.is_of_ring() {
            self.controller_listed(id, kind, objects, revision);
            return;
        }
        for (name, is_leader) in self.vanished(id, kind, objects) {
            if kind == Kind::Lease
                && let Some(event) = gone(kind, &name, is_leader)
            {
                self.feed(id, event);
            }
        }
        for object in objects {
            if let Some(process) = self.alive(id) {
                let is_leader = matches!(object.value, Value::Leader(_));
                process.watch(kind).shown.insert(object.name.clone(), is_leader);
            }
            if let Some(event) = seen(object) {
                self.feed(id, event);
            }
        }
        match kind {
            Kind::Lease => self.feed(id, RingEvent::LeasesListed),
            _ if objects.is_empty() => self.feed(id, RingEvent::RingGone),
            _ => {}
        }
    }

    fn replied(&mut self, id: ProcessId, number: u64, reply: Reply, served: crate::Micros) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let Some(pending) = process.pending.remove(&number) else { return };
        if matches!(pending, Pending::Ring(_)) {
            process.server_time = Some((wall(served), process.boot(now)));
        }
        self.answered(id, pending, reply);
    }

    fn answered(&mut self, id: ProcessId, pending: Pending, reply: Reply) {
        match pending {
            Pending::Ring(request) => {
                let answer = if let Reply::Ring(answer) = reply { *answer } else { Answer::Failed };
                self.feed(id, RingEvent::Answered { request, answer });
            }
            Pending::Write(call) => self.written(id, call, reply),
            Pending::Read(read) => self.read(id, read, reply),
        }
    }

    /// Gives an event to a process's member, and carries out the actions.
    pub fn feed(&mut self, id: ProcessId, event: RingEvent) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let stamp = process.clocks.stamp(now);
        let Some(member) = process.member.as_mut() else { return };
        let actions = member.handle(event, stamp);
        for action in actions {
            self.carry_out(id, action);
        }
        self.settle(id);
    }

    /// Plans the next tick, and checks what the member may do now.
    fn settle(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let stamp = process.clocks.stamp(now);
        let Some(member) = process.member.as_ref() else { return };
        let wake = member.next_wake().map(|mono| process.clocks.when(micros(mono), now).max(now + 1));
        let valid = member.owned().len() > 0 && !member.left(stamp).is_zero();
        let revived = valid && !process.valid;
        process.valid = valid;
        let who = process.who.clone();
        if wake != process.tick_at {
            process.tick += 1;
            process.tick_at = wake;
            let tick = process.tick;
            if let Some(at) = wake {
                self.queue.push(at, Event::To(id, Inbox::Tick(tick)));
            }
        }
        if valid {
            self.checker.could_act(&who, now);
        }
        if revived {
            let slots = self.owned(id);
            self.check_alone(id, &slots);
        }
    }

    /// The slots that a process's member owns.
    pub fn owned(&self, id: ProcessId) -> Vec<Slot> {
        let member = self.processes.get(id).and_then(|process| process.member.as_ref());
        member.map(|member| member.owned().collect()).unwrap_or_default()
    }

    /// Whether a process may work on a slot now.
    pub fn may(&self, id: ProcessId, slot: Slot) -> bool {
        let process = self.processes.get(id).filter(|process| process.alive);
        process.is_some_and(|process| {
            let stamp = process.clocks.stamp(self.now);
            process.member.as_ref().is_some_and(|member| member.permit(slot, stamp).is_some())
        })
    }

    /// Checks that no other process may work on these slots.
    fn check_alone(&mut self, id: ProcessId, slots: &[Slot]) {
        for slot in slots.iter().copied().filter(|slot| self.may(id, *slot)).collect::<Vec<_>>() {
            let others = self.living().into_iter().filter(|other| *other != id);
            if let Some(other) = others.into_iter().find(|other| self.may(*other, slot)) {
                let name = |id: ProcessId| self.processes.get(id).map(|process| process.who.clone());
                let what = format!("slot {slot} of both {:?} and {:?}", name(id), name(other));
                self.checker.violated(Invariant::TwoOwners, self.now, what);
                return;
            }
        }
    }

    fn carry_out(&mut self, id: ProcessId, action: Action) {
        match action {
            Action::Request { id: request, op } => {
                let wait = self.timing.request();
                let requests = &mut self.stats.ring_requests;
                match op {
                    Op::ReadMember(_)
                    | Op::ReadLeader
                    | Op::ReadRing
                    | Op::ListMembers
                    | Op::ListNeighbours => {
                        requests.reads += 1;
                    }
                    _ => requests.writes += 1,
                }
                self.ask(id, Pending::Ring(request), Body::Ring(Box::new(op)), wait);
            }
            Action::Gained(slots) => {
                self.note_of(id, |who| format!("{who} gains {}", list(&slots)));
                self.check_alone(id, &slots);
                self.gained(id, &slots);
            }
            Action::Lost(slots) => {
                self.note_of(id, |who| format!("{who} loses {}", list(&slots)));
                self.lost(id, &slots);
            }
            Action::RestartWatches => {
                for kind in [Kind::Lease, Kind::Ring] {
                    self.restart_watch(id, kind, MILLI);
                }
            }
            Action::Tell(story) => self.told(id, &story),
            Action::Ended(end) => self.incarnation_ended(id, end),
        }
    }

    fn told(&mut self, id: ProcessId, story: &Story) {
        self.note_of(id, |who| format!("{who}: {story:?}"));
        match story {
            Story::Lapsed => {
                self.stats.lapses += 1;
                self.audit_lapse(id);
            }
            Story::Sealed(..) => self.stats.seals += 1,
            Story::Planned(moves) => self.stats.moves += *moves as u64,
            Story::HandedOver(slots, _) => self.stats.handoffs += *slots as u64,
            _ => {}
        }
    }

    fn incarnation_ended(&mut self, id: ProcessId, end: End) {
        let now = self.now;
        *self.stats.ends.entry(end.as_str()).or_default() += 1;
        self.note_of(id, |who| format!("{who} ends: {}", end.as_str()));
        let who = self.processes.get(id).map(|process| process.who.clone()).unwrap_or_default();
        self.checker.incarnation_ended(&who, now);
        self.forget(id);
        let Some(process) = self.alive(id) else { return };
        process.pending.clear();
        if process.stopping {
            self.crash(id, "has ended");
            return;
        }
        process.incarnations += 1;
        process.who = Arc::from(format!("{}-{id}.{}", process.birth.pod, process.incarnations));
        process.disturbed_until = process.disturbed_until.max(now + 30 * SECOND);
        let (next, stamp) = (Incarnation::new(process.who.clone()), process.clocks.stamp(now));
        process.member = process.member.take().map(|member| member.next(next, stamp));
        self.stats.incarnations += 1;
        for kind in Kind::ALL {
            self.restart_watch(id, kind, MILLI);
        }
        self.feed(id, RingEvent::Tick);
    }

    /// Adds a line about a process.
    pub fn note_of(&mut self, id: ProcessId, text: impl FnOnce(&str) -> String) {
        let who = self.processes.get(id).map(|process| process.who.clone()).unwrap_or_default();
        self.trace.line(self.now, || text(&who));
    }

    /// A process stands still for a while.
    pub fn freeze(&mut self, id: ProcessId, lasts: Duration) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        process.frozen_until = process.frozen_until.max(now + micros(lasts));
        let until = process.frozen_until;
        self.note_of(id, |who| format!("{who} stands still until {}", seconds(until)));
        self.queue.push(until, Event::Thaw(id));
    }
}

fn seen(object: &Object) -> Option<RingEvent> {
    let member = object.member().map(RingEvent::MemberSeen);
    member
        .or_else(|| object.leader().map(RingEvent::LeaderSeen))
        .or_else(|| object.ring().map(RingEvent::RingSeen))
}

fn gone(kind: Kind, name: &Arc<str>, is_leader: bool) -> Option<RingEvent> {
    match kind {
        Kind::Lease if is_leader => Some(RingEvent::LeaderGone),
        Kind::Lease => Some(RingEvent::MemberGone(Incarnation::new(name.clone()))),
        Kind::Ring => Some(RingEvent::RingGone),
        _ => None,
    }
}

/// The slots as a text for people.
fn list(slots: &[Slot]) -> String {
    let names: Vec<String> = slots.iter().map(ToString::to_string).collect();
    format!("{} slots: {}", names.len(), names.join(" "))
}
