//! Checks against the truth: the store, the machines and the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use booking_ring::{
    record::{Incarnation, MemberLease, Ring, Standing},
    timing::Timing,
};
use bookings::api::{Booking, Resource};

use super::{
    cache::names,
    clock::{micros, wall},
    event::Event,
    known::{RECOVERY, recovery},
    messages::ProcessId,
    plan::Plan,
    store::{Change, Kind, LEADER, Object, RING, Value},
    world::World,
};
use crate::{
    Micros, SECOND,
    checker::{Invariant, Rules, in_use},
    faults::Fault,
};

/// The time in which something due must have happened if nothing is wrong. A machine takes up to 20 s, observations are
/// up to 10 s apart, and a failed call is tried again within 30 s.
const BOUND: Micros = 60 * SECOND;
/// A start may go out this long after its decision, because each write before it may take 4 s.
const DECIDED_BEFORE: Micros = 30 * SECOND;

impl World {
    /// The store has changed.
    pub fn audit_change(&mut self, change: &Change) {
        let now = self.now;
        let name = &change.object.name;
        let is_renewal = match &change.object.value {
            Value::Member(lease) => self.audit_member(name, lease, change.deleted),
            Value::Leader(lease) => {
                let same = self.audit.leader == lease.holder && !change.deleted;
                self.audit.leader = lease.holder.clone().filter(|_| !change.deleted);
                same
            }
            Value::Ring(ring) => {
                self.stats.ring_writes += 1;
                self.audit_ring(&change.object.uid, ring);
                false
            }
            Value::Booking(booking) => {
                self.audit_booking(name, booking, change.deleted);
                false
            }
            Value::Resource(resource) => {
                self.audit_resource(resource);
                false
            }
        };
        if !is_renewal {
            self.audit.last_write = (now, format!("{:?} {name}", change.object.value.kind()));
        }
        self.note_write(change, is_renewal);
    }

    fn note_write(&mut self, change: &Change, is_renewal: bool) {
        if is_renewal || !change.object.value.kind().is_of_ring() {
            return;
        }
        self.trace.line(self.now, || {
            let what = match &change.object.value {
                Value::Member(lease) => {
                    format!("{:?} acked {} draining {}", lease.standing, lease.acked, lease.draining.len())
                }
                Value::Leader(lease) => {
                    format!("held by {:?}", lease.holder.as_ref().map(Incarnation::as_str))
                }
                Value::Ring(ring) => format!(
                    "epoch {} open {} owned {} moving {} members {}",
                    ring.epoch,
                    ring.open,
                    ring.owners.len(),
                    ring.moves.len(),
                    ring.members.len()
                ),
                _ => String::new(),
            };
            let gone = if change.deleted { " DELETED" } else { "" };
            format!("store {} {}{gone}: {what}", change.revision, change.object.name)
        });
    }

    /// Whether a member's Lease was only renewed.
    fn audit_member(&mut self, name: &Arc<str>, lease: &Arc<MemberLease>, deleted: bool) -> bool {
        let before = if deleted {
            self.audit.members.remove(name)
        } else {
            self.audit.members.insert(name.clone(), lease.clone())
        };
        let Some(before) = before.filter(|_| !deleted) else { return false };
        if lease.standing == Standing::Sealed && !before.standing.is_over() {
            self.audit_seal(name);
        }
        (before.standing, before.told_to_leave) == (lease.standing, lease.told_to_leave)
    }

    fn audit_seal(&mut self, name: &Arc<str>) {
        let now = self.now;
        let server = &self.server;
        let excused = now < server.errors.max(server.loses_replies) + 30 * SECOND;
        let living = self.processes.iter().find(|process| process.alive && process.who == *name);
        let healthy =
            living.is_some_and(|process| now >= process.disturbed_until && !process.is_cut_off(now));
        if healthy && !excused {
            self.checker.violated(Invariant::SealedAlive, now, format!("{name} lives and could renew"));
        }
    }

    fn audit_ring(&mut self, uid: &Arc<str>, ring: &Arc<Ring>) {
        let targets = ring.moves.values().map(|moving| &moving.to);
        let named = ring.members.keys().chain(ring.owners.values()).chain(targets);
        let stranger = named.collect::<BTreeSet<_>>().into_iter().find(|name| {
            let lease = self.audit.members.get(name.as_str());
            lease.is_some_and(|lease| lease.ring != *uid)
        });
        if let Some(name) = stranger {
            let what = format!("epoch {} names {name}, which is bound to another ring", ring.epoch);
            self.checker.violated(Invariant::OfAnotherRing, self.now, what);
        }
        if let (Some((_, moved)), Some(before)) = (&mut self.audit.rollout, &self.audit.ring) {
            for (slot, owner) in &ring.owners {
                if before.owners.get(slot).is_some_and(|was| was != owner) {
                    *moved.entry(*slot).or_default() += 1;
                }
            }
        }
        self.audit.ring = Some(ring.clone());
    }

    fn audit_resource(&mut self, resource: &Resource) {
        let holder = resource.status.as_ref().and_then(|status| status.holder.as_ref());
        let name = resource.metadata.name.as_deref().unwrap_or_default();
        let now = wall(self.now);
        if holder.is_some() {
            return;
        }
        let bookings = self.store.list(Kind::Booking).filter_map(Object::booking);
        let held = bookings
            .filter(|booking| names(booking, name))
            .find(|booking| in_use(booking, now, DECIDED_BEFORE, Rules::default().clock));
        if let Some(booking) = held {
            let booking = booking.metadata.name.as_deref().unwrap_or_default();
            let what = format!("{name} is said to be held by nobody; {booking} holds it");
            self.checker.violated(Invariant::HoldCleared, self.now, what);
        }
    }

    fn audit_booking(&mut self, name: &Arc<str>, booking: &Arc<Booking>, deleted: bool) {
        let before = if deleted {
            self.audit.bookings.remove(name)
        } else {
            self.audit.bookings.insert(name.clone(), booking.clone())
        };
        let Some(before) = before.filter(|before| !deleted && before.spec == booking.spec) else { return };
        let resource = booking.spec.resource_name.as_deref().unwrap_or_default();
        let others = self.store.list(Kind::Booking).filter(|object| object.name != *name);
        let others = others.filter_map(Object::booking).filter(|other| names(other, resource));
        self.checker.booking_written(&before, booking, others, wall(self.now), self.now);
    }

    /// The store went back to an older state.
    pub fn audit_restored(&mut self) {
        self.audit.restored = true;
        self.audit.members.clear();
        self.audit.bookings.clear();
        for object in self.store.list(Kind::Lease).chain(self.store.list(Kind::Booking)) {
            match &object.value {
                Value::Member(lease) => drop(self.audit.members.insert(object.name.clone(), lease.clone())),
                Value::Booking(booking) => {
                    drop(self.audit.bookings.insert(object.name.clone(), booking.clone()));
                }
                _ => {}
            }
        }
        self.audit.leader = self
            .store
            .get(Kind::Lease, LEADER)
            .and_then(Object::leader)
            .and_then(|leader| leader.value.holder.clone());
        self.audit.ring = self.store.get(Kind::Ring, RING).and_then(Object::ring).map(|ring| ring.value);
        self.audit.last_write = (self.now, "restored".to_owned());
    }

    /// A fault begins.
    pub fn audit_fault(&mut self, fault: &Fault) {
        let planned = Plan::over(fault).max(self.now) + recovery(fault.kind);
        self.audit.disturbed.push((self.now, planned));
    }

    /// A process stands still from now on.
    pub fn audit_standstill(&mut self, lasts: Micros) {
        self.audit.disturbed.push((self.now, self.now + lasts + RECOVERY));
    }

    /// A fault without a planned end is over.
    pub fn audit_fault_over(&mut self, number: usize) {
        let begun = self.plan.faults.get(number).map_or(0, |fault| fault.at);
        self.audit.disturbed.push((begun, self.now + RECOVERY));
    }

    /// A rolling update begins or ends.
    pub fn audit_rollout(&mut self, begins: bool, release: &str) {
        if begins {
            self.audit.rollout = Some((self.now, BTreeMap::new()));
            return;
        }
        let Some((since, moved)) = self.audit.rollout.take() else { return };
        let near = |fault: &&Fault| fault.at + 90 * SECOND > since && fault.at <= self.now;
        let alone = self.plan.faults.iter().filter(near).count() == 1;
        if alone {
            let most = moved.values().max().copied().unwrap_or_default();
            *self.stats.rollout_moves.entry(most).or_default() += 1;
            self.note(|| format!("rolling update to {release} moved no slot more than {most} times"));
        }
    }

    /// A Booking was created.
    pub fn audit_booked(&mut self, number: usize, group: usize, from: Micros, until: Micros) {
        self.audit.windows.insert(number, (group, vec![(from, until)]));
        self.audit.touched.insert(group, self.now);
        for edge in [from, until] {
            let edge = edge.max(self.now);
            self.queue.push(edge + BOUND, Event::Due(group, edge));
        }
    }

    /// A Booking's end was moved, or the Booking deleted.
    pub fn audit_windows(&mut self, number: usize, until: Option<Micros>) {
        let now = self.now;
        let Some((group, windows)) = self.audit.windows.get_mut(&number) else { return };
        if let (Some(until), Some((from, _))) = (until, windows.first().copied()) {
            windows.push((from, until));
        }
        let (group, edge) = (*group, until.unwrap_or(now).max(now));
        self.audit.touched.insert(group, now);
        self.queue.push(edge + BOUND, Event::Due(group, edge));
    }

    /// A call went to the cloud.
    pub fn audit_mutation(&mut self) {
        self.audit.last_mutation = self.now;
    }

    /// A process stops machines of a group.
    pub fn audit_stop(&mut self, who: &str, group: usize) {
        let bookings = self.bookings_of(group);
        self.checker.stop_begins(who, bookings.iter().map(Arc::as_ref), wall(self.now), self.now);
    }

    /// A process starts machines of a group.
    pub fn audit_start(&mut self, who: &str, group: usize) {
        let (now, clock) = (self.now, Rules::default().clock);
        let asked = self.audit.windows.values().filter(|(of, _)| *of == group).any(|(_, windows)| {
            windows.iter().any(|(from, until)| *from <= now + clock && now <= until + DECIDED_BEFORE)
        });
        if !asked {
            let what = format!("{who} starts group {group}, which nobody booked for now");
            self.checker.violated(Invariant::StartedUnbooked, now, what);
        }
    }

    pub(super) fn bookings_of(&self, group: usize) -> Vec<Arc<Booking>> {
        let name = self.groups.get(group).cloned().unwrap_or_default();
        let bookings = self.store.list(Kind::Booking).filter_map(|object| match &object.value {
            Value::Booking(booking) => Some(booking.clone()),
            _ => None,
        });
        bookings.filter(|booking| names(booking, &name)).collect()
    }

    /// A permit has run out. A process with too many lapses rests for a while.
    pub fn audit_lapse(&mut self, id: ProcessId) {
        let (now, window) = (self.now, micros(self.timing.lapse_window()));
        let Some(clocks) = self.alive(id).map(|process| process.clocks.clone()) else { return };
        // The process counts by its own clock, which stands still while its machine sleeps.
        let mono = clocks.mono(now);
        let lapses = self.audit.lapses.entry(id).or_default();
        lapses.retain(|at| mono - *at < window);
        lapses.push(mono);
        if lapses.len() >= Timing::LAPSES_MAX {
            self.audit.rests_until = self.audit.rests_until.max(clocks.when(mono + window, now));
        }
    }
}
