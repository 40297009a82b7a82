//! A pass over a Resource and all Bookings that name it.
//!
//! The order of its effects matters, for it may be cut off between any two of them:
//! finalizer, statuses (they hold the grants and the holder), spec, calls, statuses that only tell
//! something, Events, end of the finalizer.
//! A lock tag is never written before status says that it is ours.

use std::{collections::HashMap, sync::Arc, time::Duration};

use booking_api::{Booking, BookingStatus};
use booking_cloud::Provider;
use booking_core::{
    Attempts, Call, Decision, Finalizer, Observation, Settings, Subject, World, decide, group_to_observe,
    instant::after,
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;

use super::{Outcome, Pass};
use crate::clouds;
use crate::controller::{
    Key,
    cache::Snapshot,
    call, observe,
    write::{Leave, WriteError, Writer},
};

/// How long until notices are offered again that there was no room for.
const OUTBOX_FULL: Duration = Duration::from_secs(5);

/// What a pass is about.
#[derive(Clone, Copy)]
struct Work<'a> {
    key: &'a Key,
    snapshot: &'a Snapshot,
    leave: &'a Leave,
    /// What the operator is set to, throughout this pass.
    settings: &'a Settings,
    /// Where the group lives, if it is to be looked at.
    provider: Option<&'a dyn Provider>,
}

impl Pass {
    /// Decides about a Resource and carries it out; none if there is nothing of that name.
    pub(super) async fn reconcile_group(
        &self,
        key: &Key,
        leave: &Leave,
        attempts: &mut Attempts,
    ) -> Option<Outcome> {
        let snapshot = self.cache.snapshot(key, self.clock.now());
        if snapshot.resource.is_none() && snapshot.bookings.is_empty() {
            self.outbox.forget(key);
            return None;
        }
        // Claims were told by the same places.
        let settings = Settings { places: snapshot.places.clone(), ..self.settings.clone() };
        let resource = snapshot.resource.as_ref();
        let group = resource.and_then(|resource| group_to_observe(resource, snapshot.claim, &settings));
        let mut visit = None;
        let (provider, observation) = match &group {
            Some(group) => {
                visit = self.clouds.enter(&clouds::key(&group.place, &group.key.type_), key);
                if visit.is_none() {
                    let wake_at = Some(after(self.clock.now(), clouds::LONGEST_TURN));
                    return Some(Outcome { wake_at, result: Ok(()) });
                }
                let provider = self.clouds.get(&group.place, &group.key.type_).await;
                let answer = observe::describe(provider.as_ref(), &group.key.tag).await;
                (Some(provider), observe::observed(answer, attempts, self.clock.now()))
            }
            None => (None, Observation::NotNeeded),
        };
        let work =
            Work { key, snapshot: &snapshot, leave, settings: &settings, provider: provider.as_deref() };
        let decision = self.decide(key, &snapshot, (&observation, attempts), &settings);
        let notices = decision.notices.clone();
        let result = self.carry_out(work, &observation, &decision, attempts).await;
        drop(visit);
        let mut wake_at = decision.wake_at;
        if result.is_ok() && !self.outbox.offer(key, notices) {
            let again = after(self.clock.now(), OUTBOX_FULL);
            wake_at = Some(wake_at.map_or(again, |wake_at| wake_at.min(again)));
        }
        Some(Outcome { wake_at, result })
    }

    fn decide(
        &self,
        key: &Key,
        snapshot: &Snapshot,
        (observation, attempts): (&Observation, &Attempts),
        settings: &Settings,
    ) -> Decision {
        let bookings: Vec<_> = snapshot.bookings.iter().map(Arc::as_ref).collect();
        let world = World {
            resource: snapshot.resource.as_deref(),
            bookings: &bookings,
            observation,
            attempts,
            deliveries: &self.outbox.deliveries(key),
            claim: snapshot.claim,
            now: self.clock.now(),
        };
        decide(&world, settings)
    }

    /// Whether a call would be decided on once more, given what is seen by now: since the pass began somebody
    /// may have booked the group, or, where the API server is slow, a booking may have come to its end.
    fn still_decided(
        &self,
        work: Work<'_>,
        call: &Call,
        observation: &Observation,
        attempts: &Attempts,
    ) -> bool {
        let snapshot = self.cache.snapshot(work.key, self.clock.now());
        self.decide(work.key, &snapshot, (observation, attempts), work.settings).calls.contains(call)
    }

    async fn carry_out(
        &self,
        work: Work<'_>,
        observation: &Observation,
        decision: &Decision,
        attempts: &mut Attempts,
    ) -> Result<(), WriteError> {
        let Work { key, snapshot, leave, .. } = work;
        let writer = self.writer(key, leave);
        let mut resource = snapshot.resource.as_deref().cloned();
        if let (Finalizer::Add, Some(known)) = (decision.finalizer, &resource) {
            resource = Some(writer.add_finalizer(known).await?);
        }
        let (first, later) = by_weight(snapshot, decision);
        let mut refused = Refused::default();
        refused.write(&writer, &first).await?;
        if let (Some(status), Some(known)) = (&decision.resource_status, &resource) {
            resource = Some(writer.resource_status(known, status).await?);
        }
        if let (Some(trace), Some(known)) = (&decision.clear_trace, &resource) {
            resource = Some(writer.clear_trace(known, trace).await?);
        }
        for call in &decision.calls {
            // What was not observed is not acted on either.
            let Some(provider) = work.provider else { break };
            let is_power = matches!(call, Call::Start(_) | Call::Stop(_));
            if is_power && !self.still_decided(work, call, observation, attempts) {
                return Err(WriteError::Conflict);
            }
            let outcome = call::send(provider, leave.0.as_ref(), call).await;
            outcome.record(key, attempts, self.clock.now());
        }
        refused.write(&writer, &later).await?;
        let is_expired = |booking: &&Arc<Booking>| {
            booking.metadata.uid.as_ref().is_some_and(|uid| decision.expired.contains(uid))
        };
        for booking in snapshot.bookings.iter().filter(is_expired) {
            writer.delete_booking(booking).await?;
        }
        let notes = decision.events.iter().filter(|note| !refused.concerns(&note.subject));
        let notes = notes.filter_map(|note| Some((note, subject(snapshot, &note.subject)?)));
        self.reporting.publish(notes, leave).await;
        if let (Finalizer::Remove, Some(known)) = (decision.finalizer, &resource) {
            writer.remove_finalizer(known).await?;
        }
        refused.into_result()
    }
}

type Write<'a> = (&'a Booking, &'a BookingStatus);

/// The Bookings' statuses: first those that others rely on (states and grants), which the calls must
/// follow; then those that only tell people something, for which no machine should wait.
fn by_weight<'a>(snapshot: &'a Snapshot, decision: &'a Decision) -> (Vec<Write<'a>>, Vec<Write<'a>>) {
    let known: HashMap<&str, &Booking> = snapshot
        .bookings
        .iter()
        .map(|booking| (booking.metadata.uid.as_deref().unwrap_or_default(), booking.as_ref()))
        .collect();
    let writes = decision.booking_statuses.iter();
    writes.filter_map(|(uid, status)| Some((*known.get(uid.as_str())?, status))).partition(
        |(booking, new)| {
            booking.status.as_ref().is_none_or(|old| {
                (&old.status, &old.granted_resource, &old.granted_from, &old.granted_until)
                    != (&new.status, &new.granted_resource, &new.granted_from, &new.granted_until)
            })
        },
    )
}

/// Bookings whose status the API server refused. They do not hold up the others, are not reported on,
/// and are tried again.
#[derive(Default)]
struct Refused {
    uids: Vec<String>,
    last: Option<WriteError>,
}

impl Refused {
    async fn write(&mut self, writer: &Writer, statuses: &[Write<'_>]) -> Result<(), WriteError> {
        for (booking, status) in statuses {
            match writer.booking_status(booking, status).await {
                Err(error @ WriteError::Refused(_)) => {
                    self.uids.extend(booking.metadata.uid.clone());
                    self.last = Some(error);
                }
                written => written?,
            }
        }
        Ok(())
    }

    fn concerns(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::Booking(uid) if self.uids.contains(uid))
    }

    fn into_result(self) -> Result<(), WriteError> {
        self.last.map_or(Ok(()), Err)
    }
}

fn subject(snapshot: &Snapshot, subject: &Subject) -> Option<ObjectReference> {
    match subject {
        Subject::Resource => snapshot.resource.as_ref().map(|resource| resource.object_ref(&())),
        Subject::Booking(uid) => {
            let is_it = |booking: &&Arc<Booking>| booking.metadata.uid.as_ref() == Some(uid);
            snapshot.bookings.iter().find(is_it).map(|booking| booking.object_ref(&()))
        }
        Subject::Scheduler | Subject::Monitor => None,
    }
}
