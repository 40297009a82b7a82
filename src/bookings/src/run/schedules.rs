//! A pass over a BookingScheduler.
//!
//! Bookings come first, then the status that says up to where they were created: cut off in between, the
//! next pass creates them by the same names, and finds that they exist.

use booking_decision::EventType;
use bookings::{
    api::{Booking, BookingScheduler},
    decide::{
        schedules::{BOOKING_REFUSED, SchedulerDecision, SchedulerWorld, decide_scheduler},
        subject::{Note, Subject},
    },
};
use kube::{Resource as _, ResourceExt};

use super::{Outcome, Pass};
use crate::controller::{
    Key,
    cache::SchedulerSnapshot,
    write::{Created, Leave, WriteError},
};

impl Pass {
    /// Decides about a BookingScheduler and carries it out; none if there is none.
    pub(super) async fn reconcile_scheduler(&self, key: &Key, leave: &Leave) -> Option<Outcome> {
        // To create a Booking is to start machines: a dry run does neither.
        let snapshot = self.cache.scheduler_snapshot(key).filter(|_| !self.settings.dry_run)?;
        let bookings: Vec<&Booking> = snapshot.bookings.iter().map(AsRef::as_ref).collect();
        let decision = decide_scheduler(&SchedulerWorld {
            scheduler: &snapshot.scheduler,
            bookings: &bookings,
            now: self.clock.now(),
        });
        let wake_at = decision.wake_at;
        let mut told = vec![];
        let result = self.follow(key, &snapshot, decision, leave, &mut told).await;
        let subject = snapshot.scheduler.object_ref(&());
        self.reporting.publish(told.iter().map(|note| (note, subject.clone())), leave).await;
        Some(Outcome { wake_at, result })
    }

    /// Fills `told` with what people are to be told of what was done.
    async fn follow(
        &self,
        key: &Key,
        snapshot: &SchedulerSnapshot,
        decision: SchedulerDecision,
        leave: &Leave,
        told: &mut Vec<Note>,
    ) -> Result<(), WriteError> {
        let (writer, scheduler) = (self.writer(key, leave), &*snapshot.scheduler);
        let mut refused: Option<(String, String)> = None;
        for booking in &decision.create {
            match writer.create_booking(booking).await {
                Ok(Created::New) => told.push(booked(booking)),
                Ok(Created::Exists(existing)) => told.extend(check_owner(scheduler, &existing)?),
                // The others are not to wait for one that a policy forbids.
                Err(WriteError::Refused(why)) => {
                    let start = booking.spec.start_at.clone().unwrap_or_default();
                    refused.get_or_insert((start, why));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((start, why)) = refused {
            if let Some(status) = decision.refused(scheduler.status.as_ref(), &start, &why) {
                writer.scheduler_status(scheduler, &status).await?;
                let message = format!("the Booking from {start} on is refused: {why}");
                told.push(note(EventType::Warning, BOOKING_REFUSED, message));
            }
            return Err(WriteError::Refused(why));
        }
        if let Some(status) = &decision.status {
            writer.scheduler_status(scheduler, status).await?;
            told.extend(decision.events);
        }
        for booking in
            snapshot.bookings.iter().filter(|booking| decision.remove.contains(&booking.name_any()))
        {
            writer.delete_booking(booking).await?;
        }
        Ok(())
    }
}

/// An occurrence whose name somebody else's Booking has is taken as booked, and people are told. One of an earlier
/// scheduler of this name is about to be collected: its occurrence is created when it has gone.
fn check_owner(scheduler: &BookingScheduler, existing: &Booking) -> Result<Option<Note>, WriteError> {
    match Key::of_owner(existing) {
        Some((_, uid)) if Some(uid) == scheduler.uid().as_deref() => Ok(None),
        Some((owner, _)) if owner.name == scheduler.name_any() => Err(WriteError::Conflict),
        _ if existing.metadata.deletion_timestamp.is_some() => Err(WriteError::Conflict),
        _ => {
            let message =
                format!("a Booking {} is there that this scheduler has not made", existing.name_any());
            Ok(Some(note(EventType::Warning, "NameTaken", message)))
        }
    }
}

fn booked(booking: &Booking) -> Note {
    let time = |text: &Option<String>| text.clone().unwrap_or_default();
    let (start, end) = (time(&booking.spec.start_at), time(&booking.spec.end_at));
    note(EventType::Normal, "Booked", format!("created Booking {} from {start} to {end}", booking.name_any()))
}

fn note(type_: EventType, reason: &'static str, message: String) -> Note {
    Note { subject: Subject::Scheduler, type_, reason, message }
}
