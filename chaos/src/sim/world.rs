//! Everything that there is in a run, and what happens in it, one event after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use booking_ring::timing::Timing;
use bookings::decide::{locations::Locations, settings::Settings};

use super::{
    clock::micros,
    cloud::Cloud,
    dice::Dice,
    event::Event,
    known::Audit,
    messages::{Body, Inbox, Pending, ProcessId, Request},
    plan::Plan,
    process::Process,
    stats::{Stats, Trace},
    store::{Change, Store},
};
use crate::{
    Micros,
    checker::{Checker, Invariant, Rules, Violation},
};

/// The API server: what is wrong with it, until when.
#[derive(Debug, Default)]
pub struct Server {
    /// Away.
    pub down: Micros,
    /// Whether requests to it get no answer while it is away, and not a refusal.
    pub silent: bool,
    /// Refuses most requests.
    pub errors: Micros,
    /// Loses most replies.
    pub loses_replies: Micros,
    /// Grows with each start; connections do not outlive one.
    pub life: u32,
    /// Revisions to go back to, by the fault that will.
    pub snapshots: BTreeMap<usize, u64>,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    /// The present.
    pub now: Micros,
    /// What is to be.
    pub plan: Arc<Plan>,
    /// The ring's durations.
    pub timing: Timing,
    /// What controllers are set to.
    pub settings: Settings,
    /// What is to happen.
    pub queue: super::queue::Queue<Event>,
    /// What the API server keeps.
    pub store: Store,
    /// How the API server is.
    pub server: Server,
    /// The cloud.
    pub cloud: Cloud,
    /// All processes that ever were.
    pub processes: Vec<Process>,
    /// Names of the groups' Resources.
    pub groups: Vec<Arc<str>>,
    /// How many replicas there should be.
    pub replicas: usize,
    /// How many are about to start.
    pub spawning: usize,
    /// The present release.
    pub release: u32,
    /// Whether a rolling update goes on.
    pub rolling: bool,
    /// Chance of the network.
    pub dice: Dice,
    /// The invariants.
    pub checker: Checker,
    /// What is known of the truth beside the store.
    pub audit: Audit,
    /// Counts.
    pub stats: Stats,
    /// The history.
    pub trace: Trace,
    /// Numbers given so far: requests, calls, reads, Pods.
    pub numbers: u64,
    ended: bool,
}

/// Events at one instant of which more would be a process that runs in circles.
const EVENTS_AT_ONCE_MAX: u32 = 100_000;

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Arc<Plan>, traced: bool) -> Self {
        let timing = Timing::default();
        let rules =
            Rules { permit: micros(timing.permit()), call: micros(timing.call()), ..Rules::default() };
        let groups = (0..plan.groups.len()).map(|group| Arc::from(format!("ec2.g{group}"))).collect();
        let mut world = Self {
            now: 0,
            timing,
            settings: settings(),
            queue: super::queue::Queue::default(),
            store: Store::default(),
            server: Server::default(),
            cloud: Cloud::new(&plan.groups),
            processes: vec![],
            groups,
            replicas: plan.replicas,
            spawning: 0,
            release: 1,
            rolling: false,
            dice: Dice::new(plan.seed, 3),
            checker: Checker::new(rules),
            audit: Audit::new(&plan),
            stats: Stats { runs: 1, ..Stats::default() },
            trace: Trace::new(traced),
            numbers: 0,
            ended: false,
            plan,
        };
        world.begin();
        world
    }

    /// Lets everything happen, until the end or the first violation.
    pub fn run(&mut self) -> Option<Violation> {
        let mut at_once = 0;
        while !self.ended && self.checker.violations().is_empty() {
            let Some((at, event)) = self.queue.pop() else { break };
            at_once = if at == self.now { at_once + 1 } else { 0 };
            if at_once > EVENTS_AT_ONCE_MAX {
                self.checker.violated(Invariant::Panicked, at, "runs in circles".to_owned());
            }
            self.now = at;
            self.stats.events += 1;
            self.happen(event);
        }
        self.stats.time += self.now;
        self.checker.violations().first().cloned()
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Plans an event so long from now.
    pub fn after(&mut self, wait: Micros, event: Event) {
        self.queue.push(self.now + wait, event);
    }

    /// Adds a line to the history.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.now, text);
    }

    /// A process that has not ended.
    pub fn alive(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(id).filter(|process| process.alive)
    }

    /// All that have not ended.
    pub fn living(&self) -> Vec<ProcessId> {
        let living = self.processes.iter().enumerate().filter(|(_, process)| process.alive);
        living.map(|(id, _)| id).collect()
    }

    /// A change of the store: those who watch will see it.
    pub fn changed(&mut self, change: &Change) {
        self.audit_change(change);
        for id in self.living() {
            self.show(id, change);
        }
    }

    /// A process asks the API server for something, and waits that long for the answer.
    pub fn ask(&mut self, id: ProcessId, pending: Pending, body: Body, wait: Duration) -> u64 {
        let (now, number, life) = (self.now, self.number(), self.server.life);
        let Some(process) = self.alive(id) else { return number };
        process.pending.insert(number, pending);
        let until = process.clocks.mono(now) + micros(wait);
        let gives_up = process.clocks.when(until, now);
        let request = Request { number, from: id, who: process.who.clone(), sent: now, life, body };
        self.queue.push(gives_up, Event::To(id, Inbox::TimedOut(number)));
        if let Some(arrives) = self.arrival(id) {
            self.queue.push(arrives, Event::Arrives(Box::new(request)));
        }
        number
    }

    fn begin(&mut self) {
        self.create_resources();
        for _ in 0..self.replicas {
            let birth = self.new_pod();
            let wait = self.dice.between(0, 3 * crate::SECOND);
            self.spawn_later(wait, birth);
        }
        let plan = self.plan.clone();
        for (number, fault) in plan.faults.iter().enumerate() {
            self.queue.push(fault.at, Event::Fault(number));
            if fault.kind == crate::faults::FaultKind::EtcdRestore {
                let age = self.dice.between(10 * crate::SECOND, 40 * crate::SECOND);
                self.queue.push(fault.at.saturating_sub(age), Event::Snapshot(number));
            }
        }
        for (number, (at, _)) in plan.acts.iter().enumerate() {
            self.queue.push(*at, Event::Act(number));
        }
        self.queue.push(plan.end, Event::End);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::To(id, inbox) => self.deliver(id, inbox),
            Event::Thaw(id) => self.thaw(id),
            Event::Arrives(request) => self.serve(&request),
            Event::Connects(id, kind, generation) => self.connect(id, kind, generation),
            Event::CloudArrives(packet) => self.cloud_serves(&packet),
            Event::Fault(number) => self.inject(number),
            Event::SetClock(id, skew) => self.set_clock(id, skew),
            Event::ServerUp(state) => self.server_up(state),
            Event::Snapshot(fault) => {
                let revision = self.store.revision();
                self.server.snapshots.insert(fault, revision);
            }
            Event::Spawn(birth) => {
                self.spawning -= 1;
                self.spawn(*birth);
            }
            Event::Deploy => self.deploy(),
            Event::Kill(id) => self.crash(id, "had its time"),
            Event::Rollout(rollout) => self.roll(*rollout),
            Event::Act(number) => self.act(number),
            Event::Due(group, edge) => self.audit_due(group, edge),
            Event::End => {
                self.audit_end();
                self.ended = true;
            }
        }
    }
}

/// As the operator's own defaults, but for a grace that fits into a run.
fn settings() -> Settings {
    Settings {
        locations: Arc::new(Locations::new("", "eu-central-1", vec![])),
        adoption_grace: Duration::from_mins(2),
        dry_run: false,
        poll_shortest: Duration::from_secs(1),
        poll_longest: Duration::from_secs(10),
        observe_interval: Duration::from_mins(1),
        release_timeout: Duration::from_mins(5),
    }
}
