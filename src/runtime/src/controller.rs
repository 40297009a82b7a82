//! The interface between the runtime and the families: what a family provides, and what a pass gets.

use std::sync::Arc;

use booking_decision::{Note, Permit};
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Key,
    clock::Clock,
    events::EventPublisher,
    gate::{EffectGate, WRITES_AT_ONCE},
    ownership::{Ownership, PausedByPredecessor, Predecessor},
    queue::WorkQueue,
    run::AnyController,
    store::{Object, Table},
    watch::Watches,
    write::{WriteError, Writer},
};

/// The code for one sort of key. The runtime provides the ring, permits, timers, back-off and metrics.
pub trait Controller: Send + Sync + 'static {
    /// The sort of keys that it works on: a stable word for keys, metrics and logs.
    const KIND: &'static str;
    /// What the process remembers about a key in addition to the objects. It is safe to lose, and it is dropped with
    /// the key.
    type Memory: Default + PartialEq + Send + 'static;

    /// Registers the kinds that it watches.
    fn register(&self, watches: &mut Watches);

    /// Runs one pass over a key.
    fn pass(
        &self,
        cx: &Context<'_>,
        key: &Key,
        memory: &mut Self::Memory,
    ) -> impl Future<Output = Outcome> + Send;

    /// Withdraws everything that was requested for a key. Called if another replica owns the key now, or if no object
    /// of that name exists any more.
    fn forget(&self, _key: &Key) {}
}

/// The result of a pass.
#[derive(Debug)]
pub enum Outcome {
    /// No object of that name exists, and the key is forgotten.
    Nothing,
    /// Everything was carried out. The key is due again at an instant, or when something changes.
    Done {
        /// That instant.
        wake_at: Option<Timestamp>,
    },
    /// The pass was cut short. It is repeated after a wait, or at `wake_at` if that is earlier.
    CutShort {
        /// Why.
        error: WriteError,
        /// When the key is due in any case.
        wake_at: Option<Timestamp>,
    },
}

impl Outcome {
    /// The outcome of a pass whose effects had this result.
    pub fn of(result: Result<(), WriteError>, wake_at: Option<Timestamp>) -> Self {
        match result {
            Ok(()) => Self::Done { wake_at },
            Err(error) => Self::CutShort { error, wake_at },
        }
    }
}

/// What all controllers of a process share.
pub struct Services {
    /// The client for the API server. It sends each request once.
    pub client: Client,
    /// The namespace to work in. None means all.
    pub namespace: Option<String>,
    /// The queue of keys that are due.
    pub queue: Arc<WorkQueue>,
    /// The clock.
    pub clock: Clock,
    /// Publishes Events.
    pub events: EventPublisher,
    /// Decides which keys this replica owns.
    pub ownership: Arc<PausedByPredecessor>,
    /// The background tasks. A stop waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when a stop begins. No further mail or webhook is sent from then on.
    pub stop_sending: CancellationToken,
    /// Limits how many writes run at once.
    pub write_slots: Arc<Semaphore>,
}

impl Services {
    /// Creates the services of a process. `pod` names the process in Events.
    pub fn new(
        (client, clock): (Client, Clock),
        namespace: Option<String>,
        ownership: Arc<dyn Ownership>,
        pod: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::default(),
            events: EventPublisher::new(client.clone(), pod, clock.clone()),
            ownership: Arc::new(PausedByPredecessor::new(ownership)),
            tasks: TaskTracker::new(),
            stop_sending: CancellationToken::new(),
            write_slots: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            client,
            namespace,
            clock,
        })
    }
}

/// What a pass works with: the services, and the effect gate of its key.
pub struct Context<'a> {
    services: &'a Services,
    gate: EffectGate,
}

impl<'a> Context<'a> {
    pub(crate) fn new(services: &'a Services, permit: Arc<dyn Permit>) -> Self {
        let gate = EffectGate::new(permit, services.write_slots.clone());
        Self { services, gate }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &'a Clock {
        &self.services.clock
    }

    /// The permit of the key, for effects on systems other than the API server.
    pub fn permit(&self) -> &Arc<dyn Permit> {
        self.gate.permit()
    }

    /// Writes objects of a kind.
    pub fn writer<'b, K: Object>(&'b self, table: &'b Table<K>) -> Writer<'b, K> {
        Writer { client: &self.services.client, table, queue: &self.services.queue, gate: &self.gate }
    }

    /// Publishes Events, each about an object.
    pub async fn publish<'n, S: 'n + Sync>(
        &self,
        notes: impl Iterator<Item = (&'n Note<S>, ObjectReference)> + Send,
    ) {
        self.services.events.publish(notes, &self.gate).await;
    }
}

/// A background task of a family. It runs while the family is at work, until the process halts.
pub type Background = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A family of kinds, which one crate provides.
pub struct Family {
    /// Its name, as in `--families`.
    pub name: &'static str,
    /// Its controllers.
    pub controllers: Vec<Arc<dyn AnyController>>,
    /// Whether its predecessor is at work, if it has one.
    pub predecessor: Option<FollowedPredecessor>,
    /// Tasks that must not end. If one of them ends by itself, the process ends.
    pub vital: Vec<Background>,
    /// Tasks that may end by themselves.
    pub background: Vec<Background>,
    /// Sets its gauges, for each scrape.
    pub measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// A predecessor that is watched.
pub struct FollowedPredecessor {
    /// The name of its check in `/readyz`.
    pub check: &'static str,
    /// Whether it is at work.
    pub state: watch::Receiver<Predecessor>,
}
