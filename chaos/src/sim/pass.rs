//! One pass over one key, in the operator's own order: finalizer, starts that depend on what is stored, statuses that
//! others rely on, the Resource's status, other calls, statuses that only report something, end of the finalizer. Each
//! effect is an event of its own, and it asks for the permit immediately before.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use booking_calendar::instant::after;
use booking_decision::Backoff;
use booking_ring::protocol::Event as RingEvent;
use bookings::decide::groups::{
    attempts::Attempts,
    booking::ReadBooking,
    claim::Claim,
    decide,
    group::standing,
    input::{GroupInput, Observation},
    notices::Deliveries,
    output::{Call, Decision},
    priority::CallPriority,
};
use jiff::Timestamp;

use super::{
    cache::Snapshot,
    cloud::{CloudFault, Results, verb},
    event::Event,
    keys::{Open, Pass, Step},
    messages::{Body, Inbox, Packet, Pending, ProcessId, Reply},
    steps::{steps, told, write_of},
    store::{Object, Refusal},
    world::World,
};
use crate::{
    MILLI, Micros, SECOND,
    checker::{CallFact, Verb},
    seconds,
    sim::clock::micros,
};

/// If a packet leaves this long after its check, a standstill held it up.
const LATE: Micros = 20 * MILLI;

impl World {
    /// Begins a pass, if the process may work on the key. Returns whether it did.
    pub fn begin_pass(&mut self, id: ProcessId, number: usize) -> bool {
        let (now, pass) = (self.now, self.number());
        let wait = self.describe_time();
        let Some(process) = self.alive(id) else { return false };
        let stamp = process.clocks.stamp(now);
        let Some(key) = process.controller.keys.get_mut(number).filter(|key| key.fresh) else { return false };
        let Some(permit) = process.member.as_ref().and_then(|member| member.permit(key.slot, stamp)) else {
            return false;
        };
        let snapshot = process.controller.cache.snapshot(&key.name);
        if snapshot.resource.is_none() && snapshot.bookings.is_empty() {
            return false;
        }
        key.pass = Some(Pass {
            number: pass,
            permit,
            snapshot,
            observation: Observation::NotNeeded,
            steps: VecDeque::new(),
            known: None,
            priority: CallPriority::default(),
            wake_at: None,
            lost: false,
        });
        self.after(wait, Event::To(id, Inbox::Described(number, pass)));
        true
    }

    fn describe_time(&mut self) -> Micros {
        let slow = self.now < self.cloud.moods.slow;
        self.dice.between(10 * MILLI, if slow { 3 * SECOND } else { 150 * MILLI })
    }

    /// The cloud has described the group, so the pass decides.
    pub fn described(&mut self, id: ProcessId, number: usize, pass: u64) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(id).filter(|process| process.alive) else { return };
        let time = process.time(now);
        let Some(key) = process.controller.keys.get_mut(number) else { return };
        let Some(pass) = key.pass.as_mut().filter(|present| present.number == pass) else { return };
        let resource = pass.snapshot.resource.as_ref().and_then(Object::resource);
        let group = resource.and_then(|found| standing(found, Claim::Ours, &self.settings.locations).ok());
        if group.is_some() {
            let answer = self.cloud.describe(number, now, &mut self.dice);
            pass.observation = match answer {
                Ok(instances) => {
                    key.attempts.observed(&instances, time);
                    Observation::Seen(instances)
                }
                Err(fault) => {
                    let failures = key.attempts.observe_failed(time);
                    let retry_at = after(time, backoff(fault).wait(failures));
                    Observation::Failed { message: format!("{fault:?}"), retry_at }
                }
            };
        }
        self.stats.decisions += 1;
        let decision = decided(&self.settings, &pass.snapshot, &pass.observation, &key.attempts, time);
        pass.wake_at = decision.next();
        pass.priority = decision.hints.priority.clone();
        pass.known.clone_from(&pass.snapshot.resource);
        pass.steps = steps(&pass.snapshot, decision);
        self.advance(id, number);
    }

    /// Carries out the next effect of a pass, if the permit allows it.
    fn advance(&mut self, id: ProcessId, number: usize) {
        let now = self.now;
        let fact = self.number();
        let wait = self.dice.between(10, 300);
        let Some(process) = self.processes.get_mut(id).filter(|process| process.alive) else { return };
        let (time, stamp) = (process.time(now), process.clocks.stamp(now));
        let Some(key) = process.controller.keys.get_mut(number) else { return };
        let Some(pass) = key.pass.as_mut() else { return };
        if pass.lost {
            self.end_pass(id, number, false);
            return;
        }
        let Some(mut step) = pass.steps.pop_front() else {
            self.end_pass(id, number, true);
            return;
        };
        if let Step::Call(call @ (Call::Start(_) | Call::Stop(_))) = &step {
            let snapshot = process.controller.cache.snapshot(&key.name);
            let again = decided(&self.settings, &snapshot, &pass.observation, &key.attempts, time);
            if !again.calls.contains(call) {
                self.end_pass(id, number, false);
                return;
            }
        }
        if let Step::Call(call) = &mut step {
            let mono = process.clocks.mono(now);
            let later = process.controller.budgets.admit(call, (&key.name, &pass.priority), mono);
            for (machine, wait) in later {
                key.attempts.queued(&machine, call.action(), time, after(time, wait));
            }
            if call.ids().is_empty() {
                self.stats.queued += 1;
                self.advance(id, number);
                return;
            }
        }
        let begun = process.member.as_mut().map(|member| member.begin_call(pass.permit, stamp));
        let Some(Ok(call)) = begun else {
            self.end_pass(id, number, false);
            return;
        };
        let (who, slot, name) = (process.who.clone(), key.slot, key.name.clone());
        let open = Open { key: number, pass: pass.number, call, step: step.clone(), slot, begun: now };
        process.controller.open.insert(fact, open);
        let trap = process.trap.take();
        let gives_up = process.clocks.when(process.clocks.mono(now) + micros(self.timing.call()), now);
        self.after(wait, Event::To(id, Inbox::Packet(number, fact)));
        self.queue.push(gives_up, Event::To(id, Inbox::CallTimedOut(fact)));
        if let Some((until, lasts)) = trap
            && now < until
        {
            self.stand_still(id, lasts);
        }
        self.check_call(&who, fact, slot.0, number, &step);
        self.note(|| format!("{who} {name}: {}", told(&step, time)));
    }

    fn check_call(&mut self, who: &Arc<str>, fact: u64, slot: u16, group: usize, step: &Step) {
        let verb = if let Step::Call(call) = step { verb(call) } else { Verb::Write };
        let call = CallFact { id: fact, who: who.clone(), slot: u32::from(slot), verb, at: self.now };
        self.checker.could_act(who, self.now);
        self.checker.call_begins(call);
        match verb {
            Verb::Stop => self.audit_stop(who, group),
            Verb::Start => self.audit_start(who, group),
            _ => {}
        }
    }

    /// A call is sent.
    pub fn packet(&mut self, id: ProcessId, number: usize, fact: u64) {
        let (now, wait) = (self.now, self.timing.call());
        let usual = self.dice.between(5 * MILLI, 120 * MILLI);
        let long = self.dice.between(5 * MILLI, micros(wait));
        let Some(process) = self.alive(id) else { return };
        let Some(open) = process.controller.open.get(&fact) else { return };
        let (begun, step) = (open.begun, open.step.clone());
        let known = process.controller.keys.get(number).and_then(|key| key.pass.as_ref());
        let known = known.and_then(|pass| pass.known.clone());
        if now - begun > LATE {
            self.stats.late_in_flight += 1;
            self.note_of(id, |who| format!("{who} sends what was checked at {} s", seconds(begun)));
        }
        match step {
            Step::Call(call) => {
                let way = if now < self.cloud.moods.slow { long } else { usual };
                let latest = (begun + micros(wait)).max(now);
                let packet = Packet { from: id, number: fact, call };
                self.queue.push((now + way).min(latest), Event::CloudArrives(Box::new(packet)));
            }
            step => {
                self.stats.writes += 1;
                if let Some((name, found, value)) = write_of(&step, known.as_ref()) {
                    self.ask(id, Pending::Write(fact), Body::Write(name, found, value), wait);
                }
            }
        }
    }

    /// A call arrives at the cloud.
    pub fn cloud_serves(&mut self, packet: &Packet) {
        let (now, verb) = (self.now, verb(&packet.call));
        let results = self.cloud.call(&packet.call, now, &mut self.dice);
        self.stats.cloud_calls += 1;
        self.audit_mutation();
        for name in
            packet.call.ids().iter().filter_map(|machine| self.cloud.name(machine)).collect::<Vec<_>>()
        {
            self.checker.sent_to(&name, verb, now);
        }
        let lossy = now < self.cloud.moods.loses_replies && self.dice.chance(600);
        if !lossy {
            let slow = now < self.cloud.moods.slow;
            let way = self.dice.between(5 * MILLI, if slow { 3 * SECOND } else { 100 * MILLI });
            self.after(way, Event::To(packet.from, Inbox::CloudReplied(packet.number, results)));
        }
    }

    /// The cloud has replied.
    pub fn cloud_replied(&mut self, id: ProcessId, fact: u64, results: &Results) {
        let Some(open) = self.call_over(id, fact, true) else { return };
        self.record(id, &open, results);
        self.feed(id, RingEvent::Tick);
        self.go_on(id, &open, true);
    }

    /// A call got no reply in time.
    pub fn call_timed_out(&mut self, id: ProcessId, fact: u64) {
        let Some(open) = self.call_over(id, fact, false) else { return };
        if let Step::Call(call) = &open.step {
            let results: Results =
                call.ids().iter().map(|machine| (machine.clone(), Err(CloudFault::Transient))).collect();
            self.record(id, &open, &results);
        }
        self.feed(id, RingEvent::Tick);
        let goes_on = matches!(open.step, Step::Call(_));
        self.go_on(id, &open, goes_on);
    }

    /// A write got its reply, or failed.
    pub fn written(&mut self, id: ProcessId, fact: u64, reply: Reply) {
        let Some(open) = self.call_over(id, fact, true) else { return };
        let mut done = false;
        match reply {
            Reply::Written(Ok(object)) => {
                done = true;
                if let Some(process) = self.alive(id) {
                    process.controller.cache.wrote(&object);
                }
                if let Some(pass) = self.pass_of(id, &open)
                    && object.resource().is_some()
                {
                    pass.known = Some(object);
                }
            }
            Reply::Written(Err(Refusal::Conflict | Refusal::NotFound)) => self.reread(id),
            _ => {}
        }
        self.feed(id, RingEvent::Tick);
        self.go_on(id, &open, done);
    }

    fn pass_of(&mut self, id: ProcessId, open: &Open) -> Option<&mut Pass> {
        self.key(id, open.key)?.pass.as_mut().filter(|pass| pass.number == open.pass)
    }

    fn call_over(&mut self, id: ProcessId, fact: u64, replied: bool) -> Option<Open> {
        let now = self.now;
        let process = self.alive(id)?;
        let open = process.controller.open.remove(&fact)?;
        if let Some(member) = process.member.as_mut() {
            member.call_ended(open.call);
        }
        if replied {
            self.checker.call_over(u32::from(open.slot.0), fact, now);
        }
        Some(open)
    }

    fn record(&mut self, id: ProcessId, open: &Open, results: &Results) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let time = process.time(now);
        let Some(key) = process.controller.keys.get_mut(open.key) else { return };
        let Step::Call(call) = &open.step else { return };
        if key.pass.as_ref().is_none_or(|pass| pass.number != open.pass || pass.lost) {
            return;
        }
        if results.iter().any(|(_, result)| matches!(result, Err(CloudFault::Throttled))) {
            let mono = process.clocks.mono(now);
            process.controller.budgets.throttled(call, mono);
        }
        for (machine, result) in results {
            match result {
                Ok(()) => key.attempts.succeeded(machine, call.action(), time),
                Err(fault) => {
                    key.attempts.failed(machine, call.action(), time, format!("{fault:?}"), backoff(*fault));
                }
            }
        }
    }

    fn go_on(&mut self, id: ProcessId, open: &Open, done: bool) {
        if self.pass_of(id, open).is_none() {
            return;
        }
        if done {
            self.advance(id, open.key);
        } else {
            self.end_pass(id, open.key, false);
        }
    }
}

fn decided(
    settings: &bookings::decide::settings::Settings,
    snapshot: &Snapshot,
    observation: &Observation,
    attempts: &Attempts,
    now: Timestamp,
) -> Decision {
    let bookings: Vec<ReadBooking<'_>> =
        snapshot.bookings.iter().filter_map(Object::booking).map(ReadBooking::new).collect();
    let resource = snapshot.resource.as_ref().and_then(Object::resource);
    let deliveries = &Deliveries::new();
    let standing = resource.map(|found| standing(found, Claim::Ours, &settings.locations));
    let standing = standing.as_ref();
    // Every other minute, many other groups seem about to be locked.
    let prelocks = now.as_second() / 60 % 2 == 0;
    let bookings = &bookings;
    decide(
        &GroupInput { resource, standing, bookings, observation, attempts, deliveries, prelocks, now },
        settings,
    )
}

/// The operator's waits after each class of errors.
fn backoff(fault: CloudFault) -> Backoff {
    let seconds = |base, cap| Backoff { base: Duration::from_secs(base), cap: Duration::from_secs(cap) };
    match fault {
        CloudFault::Throttled => seconds(2, 60),
        CloudFault::Transient | CloudFault::WrongState => seconds(1, 30),
        CloudFault::Capacity => seconds(60, 300),
    }
}
