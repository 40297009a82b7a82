//! A pass over a Resource and all Bookings that name it.
//!
//! The order of its effects matters, for it may be cut off between any two of them:
//! finalizer, starts that rest on what is stored, statuses (they hold the grants and the holder), spec, other calls, statuses that only tell
//! something, Events, end of the finalizer.
//! A lock tag is never written before status says that it is ours.

use std::{collections::HashMap, sync::Arc, time::Duration};

use booking_calendar::instant::{after, elapsed};
use booking_cloud::{Dispatcher, Haste, budget::FORESEEN};
use bookings::{
    api::{Booking, BookingStatus},
    decide::{
        groups::{
            attempts::Attempts,
            decide,
            freshness::{may_start_first, must_look},
            group::group_to_observe,
            input::{Observation, World},
            output::{Call, Decision, Finalizer},
        },
        settings::Settings,
        subject::Subject,
    },
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use tokio::time::Instant;

use super::{Outcome, Pass};
use crate::{
    clouds,
    controller::{
        Key,
        cache::Snapshot,
        call,
        observations::Seen,
        observe,
        write::{Leave, WriteError, Writer},
    },
    telemetry::lateness,
};

/// How long until notices are offered again that there was no room for.
const OUTBOX_FULL: Duration = Duration::from_secs(5);

fn is_start(call: &Call) -> bool {
    matches!(call, Call::Start(_))
}

/// How far what was seen before will do.
enum Known {
    /// For all that is to be done.
    Enough(Observation, Decision),
    /// For starts.
    EnoughToStart(Observation, Decision),
    /// For nothing.
    TooLittle(Haste),
}

/// What a pass is about.
#[derive(Clone, Copy)]
struct Work<'a> {
    key: &'a Key,
    snapshot: &'a Snapshot,
    leave: &'a Leave,
    /// What the operator is set to, throughout this pass.
    settings: &'a Settings,
    /// Where the group lives, if it is to be looked at.
    cloud: Option<&'a Arc<Dispatcher>>,
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
            self.observations.forget(key);
            return None;
        }
        // Claims were told by the same places.
        let settings = Settings { places: snapshot.places.clone(), ..self.settings.clone() };
        let resource = snapshot.resource.as_ref();
        let group = resource.and_then(|resource| group_to_observe(resource, snapshot.claim, &settings));
        let Some(group) = group else {
            self.observations.forget(key);
            let work = Work { key, snapshot: &snapshot, leave, settings: &settings, cloud: None };
            let observation = Observation::NotNeeded;
            let decision = self.decide(work, (&observation, attempts));
            return Some(self.finish(work, &observation, decision, attempts).await);
        };
        let cloud = self.clouds.get(&group.place, &group.key.type_).await;
        let work = Work { key, snapshot: &snapshot, leave, settings: &settings, cloud: Some(&cloud) };
        // What was never seen, or is to be started or stopped, is waited for.
        let haste = match self.by_what_is_known(work, &group.key.tag, attempts) {
            Known::Enough(observation, decision) => {
                return Some(self.finish(work, &observation, decision, attempts).await);
            }
            Known::EnoughToStart(observation, decision) => {
                let starts: Vec<&Call> = decision.calls.iter().filter(|call| is_start(call)).collect();
                // What cannot be sent is decided on anew below.
                let sent = self.send(work, &starts, (&decision, &observation), attempts).await;
                if let Err(error) = sent {
                    return Some(Outcome { wake_at: decision.wake_at, result: Err(error) });
                }
                Haste::Patient
            }
            Known::TooLittle(haste) => haste,
        };
        let visit = self.clouds.enter(&clouds::key(&group.place, &group.key.type_), key);
        if visit.is_none() {
            let wake_at = Some(after(self.clock.now(), clouds::LONGEST_TURN));
            return Some(Outcome { wake_at, result: Ok(()) });
        }
        let (at, asked) = (self.clock.now(), Instant::now());
        let answer = observe::describe(&cloud, &group.key.tag, haste).await;
        if let Ok(instances) = &answer {
            let seen = Seen { instances: Arc::new(instances.clone()), at };
            self.observations.put(key, (cloud.key(), &group.key.tag), seen, asked);
        }
        let observation = observe::observed(answer, attempts, self.clock.now());
        let decision = self.decide(work, (&observation, attempts));
        Some(self.finish(work, &observation, decision, attempts).await)
    }

    /// A decision on what was seen before, as far as that will do.
    fn by_what_is_known(&self, work: Work<'_>, tag: &str, attempts: &mut Attempts) -> Known {
        let seen = work.cloud.and_then(|cloud| self.observations.get(work.key, cloud.key(), tag));
        let Some(seen) = seen else { return Known::TooLittle(Haste::Due) };
        let now = self.clock.now();
        // A routine look since then tells what came of it, too.
        if attempts.last().is_some_and(|last| last < seen.at) {
            attempts.observed(&seen.instances, now);
        }
        let observation = Observation::Seen(seen.instances.to_vec());
        let decision = self.decide(work, (&observation, attempts));
        let known = (seen.instances.as_slice(), seen.at);
        if !must_look(&decision, known, attempts, work.settings, now) {
            Known::Enough(observation, decision)
        } else if may_start_first(&decision, seen.at, attempts, now) {
            Known::EnoughToStart(observation, decision)
        } else {
            let is_power = |call: &Call| matches!(call, Call::Start(_) | Call::Stop(_));
            let hurries = decision.calls.iter().any(is_power);
            Known::TooLittle(if hurries { Haste::Due } else { Haste::Patient })
        }
    }

    async fn finish(
        &self,
        work: Work<'_>,
        observation: &Observation,
        decision: Decision,
        attempts: &mut Attempts,
    ) -> Outcome {
        self.tell_dispatcher(work, &decision);
        let notices = decision.notices.clone();
        let result = self.carry_out(work, observation, &decision, attempts).await;
        // What is remembered is looked after; all else the routine looks find.
        let look_by = decision.look_by.filter(|_| work.cloud.is_none() || !attempts.is_empty());
        let mut wake_at = decision.wake_at.into_iter().chain(look_by).min();
        if result.is_ok() && !self.outbox.offer(work.key, notices) {
            let again = after(self.clock.now(), OUTBOX_FULL);
            wake_at = Some(wake_at.map_or(again, |wake_at| wake_at.min(again)));
        }
        Outcome { wake_at, result }
    }

    /// What this key will need, and that it needs nothing any more.
    fn tell_dispatcher(&self, work: Work<'_>, decision: &Decision) {
        let Some(cloud) = work.cloud else { return };
        let asker: Arc<str> = work.key.to_string().into();
        if decision.expects > 0 {
            cloud.expect(&asker, decision.expects, FORESEEN);
        } else if !decision.calls.iter().any(|call| matches!(call, Call::Start(_) | Call::Stop(_)))
            && !decision.waits_for_turn
        {
            cloud.withdraw(&asker);
        }
        if let Some((lock, at)) = &decision.expects_lock {
            cloud.expect_lock(&asker, &call::tags(lock), elapsed(self.clock.now(), *at));
        } else {
            cloud.unexpect_lock(&asker);
        }
    }

    fn decide(&self, work: Work<'_>, (observation, attempts): (&Observation, &Attempts)) -> Decision {
        let Work { key, snapshot, settings, cloud, .. } = work;
        let bookings: Vec<_> = snapshot.bookings.iter().map(Arc::as_ref).collect();
        let world = World {
            resource: snapshot.resource.as_deref(),
            bookings: &bookings,
            observation,
            attempts,
            deliveries: &self.outbox.deliveries(key),
            claim: snapshot.claim,
            locks_ahead: cloud.is_some_and(|cloud| cloud.expects_many_locks()),
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
        self.decide(Work { snapshot: &snapshot, ..work }, (observation, attempts)).calls.contains(call)
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
        let (starts, calls): (Vec<&Call>, Vec<&Call>) =
            decision.calls.iter().partition(|call| decision.starts_first && is_start(call));
        self.send(work, &starts, (decision, observation), attempts).await?;
        let (first, later) = by_weight(snapshot, decision);
        let mut refused = Refused::default();
        refused.write(&writer, &first).await?;
        if let (Some(status), Some(known)) = (&decision.resource_status, &resource) {
            resource = Some(writer.resource_status(known, status).await?);
        }
        if let (Some(trace), Some(known)) = (&decision.clear_trace, &resource) {
            resource = Some(writer.clear_trace(known, trace).await?);
        }
        self.send(work, &calls, (decision, observation), attempts).await?;
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

impl Pass {
    /// Sends calls, one after the other.
    async fn send(
        &self,
        work: Work<'_>,
        calls: &[&Call],
        (decision, observation): (&Decision, &Observation),
        attempts: &mut Attempts,
    ) -> Result<(), WriteError> {
        // What was not observed is not acted on either.
        let Some(cloud) = work.cloud else { return Ok(()) };
        for call in calls {
            let is_power = matches!(call, Call::Start(_) | Call::Stop(_));
            if is_power && !self.still_decided(work, call, observation, attempts) {
                return Err(WriteError::Conflict);
            }
            let sent = call::send(cloud, work.key, &work.leave.permit, (call, &decision.turn)).await;
            sent.record(work.key, attempts, &decision.turn, self.clock.now());
        }
        Ok(())
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
                written => {
                    written?;
                    let before = booking.status.as_ref().and_then(|old| old.ready_after_seconds);
                    if before.is_none() {
                        lateness::ready(status.ready_after_seconds);
                    }
                }
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
