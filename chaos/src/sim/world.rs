//! The whole state of a run. Its events happen one after the other.

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

/// The state of the API server. Each trouble has the time until which it lasts.
#[derive(Debug, Default)]
pub struct Server {
    /// It is away.
    pub down: Micros,
    /// Whether requests to it get no answer while it is away, and not a refusal.
    pub silent: bool,
    /// It refuses most requests.
    pub errors: Micros,
    /// It loses most replies.
    pub loses_replies: Micros,
    /// It grows with each start. Connections do not outlive a life.
    pub life: u32,
    /// Revisions to go back to, by the number of the fault that will do it.
    pub snapshots: BTreeMap<usize, u64>,
}

/// The whole state of a run.
#[derive(Debug)]
pub struct World {
    /// The present time.
    pub now: Micros,
    /// The plan of the run.
    pub plan: Arc<Plan>,
    /// The ring's durations.
    pub timing: Timing,
    /// The settings of the controllers.
    pub settings: Settings,
    /// The planned events.
    pub queue: super::queue::Queue<Event>,
    /// The content of the API server.
    pub store: Store,
    /// The state of the API server.
    pub server: Server,
    /// The cloud.
    pub cloud: Cloud,
    /// All processes of the run.
    pub processes: Vec<Process>,
    /// The names of the groups' Resources.
    pub groups: Vec<Arc<str>>,
    /// The number of replicas that there should be.
    pub replicas: usize,
    /// The number of processes that are about to start.
    pub spawning: usize,
    /// The present release.
    pub release: u32,
    /// Whether a rolling update is under way.
    pub rolling: bool,
    /// The random choices of the network.
    pub dice: Dice,
    /// The invariants.
    pub checker: Checker,
    /// What the audit knows in addition to the store.
    pub audit: Audit,
    /// Counts.
    pub stats: Stats,
    /// The history.
    pub trace: Trace,
    /// The last number that was given to a request, call, read or Pod.
    pub numbers: u64,
    ended: bool,
}

/// If there are more events at one instant, a process runs in circles.
const EVENTS_AT_ONCE_MAX: u32 = 100_000;

impl World {
    /// The world at the beginning.
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

    /// Lets all events happen, until the end or the first violation.
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

    /// Plans an event after a wait.
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

    /// All processes that have not ended.
    pub fn living(&self) -> Vec<ProcessId> {
        let living = self.processes.iter().enumerate().filter(|(_, process)| process.alive);
        living.map(|(id, _)| id).collect()
    }

    /// The store has changed. Processes that watch will see it.
    pub fn changed(&mut self, change: &Change) {
        self.audit_change(change);
        for id in self.living() {
            self.show(id, change);
        }
    }

    /// A process sends a request to the API server, and waits this long for the answer.
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

/// The operator's defaults, except for a grace that fits into a run.
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
