//! The controller of a replica, modelled on the operator's own: its keys, what makes them due, and what it reads when
//! it gains one. `pass` has the passes over keys.

use std::time::Duration;

use booking_decision::Backoff;
use booking_ring::slot::Slot;
use bookings::decide::groups::attempts::Attempts;

use super::{
    clock::micros,
    event::Event,
    injected_bugs::{ModelBug, is_injected},
    keys::{Controller, Key, Reads},
    messages::{Body, Inbox, Pending, ProcessId, Reply},
    store::{Change, Kind, Object},
    world::World,
};
use crate::{Micros, SECOND};

/// The waits after a pass that was cut short.
const RETRY: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(30) };

impl World {
    /// A key of a process that has not ended.
    pub fn key(&mut self, id: ProcessId, key: usize) -> Option<&mut Key> {
        self.alive(id).and_then(|process| process.controller.keys.get_mut(key))
    }

    /// Slots were gained. Their keys are read before anything is decided.
    pub fn gained(&mut self, id: ProcessId, slots: &[Slot]) {
        let Some(process) = self.alive(id) else { return };
        let keys = process.controller.of_slots(slots);
        for number in &keys {
            if let Some(key) = process.controller.keys.get_mut(*number) {
                key.gains += 1;
                key.fresh = is_injected(ModelBug::GainsWithoutReading);
                key.attempts = Attempts::default();
                key.failed = 0;
            }
        }
        if is_injected(ModelBug::GainsWithoutReading) {
            for key in keys {
                self.wake(id, key);
            }
        } else if !keys.is_empty() {
            self.read_keys(id, &keys);
        }
    }

    /// Slots were lost. Effects that have not gone out are dropped. Calls that run may end, or are cancelled.
    pub fn lost(&mut self, id: ProcessId, slots: &[Slot]) {
        let Some(process) = self.alive(id) else { return };
        let (mut cancelled, mut dropped) = (Vec::new(), Vec::new());
        let keys = process.controller.of_slots(slots);
        for number in keys.clone() {
            let open = process.controller.open.iter().find(|(_, open)| open.key == number);
            let open = open.map(|(call, _)| *call);
            let Some(key) = process.controller.keys.get_mut(number) else { continue };
            key.fresh = false;
            match (&mut key.pass, open) {
                (Some(pass), Some(call)) => {
                    pass.lost = true;
                    cancelled.push((number, call));
                }
                (Some(_), None) => {
                    key.pass = None;
                    dropped.push(number);
                }
                (None, _) => {}
            }
        }
        for number in dropped {
            self.pass_is_done(id, number, None);
        }
        // As in the operator, the next passes of these keys find that another replica owns them.
        for number in keys {
            self.wake(id, number);
        }
        for (key, call) in cancelled {
            if self.dice.chance(self.plan.noise.cancels) {
                self.cancel(id, key, call);
            }
        }
    }

    fn cancel(&mut self, id: ProcessId, key: usize, call: u64) {
        let Some(process) = self.alive(id) else { return };
        if let Some(open) = process.controller.open.remove(&call)
            && let Some(member) = process.member.as_mut()
        {
            member.call_cancelled(open.call);
        }
        let number = key;
        if process.controller.keys.get_mut(number).is_some_and(|key| key.pass.take().is_some()) {
            self.pass_is_done(id, number, None);
        }
        self.feed(id, booking_ring::protocol::Event::Tick);
    }

    /// An incarnation has ended, and nothing counts that it knew.
    pub fn forget(&mut self, id: ProcessId) {
        let (groups, slots) = (self.groups.clone(), self.plan.slots);
        let Some(process) = self.alive(id) else { return };
        for (_, open) in process.controller.open.drain() {
            if let Some(member) = process.member.as_mut() {
                member.call_cancelled(open.call);
            }
        }
        process.controller = Controller::new(&groups, slots);
    }

    fn read_keys(&mut self, id: ProcessId, keys: &[usize]) {
        let (number, wait) = (self.number(), self.timing.call());
        let Some(process) = self.alive(id) else { return };
        let controller = &mut process.controller;
        let gains = |key: &usize| controller.keys.get(*key).map_or(0, |key| key.gains);
        let keys = keys.iter().map(|key| (*key, gains(key))).collect();
        let known = controller.cache.newest();
        controller.reads.insert(number, Reads { keys, known });
        self.ask(id, Pending::Read(number), Body::Read, wait);
    }

    /// A read got its reply.
    pub fn read(&mut self, id: ProcessId, number: u64, reply: Reply) {
        let Some(process) = self.alive(id) else { return };
        let controller = &mut process.controller;
        let Reply::All(objects, revision) = reply else {
            if controller.reads.contains_key(&number) {
                self.after(SECOND / 2, Event::To(id, Inbox::ReadAgain(number)));
            }
            return;
        };
        let Some(reads) = controller.reads.remove(&number) else { return };
        let changed =
            controller.cache.listed(&[Kind::Resource, Kind::Booking], &objects, revision, reads.known);
        let mut wakes: Vec<usize> = changed.iter().filter_map(|object| controller.key_of(object)).collect();
        for (number, gains) in reads.keys {
            if let Some(key) = controller.keys.get_mut(number).filter(|key| key.gains == gains)
                && !key.fresh
            {
                key.fresh = true;
                wakes.retain(|key| *key != number);
                if !is_injected(ModelBug::LosesWakeUp) {
                    wakes.push(number);
                }
            }
        }
        for key in wakes {
            self.wake(id, key);
        }
    }

    /// Repeats a read that failed, for the keys that are still owned and not read.
    pub fn read_again(&mut self, id: ProcessId, number: u64) {
        let Some(process) = self.alive(id) else { return };
        let Some(reads) = process.controller.reads.remove(&number) else { return };
        let keys: Vec<usize> = reads
            .keys
            .into_iter()
            .filter(|(number, gains)| {
                let key = process.controller.keys.get(*number);
                key.is_some_and(|key| key.gains == *gains && !key.fresh)
            })
            .map(|(number, _)| number)
            .collect();
        let owned = self.owned(id);
        let keys: Vec<usize> = keys
            .into_iter()
            .filter(|key| self.key(id, *key).is_some_and(|key| owned.contains(&key.slot)))
            .collect();
        if !keys.is_empty() {
            self.read_keys(id, &keys);
        }
    }

    /// A key met a conflict, so the stored objects are read.
    pub fn reread(&mut self, id: ProcessId) {
        self.read_keys(id, &[]);
    }

    /// A watch shows a change.
    pub fn controller_saw(&mut self, id: ProcessId, change: &Change) {
        let Some(process) = self.alive(id) else { return };
        if process.controller.cache.saw(change)
            && let Some(key) = process.controller.key_of(&change.object)
        {
            self.wake(id, key);
        }
    }

    /// A watch has begun anew.
    pub fn controller_listed(&mut self, id: ProcessId, kind: Kind, objects: &[Object], revision: u64) {
        let Some(process) = self.alive(id) else { return };
        let known = process.watch(kind).known;
        let changed = process.controller.cache.listed(&[kind], objects, revision, known);
        let keys: Vec<usize> =
            changed.iter().filter_map(|object| process.controller.key_of(object)).collect();
        for key in keys {
            self.wake(id, key);
        }
    }

    /// A key is due. A pass begins, or follows the one that works on the key.
    pub fn wake(&mut self, id: ProcessId, number: usize) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let Some(key) = process.controller.queue_key(number) else { return };
        process.controller.queue.add(key, process.clocks.mono(now));
        self.run_due(id);
    }

    /// Begins passes over all keys that are due, and sets the next timer.
    pub fn run_due(&mut self, id: ProcessId) {
        let now = self.now;
        while let Some(number) = self.next_due(id) {
            if !self.begin_pass(id, number) {
                self.pass_is_done(id, number, None);
            }
        }
        let Some(process) = self.alive(id) else { return };
        if let Some(at) = process.controller.queue.next_timer() {
            let rings = process.clocks.when(at, now);
            self.queue.push(rings, Event::To(id, Inbox::Timer));
        }
    }

    fn next_due(&mut self, id: ProcessId) -> Option<usize> {
        let now = self.now;
        let process = self.alive(id)?;
        let (key, _) = process.controller.queue.next(process.clocks.mono(now))?;
        process.controller.keys.iter().position(|known| *known.name == *key.name)
    }

    /// Tells the queue that a pass over a key has ended, and when the key is due again.
    pub(super) fn pass_is_done(&mut self, id: ProcessId, number: usize, again_at: Option<Micros>) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let Some(key) = process.controller.queue_key(number) else { return };
        process.controller.queue.done(&key, again_at, process.clocks.mono(now));
    }

    /// A pass has ended, completely or cut short. Its key is due again at an instant.
    pub fn end_pass(&mut self, id: ProcessId, number: usize, whole: bool) {
        let now = self.now;
        let Some(process) = self.alive(id) else { return };
        let time = process.time(now);
        let Some(key) = process.controller.keys.get_mut(number) else { return };
        let Some(pass) = key.pass.take() else { return };
        key.failed = if whole { 0 } else { key.failed.saturating_add(1) };
        let due =
            pass.wake_at.map(|at| u64::try_from(at.duration_since(time).as_micros()).unwrap_or_default());
        let retry = (!whole).then(|| micros(RETRY.wait(key.failed)));
        let wait = due.into_iter().chain(retry).min().filter(|_| !pass.lost);
        let again_at = wait.map(|wait| process.clocks.mono(now) + wait);
        self.pass_is_done(id, number, again_at);
        self.run_due(id);
    }
}
