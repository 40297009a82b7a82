//! Checks that each group is as it should be, some time after it should have changed, and that everything is well at
//! the end.

use std::sync::Arc;

use booking_calendar::window::Window;
use bookings::{
    api::{Booking, Lock},
    decide::groups::machine::{LockTag, MachineState, same_lock},
};

use super::{
    clock::wall,
    messages::ProcessId,
    plan::Idle,
    store::{Kind, Object, RING},
    world::World,
};
use crate::{
    Micros, SECOND,
    checker::{Invariant, Rules, asked, granted, later},
    seconds,
};

/// At the end nothing may have been written for this long.
const CALM: Micros = 60 * SECOND;
/// By then the grace is over for machines that ran when they were first seen.
const GRACE_OVER: Micros = 200 * SECOND;
/// A group may be locked this long before its window, by any process's clock.
const LOCK_AHEAD: Micros = 130 * SECOND;
/// This long after a member has rested, slots still may move.
const RESTED: Micros = CALM + 30 * SECOND;

impl World {
    /// Checks that a group agrees with its Bookings by now.
    pub fn audit_due(&mut self, group: usize, edge: Micros) {
        // A later change by a user has a check of its own.
        let touched = self.audit.touched.get(&group).is_some_and(|at| *at > edge);
        if self.now < self.plan.end && !touched && !self.audit.is_disturbed(edge, self.now) {
            self.stats.due += 1;
            if let Some(what) = self.trouble(group, edge) {
                self.checker.violated(Invariant::Missed, self.now, what);
            }
        }
    }

    /// The problem of a group that should be unchanged since `edge`, if there is one.
    fn trouble(&self, group: usize, edge: Micros) -> Option<String> {
        let span = Window::new(wall(edge), wall(self.now))?;
        let bookings = self.bookings_of(group);
        // A process whose clock is ahead ends a hold that much sooner.
        let longer = Window::new(span.from, later(span.until, Rules::default().clock))?;
        let covers = |window: Option<Window>| window.is_some_and(|w| w.intersection(longer) == Some(longer));
        let touches = |window: Option<Window>| window.is_some_and(|w| w.overlaps(span));
        let given = |booking: &Booking| {
            granted(booking).zip(asked(booking)).and_then(|(granted, asked)| granted.intersection(asked))
        };
        let holds = bookings.iter().any(|booking| covers(given(booking)));
        let wanted = bookings.iter().filter(|booking| touches(asked(booking))).count();
        let nearby = |booking: &&Arc<Booking>| asked(booking).is_some_and(|window| window.overlaps(longer));
        let alone = bookings.iter().filter(nearby).count() == 1;
        let name = self.groups.get(group)?;
        if !holds && alone && bookings.iter().any(|booking| covers(asked(booking))) {
            return Some(format!("{name} is asked for by one Booking alone, and not granted"));
        }
        let plan = self.plan.groups.get(group)?;
        let may_run = match plan.idle {
            Idle::Stop => false,
            Idle::Keep => true,
            Idle::Unsaid => edge < GRACE_OVER,
        };
        for machine in self.cloud.truth(group, self.now) {
            let runs = machine.state == MachineState::Running;
            if holds && (!runs || machine.lock == LockTag::Absent) {
                let (state, lock) = (machine.state, &machine.lock);
                return Some(format!("{} is held, but {state:?}, {lock:?}", machine.id));
            }
            let rests = machine.state == MachineState::Stopped || may_run;
            let unlocked = machine.lock == LockTag::Absent || self.is_lock_ahead(&machine.lock, &bookings);
            if wanted == 0 && (!rests || !unlocked) && !self.audit.restored {
                let (state, lock) = (machine.state, &machine.lock);
                return Some(format!("{} is free, but {state:?}, {lock:?}", machine.id));
            }
        }
        None
    }

    /// Whether a lock is that of a Booking that begins soon.
    fn is_lock_ahead(&self, lock: &LockTag, bookings: &[Arc<Booking>]) -> bool {
        let soon = later(wall(self.now), LOCK_AHEAD);
        let LockTag::Held { raw, until } = lock else { return false };
        bookings.iter().any(|booking| {
            let is_of = booking.spec.user_id.as_ref() == Some(&raw.user);
            is_of && granted(booking).is_some_and(|window| window.from <= soon && window.until == *until)
        })
    }

    /// Checks the end of the run: everything has come to rest.
    pub fn audit_end(&mut self) {
        let now = self.now;
        let disturbed = self.audit.is_disturbed(now - CALM, now);
        for group in 0..self.groups.len() {
            if let Some(what) = self.trouble(group, now - CALM).filter(|_| !disturbed) {
                self.checker.violated(Invariant::Missed, now, what);
            }
            if let Some(what) = self.orphan(group) {
                self.checker.violated(Invariant::OrphanedLock, now, what);
            }
        }
        if let Some(what) = self.unsettled() {
            self.checker.violated(Invariant::NotConverged, now, what);
        }
        if let Some(what) = self.churn().filter(|_| !disturbed) {
            self.checker.violated(Invariant::Churn, now, what);
        }
    }

    /// A write or a call of the last minutes that had no reason.
    fn churn(&self) -> Option<String> {
        let (written, what) = &self.audit.last_write;
        if *written + CALM > self.now && !self.has_rested() {
            return Some(format!("{what} was written at {} s", seconds(*written)));
        }
        let called = self.audit.last_mutation;
        (called + CALM > self.now).then(|| format!("the cloud was called at {} s", seconds(called)))
    }

    fn orphan(&self, group: usize) -> Option<String> {
        let name = self.groups.get(group)?;
        let status = self.store.get(Kind::Resource, name)?.resource()?.status.clone().unwrap_or_default();
        let holder = status.holder.map(|holder| Lock { user: holder.user, until: holder.until });
        self.cloud.truth(group, self.now).find_map(|machine| match &machine.lock {
            LockTag::Absent => None,
            LockTag::Held { raw, .. } if holder.as_ref().is_some_and(|ours| same_lock(ours, raw)) => None,
            // The Booking of this lock was lost in a restore. So no process knows that the lock is ours.
            LockTag::Held { until, .. } if self.audit.restored && *until > wall(self.now) => None,
            other => Some(format!("{} carries {other:?}; the holder is {holder:?}", machine.id)),
        })
    }

    fn unsettled(&self) -> Option<String> {
        let ring = self.store.get(Kind::Ring, RING).and_then(Object::ring);
        let Some(ring) = ring else { return Some("there is no ring".to_owned()) };
        let living = self.living();
        if living.len() != self.replicas {
            return Some(format!("{} of {} replicas live", living.len(), self.replicas));
        }
        if !ring.value.moves.is_empty() {
            return (!self.has_rested()).then(|| format!("{} moves are under way", ring.value.moves.len()));
        }
        for slot in ring.value.all_slots() {
            let owners: Vec<ProcessId> = living.iter().copied().filter(|id| self.may(*id, slot)).collect();
            if owners.len() != 1 {
                return Some(format!(
                    "slot {slot} has {} live owners; {:?}",
                    owners.len(),
                    ring.value.owners.get(&slot)
                ));
            }
        }
        let counts: Vec<usize> = living.iter().map(|id| self.owned(*id).len()).collect();
        let (fewest, most) = (counts.iter().min()?, counts.iter().max()?);
        (most - fewest > 1 && !self.has_rested()).then(|| format!("slots are spread unevenly: {counts:?}"))
    }

    /// Whether slots may move because a member rests or has rested.
    fn has_rested(&self) -> bool {
        self.audit.rests_until + RESTED > self.now
    }
}
