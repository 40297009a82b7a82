//! One pass over one key.

mod group;
mod monitor;
mod scheduler;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use booking_decision::Backoff;
use bookings::decide::{groups::attempts::Attempts, locations::Places, settings::Settings};
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    Key, Kind,
    cache::Cache,
    observations::Observations,
    ownership::Ownership,
    queue::WorkQueue,
    report::Reporting,
    sweep::Sweeps,
    write::{Leave, WriteError, Writer},
};
use crate::{clock::Clock, clouds::OpenClouds, notify::Outbox};

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
    /// The clouds.
    pub clouds: Arc<OpenClouds>,
    /// What was last seen of each group.
    pub observations: Arc<Observations>,
    /// Writes that are under way at once.
    pub writes: Arc<Semaphore>,
    /// Which accounts and regions there are by now.
    pub places: watch::Receiver<Arc<Places>>,
    /// What was found in the cloud, for monitors.
    pub sweeps: Sweeps,
    /// Which keys are this process's.
    pub ownership: Arc<dyn Ownership>,
    /// What the operator is set to; its places as they were at the start.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Events.
    pub reporting: Reporting,
    /// Notifications.
    pub outbox: Outbox,
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
    failed_sweeps: u32,
}

impl Remembered {
    fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.failed_passes == 0 && self.failed_sweeps == 0
    }
}

impl Memory {
    fn take(&self, key: &Key) -> Remembered {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
    }

    fn put(&self, key: &Key, remembered: Remembered) {
        // Most keys rest, with nothing to remember.
        if remembered.is_empty() {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), remembered);
    }
}

/// What came of a pass.
struct Outcome {
    /// When its key is due again.
    wake_at: Option<Timestamp>,
    /// Whether all was carried out.
    result: Result<(), WriteError>,
}

/// Counts a pass by what it was about and what came of it.
pub(super) fn count(key: &Key, outcome: &'static str) {
    let kind = key.kind.word();
    metrics::counter!("booking_operator_passes_total", "kind" => kind, "outcome" => outcome).increment(1);
}

impl Pass {
    /// Runs one pass; gives the instant at which the key is due again.
    pub async fn run(&self, key: &Key) -> Option<Instant> {
        let begun = Instant::now();
        let Some(permit) = self.ownership.permit(key) else {
            // Whoever owns it works on it; if it comes back, it is put on the queue again.
            drop(self.memory.take(key));
            self.outbox.forget(key);
            self.observations.forget(key);
            return None;
        };
        let leave = Leave { permit, writes: self.writes.clone() };
        let mut remembered = self.memory.take(key);
        let Outcome { wake_at, result } = match key.kind {
            Kind::Resource => Box::pin(self.reconcile_group(key, &leave, &mut remembered.attempts)).await?,
            Kind::Scheduler => self.reconcile_scheduler(key, &leave).await?,
            Kind::Monitor => self.reconcile_monitor(key, &leave, &mut remembered.failed_sweeps).await?,
        };
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
                // What is due at once waits for the retry: it is what has just failed.
                let later = again.filter(|again| *again > Instant::now());
                again = Some(later.map_or(retry, |later| later.min(retry)));
                failures
            }
        };
        self.memory.put(key, remembered);
        count(key, outcome);
        let kind = key.kind.word();
        metrics::histogram!("booking_operator_pass_duration_seconds", "kind" => kind, "outcome" => outcome)
            .record(begun.elapsed().as_secs_f64());
        again
    }

    fn writer(&self, key: &Key, leave: &Leave) -> Writer {
        let (client, cache, queue) = (self.client.clone(), self.cache.clone(), self.queue.clone());
        Writer::new(client, &key.namespace, cache, queue, leave.clone())
    }
}
