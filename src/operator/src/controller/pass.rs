//! One pass over one key.
//!
//! The order of its effects matters, for it may be cut off between any two of them:
//! finalizer, statuses (they hold the grants and the holder), spec, calls, statuses that only tell
//! something, Events, end of the finalizer.
//! A lock tag is never written before status says that it is ours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use booking_api::{Booking, BookingStatus};
use booking_cloud::Provider;
use booking_core::{
    Attempts, Backoff, Call, Decision, Finalizer, Observation, Settings, Subject, World, decide,
    group_to_observe,
};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Key,
    cache::{Cache, Snapshot},
    call, observe,
    ownership::Ownership,
    queue::WorkQueue,
    report::Reporting,
    write::{Leave, WriteError, Writer},
};
use crate::clock::Clock;

/// Waits after a pass that could not write.
const RETRY: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(30) };

/// Everything a pass works with.
pub struct Pass {
    /// To write with.
    pub client: kube::Client,
    /// What is known.
    pub cache: Arc<Cache>,
    /// Where keys go for which a write of ours changed something.
    pub queue: Arc<WorkQueue>,
    /// The cloud.
    pub provider: Arc<dyn Provider>,
    /// Which keys are this process's.
    pub ownership: Arc<dyn Ownership>,
    /// What the operator is set to.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Events.
    pub reporting: Reporting,
    /// What this process remembers of each key: hints, safe to lose.
    pub memory: Memory,
}

/// What a process remembers of each key beside the objects.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<Key, Remembered>>);

#[derive(Clone, Debug, Default)]
struct Remembered {
    attempts: Attempts,
    failed_passes: u32,
}

impl Memory {
    fn take(&self, key: &Key) -> Remembered {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
    }

    fn put(&self, key: &Key, remembered: Remembered) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), remembered);
    }
}

/// What a pass is about.
#[derive(Clone, Copy)]
struct Work<'a> {
    key: &'a Key,
    snapshot: &'a Snapshot,
    leave: &'a Leave,
}

impl Pass {
    /// Runs one pass; gives the instant at which the key is due again.
    pub async fn run(&self, key: &Key) -> Option<Instant> {
        let begun = Instant::now();
        let Some(permit) = self.ownership.permit(key) else {
            // Whoever owns it works on it; if it comes back, it is put on the queue again.
            drop(self.memory.take(key));
            return None;
        };
        let leave = Leave(permit);
        let snapshot = self.cache.snapshot(key, self.clock.now());
        let work = Work { key, snapshot: &snapshot, leave: &leave };
        if snapshot.resource.is_none() && snapshot.bookings.is_empty() {
            drop(self.memory.take(key));
            return None;
        }
        let mut remembered = self.memory.take(key);
        let (wake_at, result) = self.reconcile(work, &mut remembered.attempts).await;
        let outcome = result.as_ref().map_or_else(WriteError::category, |()| "ok");
        let mut again = wake_at.map(|wake_at| self.clock.timer(wake_at));
        remembered.failed_passes = match result {
            Ok(()) => 0,
            Err(error) => {
                let failures = remembered.failed_passes.saturating_add(1);
                // A change that crosses ours is no trouble unless it happens over and over.
                if !matches!(error, WriteError::Conflict) || failures > 3 {
                    tracing::warn!(%key, %error, failures, "pass cut short");
                }
                let retry = Instant::now() + RETRY.wait(failures);
                again = Some(again.map_or(retry, |again| again.min(retry)));
                failures
            }
        };
        self.memory.put(key, remembered);
        metrics::counter!("booking_operator_passes_total", "outcome" => outcome).increment(1);
        metrics::histogram!("booking_operator_pass_duration_seconds", "outcome" => outcome)
            .record(begun.elapsed().as_secs_f64());
        again
    }

    async fn reconcile(
        &self,
        work: Work<'_>,
        attempts: &mut Attempts,
    ) -> (Option<Timestamp>, Result<(), WriteError>) {
        let observation = self.observe(work.snapshot, attempts).await;
        let decision = self.decide(work.snapshot, &observation, attempts);
        (decision.wake_at, self.carry_out(work, &observation, &decision, attempts).await)
    }

    fn decide(&self, snapshot: &Snapshot, observation: &Observation, attempts: &Attempts) -> Decision {
        let bookings: Vec<_> = snapshot.bookings.iter().map(Arc::as_ref).collect();
        let world = World {
            resource: snapshot.resource.as_deref(),
            bookings: &bookings,
            observation,
            attempts,
            claim: snapshot.claim,
            now: self.clock.now(),
        };
        decide(&world, &self.settings)
    }

    /// Whether a call would be decided on once more, given what is seen by now: since the pass began somebody
    /// may have booked the group, or, where the API server is slow, a booking may have come to its end.
    fn still_decided(&self, key: &Key, call: &Call, observation: &Observation, attempts: &Attempts) -> bool {
        let snapshot = self.cache.snapshot(key, self.clock.now());
        self.decide(&snapshot, observation, attempts).calls.contains(call)
    }

    async fn observe(&self, snapshot: &Snapshot, attempts: &mut Attempts) -> Observation {
        let group = snapshot
            .resource
            .as_ref()
            .and_then(|resource| group_to_observe(resource, snapshot.claim, &self.settings));
        let Some(group) = group else {
            return Observation::NotNeeded;
        };
        let answer = observe::describe(self.provider.as_ref(), &group).await;
        observe::observed(answer, attempts, self.clock.now())
    }

    async fn carry_out(
        &self,
        Work { key, snapshot, leave }: Work<'_>,
        observation: &Observation,
        decision: &Decision,
        attempts: &mut Attempts,
    ) -> Result<(), WriteError> {
        let (client, cache, queue) = (self.client.clone(), self.cache.clone(), self.queue.clone());
        let writer = Writer::new(client, &key.namespace, cache, queue, leave.clone());
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
            let is_power = matches!(call, Call::Start(_) | Call::Stop(_));
            if is_power && !self.still_decided(key, call, observation, attempts) {
                return Err(WriteError::Conflict);
            }
            let outcome = call::send(self.provider.as_ref(), leave.0.as_ref(), call).await;
            outcome.record(key, attempts, self.clock.now());
        }
        refused.write(&writer, &later).await?;
        let notes = decision.events.iter().filter(|note| !refused.concerns(&note.subject));
        self.reporting.publish(snapshot, notes, leave).await;
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
