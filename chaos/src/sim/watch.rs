//! Watches: which changes of the store a process sees, when, and in what order.

use super::{
    event::Event,
    messages::{Inbox, ProcessId},
    server::reopen,
    store::{Change, Kind, Object},
    world::World,
};
use crate::{MILLI, Micros, SECOND};

/// A list from an older state is at most this number of revisions old.
const STALE_MAX: u64 = 60;

impl World {
    /// Sends a change to a process that watches, unless its watch breaks at it.
    pub fn show(&mut self, id: ProcessId, change: &Change) {
        let kind = change.object.value.kind();
        let (noise, now) = (self.plan.noise_at(self.now), self.now);
        let connected = self.alive(id).is_some_and(|process| process.watch(kind).connected);
        if !connected {
            return;
        }
        if self.dice.between(0, 9_999) < noise.breaks {
            self.break_watch(id, kind);
            return;
        }
        let lag = self.dice.between(noise.lag.0, noise.lag.1)
            + if self.dice.chance(noise.late) { self.dice.between(0, 4 * SECOND) } else { 0 };
        let twice = self.dice.chance(noise.twice).then(|| self.dice.between(0, SECOND));
        let replaces = self.dice.chance(noise.coalesced);
        let Some(process) = self.alive(id) else { return };
        let (stall, replies) = (process.link.stall_of(kind), process.link.replies);
        let watch = process.watch(kind);
        let name = &change.object.name;
        let before = watch.arrivals.get(name).copied().unwrap_or_default();
        let after = if noise.reorder { before } else { watch.last };
        let arrives = (now + lag).max(stall).max(replies).max(after) + 1;
        if replaces && before > now {
            watch.newest.insert(name.clone(), change.revision);
        }
        let last = twice.map_or(arrives, |wait| arrives + wait);
        watch.arrivals.insert(name.clone(), last);
        watch.last = watch.last.max(last);
        let generation = watch.generation;
        let times = if last > arrives { vec![arrives, last] } else { vec![arrives] };
        for at in times {
            let inbox = Inbox::Watch(kind, generation, Box::new(change.clone()));
            self.queue.push(at, Event::To(id, inbox));
        }
    }

    /// A watch breaks. Its client opens it again after a while.
    pub fn break_watch(&mut self, id: ProcessId, kind: Kind) {
        let wait = reopen(&mut self.dice);
        self.restart_watch(id, kind, wait);
    }

    /// A watch begins anew after a wait.
    pub fn restart_watch(&mut self, id: ProcessId, kind: Kind, wait: Micros) {
        let Some(process) = self.alive(id) else { return };
        let watch = process.watch(kind);
        watch.generation += 1;
        watch.connected = false;
        watch.arrivals.clear();
        watch.newest.clear();
        watch.last = 0;
        let generation = watch.generation;
        self.after(wait, Event::Connects(id, kind, generation));
    }

    /// A watch asks to begin anew. It is shown everything, and then the changes.
    pub fn connect(&mut self, id: ProcessId, kind: Kind, generation: u32) {
        let now = self.now;
        let open = self.server.down;
        let Some(process) = self.alive(id) else { return };
        if process.watch(kind).generation != generation {
            return;
        }
        let link = &process.link;
        if now < open || now < link.requests.max(link.replies) || now < process.frozen_until {
            let wait = reopen(&mut self.dice);
            self.after(wait, Event::Connects(id, kind, generation));
            return;
        }
        // Only the ring must tolerate that, because controllers ask for the most recent state.
        let stale = kind.is_of_ring() && now < process.link.stale;
        let revision = self.list_revision(stale);
        let objects =
            if stale { self.store.list_at(kind, revision) } else { self.store.list(kind).cloned().collect() };
        let held_up = self.processes.get(id).map_or(0, |process| process.link.stall_of(kind));
        let arrives = (now + self.latency(id)).max(held_up) + MILLI;
        let Some(process) = self.alive(id) else { return };
        let known = process.controller.cache.newest();
        let watch = process.watch(kind);
        watch.known = known;
        watch.connected = true;
        watch.last = arrives;
        for object in &objects {
            watch.arrivals.insert(object.name.clone(), arrives);
        }
        self.queue.push(arrives, Event::To(id, Inbox::Listed(kind, generation, objects, revision)));
        if stale {
            self.show_since(id, kind, revision, arrives);
        }
    }

    fn list_revision(&mut self, stale: bool) -> u64 {
        let newest = self.store.revision();
        if stale { newest.saturating_sub(self.dice.between(1, STALE_MAX)) } else { newest }
    }

    /// Sends the changes since an older state.
    fn show_since(&mut self, id: ProcessId, kind: Kind, revision: u64, listed: Micros) {
        let mut at = listed + self.dice.between(0, 5 * SECOND);
        let changes = self.store.changes_since(kind, revision);
        let Some(process) = self.alive(id) else { return };
        let watch = process.watch(kind);
        let generation = watch.generation;
        let mut inboxes = Vec::new();
        for change in changes {
            at += 1;
            watch.arrivals.insert(change.object.name.clone(), at);
            inboxes.push((at, Inbox::Watch(kind, generation, Box::new(change))));
        }
        watch.last = at;
        for (at, inbox) in inboxes {
            self.queue.push(at, Event::To(id, inbox));
        }
    }

    /// Whether an event belongs to the watch's present life, and no newer one has replaced it.
    pub fn is_current(
        &mut self,
        id: ProcessId,
        kind: Kind,
        generation: u32,
        change: Option<&Change>,
    ) -> bool {
        self.alive(id).is_some_and(|process| {
            let watch = process.watch(kind);
            let newest = change.and_then(|change| watch.newest.get(&change.object.name).copied());
            watch.generation == generation
                && change.zip(newest).is_none_or(|(change, newest)| change.revision >= newest)
        })
    }

    /// The objects that were shown before and are not in the list.
    pub fn vanished(
        &mut self,
        id: ProcessId,
        kind: Kind,
        objects: &[Object],
    ) -> Vec<(std::sync::Arc<str>, bool)> {
        let Some(process) = self.alive(id) else { return vec![] };
        let shown = std::mem::take(&mut process.watch(kind).shown);
        let listed = |name: &str| objects.iter().any(|object| &*object.name == name);
        shown.into_iter().filter(|(name, _)| !listed(name)).collect()
    }
}
