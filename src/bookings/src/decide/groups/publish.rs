//! Adds statuses, Events, notices and calls to a [`DecisionBuilder`].

use crate::api::{Booking, BookingStatus, Resource};

use crate::decide::{
    groups::{
        booking,
        builder::{DecisionBuilder, KnownBooking},
        claim::has_finalizer,
        events,
        grant::Grant,
        hold::{Hold, ManualHold},
        input::GroupInput,
        locks::LockHistory,
        machines::{Goal, GroupSummary, MachineActions},
        notices::{self, Telling},
        output::{Call, Decision, Finalizer},
        progress::{Progress, reason},
        status::{BookingStanding, ResourceFacts, booking_status, resource_status},
    },
    subject::{Note, Subject},
};
use booking_decision::{EventType, condition::Draft, meta};

impl DecisionBuilder<'_> {
    /// Clears the predecessor's trace after the status has recorded it.
    pub(crate) fn take_over(&mut self, manual: &ManualHold) {
        if let (ManualHold::Trace(trace), false) = (manual, self.settings.dry_run) {
            self.decision.clear_trace = Some(trace.lock.clone());
            self.note(
                EventType::Normal,
                "TakenOver",
                format!("the hold of {} until {} is kept in status now", trace.lock.user, trace.lock.until),
            );
        }
    }

    /// Statuses that give up a window are written before the window is granted to another Booking. Otherwise, if the
    /// process dies in between, the first Booking could claim the window back.
    pub(crate) fn publish_bookings(&mut self, grants: &[Grant], hold: Option<&Hold>, progress: &Progress) {
        let (mut front, mut tellings) = (0, Vec::new());
        for known in &self.known {
            let grant = known.live.and_then(|index| grants.get(index));
            let standing = match (grant, known.read) {
                (Some(grant), Ok(valid)) => {
                    let due = grant.window.is_some_and(|window| window.contains(self.input.now));
                    if due && hold.is_some_and(|hold| hold.user == valid.user) {
                        BookingStanding::Holding(progress)
                    } else {
                        BookingStanding::NotHolding { grant, holder: hold }
                    }
                }
                _ => BookingStanding::Blocked(Progress::new(
                    false,
                    reason::SCHEDULED,
                    "the Booking is being deleted",
                )),
            };
            let status = status_of(known, grant, &standing, self.input, &mut tellings);
            let first = gives_up(known.booking.status.as_ref(), &status);
            let index = if first { front } else { self.decision.booking_statuses.len() };
            let changed = push_booking(&mut self.decision, known.booking, status, index);
            front += usize::from(first && changed);
        }
        self.tell(tellings);
    }

    /// Writes into each Booking's status why its Resource does nothing for it.
    pub(crate) fn block_bookings(&mut self, why: &Progress) {
        let mut tellings = Vec::new();
        for known in &self.known {
            let standing = BookingStanding::Blocked(why.clone());
            let status = status_of(known, None, &standing, self.input, &mut tellings);
            let index = self.decision.booking_statuses.len();
            push_booking(&mut self.decision, known.booking, status, index);
        }
        self.tell(tellings);
    }

    /// Adds notices. A dry run sends none, because they would not be true.
    fn tell(&mut self, tellings: Vec<Telling>) {
        for telling in tellings.into_iter().filter(|_| !self.settings.dry_run) {
            self.wake.at_some(telling.next);
            self.decision.notices.extend(telling.notices);
            self.decision.events.extend(telling.events);
        }
    }

    pub(crate) fn publish_resource(
        &mut self,
        resource: &Resource,
        progress: &Progress,
        summary: Option<&GroupSummary>,
        lock_history: &LockHistory,
        more: Vec<Draft>,
    ) {
        let facts = ResourceFacts { progress, summary, lock_history, more };
        let status = resource_status(resource, facts, self.input.now);
        if resource.status.as_ref() != Some(&status) {
            self.decision.events.extend(events::resource_events(
                resource.status.as_ref(),
                &status,
                self.input.now,
            ));
            self.decision.resource_status = Some(status);
        }
    }

    /// Adds the calls, unless this is a dry run. The finalizer is added before the first lock is written.
    pub(crate) fn send(&mut self, resource: &Resource, actions: MachineActions, goal: &Goal) {
        if self.settings.dry_run {
            return;
        }
        self.decision.calls = actions.into_calls(goal);
        if !has_finalizer(resource) && resource.metadata.deletion_timestamp.is_none() {
            self.decision.finalizer = Finalizer::Add;
        }
    }

    /// Removes the finalizer, unless this is a dry run: an operator without dry run added it, and that one has locks
    /// to remove.
    pub(crate) fn remove_finalizer(&mut self, type_: EventType, message: String) {
        if self.settings.dry_run {
            return;
        }
        self.decision.finalizer = Finalizer::Remove;
        self.note(type_, "Released", message);
    }

    fn note(&mut self, type_: EventType, reason: &'static str, message: String) {
        self.decision.events.push(Note { subject: Subject::Resource, type_, reason, message });
    }
}

fn status_of(
    known: &KnownBooking<'_>,
    grant: Option<&Grant>,
    standing: &BookingStanding<'_>,
    input: GroupInput<'_>,
    tellings: &mut Vec<Telling>,
) -> BookingStatus {
    match known.read {
        Ok(valid) => {
            let mut status = booking_status(known.booking, Some(valid), grant, standing, input.now);
            tellings.push(notices::tell(known.booking, valid, &mut status, input.deliveries, input.now));
            status
        }
        Err(error) => booking_status(known.booking, None, None, &BookingStanding::Invalid(error), input.now),
    }
}

/// Inserts a status into the list at an index, unless the status is unchanged.
fn push_booking(decision: &mut Decision, booking: &Booking, status: BookingStatus, index: usize) -> bool {
    if booking.status.as_ref() == Some(&status) {
        return false;
    }
    let uid = meta::uid(&booking.metadata).to_owned();
    decision.events.extend(events::booking_events(&uid, booking.status.as_ref(), &status));
    decision.booking_statuses.insert(index, (uid, status));
    true
}

/// Whether the window in the old status reaches beyond the window in the new one.
fn gives_up(old: Option<&BookingStatus>, new: &BookingStatus) -> bool {
    match (old.and_then(booking::granted_window), booking::granted_window(new)) {
        (Some(old), Some(new)) => old.intersection(new) != Some(old),
        (old, _) => old.is_some(),
    }
}

impl MachineActions {
    /// The calls in order. Starts and stops come first, because a due machine must not wait, but a tag may.
    pub(crate) fn into_calls(self, goal: &Goal) -> Vec<Call> {
        let mut calls = vec![Call::Start(self.start), Call::Stop(self.stop)];
        if let Goal::Held(lock) | Goal::Prelocked { lock, .. } = goal {
            calls.push(Call::Lock(lock.clone(), self.lock));
        }
        calls.extend(self.unlock.into_iter().map(|(lock, ids)| Call::Unlock(lock, ids)));
        calls.retain(|call| !call.ids().is_empty());
        calls
    }
}
