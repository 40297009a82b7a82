//! The pass loop: permits, memory, back-off, panics.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_decision::{Backoff, impossible};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Key,
    controller::{Context, Controller, Outcome, Services},
    ownership::Ownership,
    watch::Watches,
    write::WriteError,
};

/// How long a key rests after its pass has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// The waits after a pass that could not write.
const RETRY: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(30) };

/// This many conflicts in a row are not logged. Concurrent changes are normal, and only repeated ones are reported.
const CONFLICTS_UNTOLD: u32 = 3;

/// The controllers of a process, by the sort of their keys.
pub struct Controllers(pub HashMap<&'static str, Arc<dyn AnyController>>);

/// A controller without its types.
pub trait AnyController: Send + Sync {
    /// The sort of keys that it works on.
    fn kind(&self) -> &'static str;

    /// Registers the kinds that it watches.
    fn register(&self, watches: &mut Watches);

    /// Runs one pass. Returns the instant at which the key is due again.
    fn run<'a>(&'a self, services: &'a Services, key: &'a Key) -> BoxFuture<'a, Option<Instant>>;
}

/// A controller, with its memory of all keys.
pub struct Driven<C: Controller> {
    controller: Arc<C>,
    memory: Mutex<HashMap<Key, Remembered<C::Memory>>>,
}

#[derive(Default, PartialEq)]
struct Remembered<M> {
    of_family: M,
    failed_passes: u32,
}

impl<C: Controller> Driven<C> {
    /// Creates a controller with an empty memory.
    pub fn of(controller: Arc<C>) -> Arc<dyn AnyController> {
        Arc::new(Self { controller, memory: Mutex::default() })
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<Key, Remembered<C::Memory>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self, services: &Services, key: &Key) -> Option<Instant> {
        let begun = Instant::now();
        let mut remembered = self.memory().remove(key).unwrap_or_default();
        let Some(permit) = services.ownership.permit(key) else {
            // The owner of the key works on it. If this replica gains the key again, the key is put on the queue.
            self.controller.forget(key);
            return None;
        };
        let cx = Context::new(services, permit);
        let (outcome, again) = match self.controller.pass(&cx, key, &mut remembered.of_family).await {
            Outcome::Nothing => {
                self.controller.forget(key);
                return None;
            }
            Outcome::Done { wake_at } => {
                remembered.failed_passes = 0;
                ("ok", wake_at.map(|wake_at| services.clock.timer(wake_at)))
            }
            Outcome::CutShort { error, wake_at } => {
                let failures = remembered.failed_passes.saturating_add(1);
                remembered.failed_passes = failures;
                let wake_at = wake_at.map(|wake_at| services.clock.timer(wake_at));
                (error.category(), Some(retry_at(key, &error, failures, wake_at)))
            }
        };
        // Most keys are at rest and have nothing to remember.
        if remembered != Remembered::default() {
            self.memory().insert(key.clone(), remembered);
        }
        count(key, outcome);
        metrics::histogram!("booking_operator_pass_duration_seconds", "kind" => key.kind, "outcome" => outcome)
            .record(begun.elapsed().as_secs_f64());
        again
    }
}

impl<C: Controller> AnyController for Driven<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn register(&self, watches: &mut Watches) {
        self.controller.register(watches);
    }

    fn run<'a>(&'a self, services: &'a Services, key: &'a Key) -> BoxFuture<'a, Option<Instant>> {
        self.pass(services, key).boxed()
    }
}

/// When a pass that was cut short is repeated.
fn retry_at(key: &Key, error: &WriteError, failures: u32, wake_at: Option<Instant>) -> Instant {
    if !matches!(error, WriteError::Conflict) || failures > CONFLICTS_UNTOLD {
        tracing::warn!(%key, %error, failures, "pass cut short");
    }
    let now = Instant::now();
    let retry = now + RETRY.wait(failures);
    // If the key was due at once, it still waits for the retry, because what was due is what has just failed.
    wake_at.filter(|wake_at| *wake_at > now).map_or(retry, |wake_at| wake_at.min(retry))
}

/// Counts a pass by the sort of its key and by its outcome.
fn count(key: &Key, outcome: &'static str) {
    metrics::counter!("booking_operator_passes_total", "kind" => key.kind, "outcome" => outcome).increment(1);
}

/// Runs passes until `stop`, and then lets running passes end. `at_once` passes run at the same time.
///
/// Each pass has a task of its own, because it mostly waits for a call that it shares with other passes.
pub async fn run_passes(
    services: Arc<Services>,
    controllers: Arc<Controllers>,
    at_once: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(at_once));
    while let Some(key) = stop.run_until_cancelled(services.queue.next()).await {
        let Some(Ok(slot)) = stop.run_until_cancelled(slots.clone().acquire_owned()).await else { return };
        let (of_pass, controllers) = (services.clone(), controllers.clone());
        services.tasks.spawn(async move {
            let _slot = slot;
            let again = one_pass(&of_pass, &controllers, &key).await;
            of_pass.queue.done(&key, again);
        });
    }
}

async fn one_pass(services: &Services, Controllers(controllers): &Controllers, key: &Key) -> Option<Instant> {
    let Some(controller) = controllers.get(key.kind) else {
        impossible("run.controller");
        return None;
    };
    // A panic is a bug, but it must not cost a slot or a key.
    AssertUnwindSafe(controller.run(services, key)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%key, "a pass panicked; it is repeated in {} s", AFTER_PANIC.as_secs());
        count(key, "panic");
        Some(Instant::now() + AFTER_PANIC)
    })
}
