//! Carries out faults, and replaces the processes that they end.

use std::{sync::Arc, time::Duration};

use super::{
    event::{Event, Rollout},
    messages::{Inbox, ProcessId},
    process::Birth,
    store::{Kind as Stream, RING},
    world::World,
};
use crate::{
    MILLI, Micros, SECOND,
    faults::{Fault, FaultKind as Kind},
};

/// The time between two steps of a rolling update.
const ROLLOUT_STEP: Micros = SECOND / 2;
/// The largest number of steps of a rolling update: two minutes.
const ROLLOUT_STEPS: u32 = 240;
/// How long a process may take to end when it is asked to.
const STOP_TIME: Micros = 30 * SECOND;
/// The largest number of replicas.
const REPLICAS_MAX: usize = 7;
/// How long after a fault a member may be sealed because of it: twice the lease.
const DISTURBED: Micros = 30 * SECOND;

impl World {
    /// A new Pod.
    pub fn new_pod(&mut self) -> Birth {
        let number = self.number();
        let pod: Arc<str> = Arc::from(format!("op{number}"));
        // Each release of a run speaks a newer protocol. While one with an older protocol is present, all speak that
        // one.
        let protocol = self.release;
        Birth { container: pod.clone(), pod, release: self.present_release(), protocol }
    }

    fn present_release(&self) -> Arc<str> {
        Arc::from(format!("r{:03}", self.release))
    }

    /// The fault with this number begins.
    pub fn inject(&mut self, number: usize) {
        let plan = self.plan.clone();
        let Some(fault) = plan.faults.get(number) else { return };
        *self.stats.faults.entry(fault.kind).or_default() += 1;
        self.note(|| format!("FAULT {fault}"));
        self.audit_fault(fault);
        let living = self.living();
        let target = living.get(fault.target % living.len().max(1)).copied();
        let until = self.now + fault.lasts;
        match fault.kind {
            Kind::ApiErrors => self.server.errors = until,
            Kind::ApiLostReplies => self.server.loses_replies = until,
            Kind::ApiRestart | Kind::ApiOutage => {
                self.server_down(fault.lasts);
                self.after(fault.lasts, Event::ServerUp(None));
            }
            Kind::EtcdRestore => self.restore(number, fault),
            Kind::RingDeleted => self.somebody_deletes(Kind::RingDeleted, RING),
            Kind::Rollout => self.rollout(number),
            Kind::ScaleUp => self.scale_up(),
            Kind::CloudThrottle => self.cloud.moods.throttles = until,
            Kind::CloudErrors => self.cloud.moods.errors = until,
            Kind::CloudLostReplies => self.cloud.moods.loses_replies = until,
            Kind::CloudSlow => self.cloud.moods.slow = until,
            Kind::CloudLag => self.cloud.moods.lags = until,
            Kind::CloudCapacity => self.cloud.moods.full = until,
            _ => {
                if let Some(id) = target {
                    self.inject_into(id, fault);
                }
            }
        }
    }

    fn inject_into(&mut self, id: ProcessId, fault: &Fault) {
        let (now, until) = (self.now, self.now + fault.lasts);
        let Some(process) = self.alive(id) else { return };
        process.disturbed_until = process.disturbed_until.max(until + DISTURBED);
        let link = &mut process.link;
        match fault.kind {
            Kind::Sigkill => self.kill(id, false, false),
            Kind::Restart => self.kill(id, true, false),
            Kind::Proof => self.kill(id, false, true),
            Kind::LeaderKill => {
                let leads = |id: &ProcessId| {
                    let process = self.processes.get(*id).and_then(|process| process.member.as_ref());
                    process.is_some_and(booking_ring::member::Member::leads)
                };
                let leader = self.living().into_iter().find(leads).unwrap_or(id);
                self.kill(leader, false, false);
            }
            Kind::Graceful => self.ask_to_end(id),
            // This is the worst moment: a call has passed its check, and it is not sent yet.
            Kind::Sigstop if fault.target.is_multiple_of(2) => process.trap = Some((until, fault.lasts)),
            Kind::Sigstop => self.freeze(id, Duration::from_micros(fault.lasts)),
            Kind::Sleep => {
                process.clocks.sleep(now);
                self.freeze(id, Duration::from_micros(fault.lasts));
            }
            Kind::Skew => {
                let old = process.clocks.skew;
                let skew = if fault.target.is_multiple_of(2) { 3_600_000_000 } else { -3_600_000_000 };
                self.set_clock(id, skew);
                self.after(fault.lasts, Event::SetClock(id, old));
            }
            Kind::ClockJump => {
                let by = self.dice.between(100 * MILLI, 6 * SECOND);
                let by = self.dice.sign(by);
                let skew = self.processes.get(id).map_or(0, |process| process.clocks.skew);
                self.set_clock(id, skew + by);
            }
            Kind::Partition => {
                link.requests = until;
                link.replies = until;
            }
            Kind::PartitionReplies => link.replies = until,
            Kind::PartitionRequests => link.requests = until,
            Kind::Slow => link.slow = until,
            Kind::WatchStall => {
                link.stall = until;
                // Each watch is a connection of its own.
                link.stalled = match fault.target % 3 {
                    0 => None,
                    1 => Some(Stream::Lease),
                    _ => Some(Stream::Ring),
                };
            }
            Kind::WatchBreak => self.break_watches(id),
            Kind::StaleList => {
                link.stale = now + 10 * SECOND;
                self.break_watches(id);
            }
            Kind::LeaseDeleted => {
                let name = process.who.clone();
                self.somebody_deletes(Kind::LeaseDeleted, &name);
            }
            Kind::ScaleDown => self.scale_down(id),
            _ => {}
        }
    }

    fn break_watches(&mut self, id: ProcessId) {
        for kind in Stream::ALL {
            self.break_watch(id, kind);
        }
    }

    /// A process stands still from now on, later than planned.
    pub fn stand_still(&mut self, id: ProcessId, lasts: Micros) {
        let now = self.now;
        self.audit_standstill(lasts);
        if let Some(process) = self.alive(id) {
            process.disturbed_until = process.disturbed_until.max(now + lasts + DISTURBED);
        }
        self.freeze(id, Duration::from_micros(lasts));
    }

    /// The wall clock of a process is set.
    pub fn set_clock(&mut self, id: ProcessId, skew: i64) {
        if let Some(process) = self.alive(id) {
            process.clocks.skew = skew;
            self.note_of(id, |who| format!("{who}: wall clock is {} ms ahead", skew / 1_000));
        }
    }

    /// Kills a process. Another one takes its place, in the same Pod or a new one.
    fn kill(&mut self, id: ProcessId, same_pod: bool, proof: bool) {
        let Some(process) = self.alive(id) else { return };
        let (birth, who) = (process.birth.clone(), process.who.clone());
        let stopping = process.stopping;
        if same_pod && !stopping {
            let wait = self.dice.between(300 * MILLI, 10 * SECOND);
            self.spawn_later(wait, birth);
        }
        self.crash(id, "killed");
        if proof {
            for other in self.living() {
                let wait = self.dice.between(100 * MILLI, 3 * SECOND);
                self.after(wait, Event::To(other, Inbox::Dead(who.clone())));
            }
        }
    }

    fn ask_to_end(&mut self, id: ProcessId) {
        let Some(process) = self.alive(id) else { return };
        if process.stopping {
            return;
        }
        process.stopping = true;
        process.disturbed_until = Micros::MAX;
        self.note_of(id, |who| format!("{who} is asked to end"));
        self.after(0, Event::To(id, Inbox::Stop));
        self.after(STOP_TIME, Event::Kill(id));
        self.after(0, Event::Deploy);
    }

    /// Starts a process after a wait.
    pub fn spawn_later(&mut self, wait: Micros, birth: Birth) {
        self.spawning += 1;
        self.after(wait, Event::Spawn(Box::new(birth)));
    }

    /// Corrects the number of replicas. New Pods replace those that have gone or are leaving. If there are too many,
    /// one more leaves.
    pub fn deploy(&mut self) {
        let living = self.living();
        let is_going = |id: &ProcessId| self.processes.get(*id).is_some_and(|process| process.stopping);
        let stay: Vec<ProcessId> = living.into_iter().filter(|id| !is_going(id)).collect();
        let there = stay.len() + self.spawning;
        for _ in there..self.replicas {
            let birth = self.new_pod();
            let wait = self.dice.between(0, 8 * SECOND);
            self.spawn_later(wait, birth);
        }
        if there > self.replicas && !self.rolling {
            if let Some(youngest) = stay.last() {
                self.ask_to_end(*youngest);
            }
            self.after(SECOND, Event::Deploy);
        }
    }

    fn scale_up(&mut self) {
        let more = self.dice.between(1, 2);
        self.replicas = (self.replicas + usize::try_from(more).unwrap_or(1)).min(REPLICAS_MAX);
        self.after(0, Event::Deploy);
    }

    fn scale_down(&mut self, id: ProcessId) {
        if self.replicas > 1 {
            self.replicas -= 1;
            self.ask_to_end(id);
        }
    }

    fn somebody_deletes(&mut self, what: Kind, name: &str) {
        let kind = if what == Kind::RingDeleted { Stream::Ring } else { Stream::Lease };
        if self.now >= self.server.down
            && let Ok(change) = self.store.delete(kind, name, None)
        {
            self.changed(&change);
        }
    }

    fn restore(&mut self, number: usize, fault: &Fault) {
        let revision = self.server.snapshots.get(&number).copied();
        let Some(revision) = revision else { return };
        self.server_down(fault.lasts);
        let bump = fault.target.is_multiple_of(2);
        self.after(fault.lasts, Event::ServerUp(Some((revision, bump))));
    }

    fn rollout(&mut self, fault: usize) {
        self.release += 1;
        self.rolling = true;
        let release = self.present_release();
        self.audit_rollout(true, &release);
        self.roll(Rollout { release, left: ROLLOUT_STEPS, fault });
    }

    /// Rolls one step. There is one replica more than wanted, and never fewer: a new one starts, and when it is ready,
    /// an old one leaves.
    pub fn roll(&mut self, rollout: Rollout) {
        let living = self.living();
        let spawning = self.spawning;
        let of = |id: &ProcessId| self.processes.get(*id);
        let is_new = |id: &ProcessId| of(id).is_some_and(|process| process.birth.release == rollout.release);
        let (new, old): (Vec<ProcessId>, Vec<ProcessId>) = living.iter().partition(|id| is_new(id));
        let ready = new.iter().all(|id| {
            let member = of(id).and_then(|process| process.member.as_ref());
            member.is_some_and(booking_ring::member::Member::is_in_ring)
        });
        let going = old.iter().any(|id| of(id).is_some_and(|process| process.stopping));
        if old.is_empty() || rollout.left == 0 {
            self.note(|| "rolling update is done".to_owned());
            self.rolling = false;
            self.after(0, Event::Deploy);
            self.audit_rollout(false, &rollout.release);
            self.audit_fault_over(rollout.fault);
            return;
        }
        if !going && ready && spawning == 0 {
            if living.len() <= self.replicas {
                let birth = self.new_pod();
                self.spawn(birth);
            } else if let Some(id) = old.first() {
                self.ask_to_end(*id);
            }
        }
        let next = Rollout { left: rollout.left - 1, ..rollout };
        self.after(ROLLOUT_STEP, Event::Rollout(Box::new(next)));
    }
}
