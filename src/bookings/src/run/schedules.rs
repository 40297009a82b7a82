//! The controller of BookingSchedulers.
//!
//! A pass creates the Bookings first. Then it writes the status that says up to which instant they were created. If
//! the process dies in between, the next pass creates them with the same names, and finds that they exist.

use std::sync::Arc;

use booking_decision::EventType;
use booking_runtime::{
    Key,
    controller::{Context, Controller, Outcome},
    store::{Name, Opened},
    watch::Watches,
    write::{Created, WriteError},
};
use kube::{Resource as _, ResourceExt};

use super::objects::{Objects, SCHEDULER, owner};
use crate::{
    api::{Booking, BookingScheduler},
    decide::{
        schedules::{BOOKING_REFUSED, ScheduleInput, SchedulerDecision, decide_scheduler},
        subject::{Note, Subject},
    },
};

/// Creates the Bookings that BookingSchedulers ask for.
pub struct ScheduleController {
    /// The family's objects.
    pub objects: Arc<Objects>,
    /// Whether to create nothing. A new Booking would start machines, and a dry run must not.
    pub dry_run: bool,
}

/// The snapshot that a pass works on.
struct Snapshot {
    scheduler: Arc<Opened<BookingScheduler>>,
    /// The Bookings that it owns, in order of their names.
    bookings: Vec<Arc<Opened<Booking>>>,
}

impl Controller for ScheduleController {
    const KIND: &'static str = SCHEDULER;
    type Memory = ();

    fn register(&self, watches: &mut Watches) {
        watches.kind(&self.objects.schedulers).kind(&self.objects.bookings);
    }

    async fn pass(&self, cx: &Context<'_>, key: &Key, (): &mut ()) -> Outcome {
        let Some(snapshot) = self.gather(key).filter(|_| !self.dry_run) else { return Outcome::Nothing };
        let bookings: Vec<&Booking> = snapshot.bookings.iter().map(|booking| &***booking).collect();
        let decision = decide_scheduler(&ScheduleInput {
            scheduler: &snapshot.scheduler,
            valid: snapshot.scheduler.parsed(),
            bookings: &bookings,
            now: cx.now(),
        });
        let wake_at = decision.wake_at;
        let mut told = vec![];
        let result = self.follow(cx, &snapshot, decision, &mut told).await;
        let subject = snapshot.scheduler.object_ref(&());
        cx.publish(told.iter().map(|note| (note, subject.clone()))).await;
        Outcome::of(result, wake_at)
    }
}

impl ScheduleController {
    fn gather(&self, key: &Key) -> Option<Snapshot> {
        let scheduler = self.objects.schedulers.get(&Name::new(&key.namespace, &key.name))?;
        // A Booking of an earlier scheduler with this name is about to be garbage-collected.
        let is_own = |booking: &Arc<Opened<Booking>>| {
            owner(booking).map(|(_, uid)| uid) == scheduler.metadata.uid.as_deref()
        };
        let mut bookings = self.objects.bookings.get_all(self.objects.owned.names(key));
        bookings.retain(is_own);
        Some(Snapshot { scheduler, bookings })
    }

    /// Carries out a decision. Adds to `told` the Events about what was done.
    async fn follow(
        &self,
        cx: &Context<'_>,
        snapshot: &Snapshot,
        decision: SchedulerDecision,
        told: &mut Vec<Note>,
    ) -> Result<(), WriteError> {
        let (bookings, schedulers) = (cx.writer(&self.objects.bookings), cx.writer(&self.objects.schedulers));
        let scheduler: &BookingScheduler = &snapshot.scheduler;
        let mut refused: Option<(String, String)> = None;
        for booking in &decision.create {
            match bookings.create("booking_create", booking).await {
                Ok(Created::New) => told.push(booked(booking)),
                Ok(Created::Exists(existing)) => told.extend(check_owner(scheduler, &existing)?),
                // If a policy forbids one Booking, the others are created all the same.
                Err(WriteError::Refused(why)) => {
                    let start = booking.spec.start_at.clone().unwrap_or_default();
                    refused.get_or_insert((start, why));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((start, why)) = refused {
            if let Some(status) = decision.refused(scheduler.status.as_ref(), &start, &why) {
                schedulers.status("scheduler_status", scheduler, &status).await?;
                let message = format!("the Booking from {start} on is refused: {why}");
                told.push(note(EventType::Warning, BOOKING_REFUSED, message));
            }
            return Err(WriteError::Refused(why));
        }
        if let Some(status) = &decision.status {
            schedulers.status("scheduler_status", scheduler, status).await?;
            told.extend(decision.events);
        }
        let is_over = |booking: &&Arc<Opened<Booking>>| decision.remove.contains(&booking.name_any());
        for booking in snapshot.bookings.iter().filter(is_over) {
            bookings.delete("booking_delete", booking).await?;
        }
        Ok(())
    }
}

/// Checks the owner of a Booking that has the name of an occurrence. If it is not this scheduler's, the occurrence
/// counts as booked, and users are told. If it belongs to an earlier scheduler with this name, it is about to be
/// garbage-collected, and the occurrence is created after that.
fn check_owner(scheduler: &BookingScheduler, existing: &Booking) -> Result<Option<Note>, WriteError> {
    match owner(existing) {
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
