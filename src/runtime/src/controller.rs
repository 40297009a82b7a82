//! The seam between the runtime and families: what a family gives, and what a pass gets.

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

/// One sort of key and what is done for it. The ring, permits, timers, back-off and metrics are the runtime's.
pub trait Controller: Send + Sync + 'static {
    /// Which keys it works on: a stable word, in keys, metrics and logs.
    const KIND: &'static str;
    /// What the process remembers of a key beside the objects: hints that are safe to lose. They are dropped with the key.
    type Memory: Default + PartialEq + Send + 'static;

    /// Says what it watches.
    fn register(&self, watches: &mut Watches);

    /// Works on a key once.
    fn pass(
        &self,
        cx: &Context<'_>,
        key: &Key,
        memory: &mut Self::Memory,
    ) -> impl Future<Output = Outcome> + Send;

    /// Another replica owns the key now, or nothing of that name is left: what was asked for in its name is withdrawn.
    fn forget(&self, _key: &Key) {}
}

/// What came of a pass.
#[derive(Debug)]
pub enum Outcome {
    /// There is nothing of that name: the key is forgotten.
    Nothing,
    /// All was carried out; the key is due again at an instant, or when something changes.
    Done {
        /// That instant.
        wake_at: Option<Timestamp>,
    },
    /// The pass was cut short: it is repeated after a while, or at `wake_at` if that comes first.
    CutShort {
        /// Why.
        error: WriteError,
        /// When the key is due in any case.
        wake_at: Option<Timestamp>,
    },
}

impl Outcome {
    /// The outcome of what was carried out with a result.
    pub fn of(result: Result<(), WriteError>, wake_at: Option<Timestamp>) -> Self {
        match result {
            Ok(()) => Self::Done { wake_at },
            Err(error) => Self::CutShort { error, wake_at },
        }
    }
}

/// What all controllers of a process share.
pub struct Services {
    /// To talk to the API server with. It sends each request once.
    pub client: Client,
    /// The namespace to work in; none means all.
    pub namespace: Option<String>,
    /// Where keys go that are due.
    pub queue: Arc<WorkQueue>,
    /// The time.
    pub clock: Clock,
    /// Events.
    pub events: EventPublisher,
    /// Which keys are this replica's.
    pub ownership: Arc<PausedByPredecessor>,
    /// What runs beside the passes; a stop waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when a stop begins: mail and webhooks that are not on their way are not sent any more.
    pub stop_sending: CancellationToken,
    /// Writes that run at once.
    pub write_slots: Arc<Semaphore>,
}

impl Services {
    /// Services of a process. `pod` names it in Events.
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

/// What a pass works with: the services, and the gate of its key's effects.
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

    /// The permit of the key, for effects elsewhere than on the API server.
    pub fn permit(&self) -> &Arc<dyn Permit> {
        self.gate.permit()
    }

    /// Writes objects of a kind.
    pub fn writer<'b, K: Object>(&'b self, table: &'b Table<K>) -> Writer<'b, K> {
        Writer { client: &self.services.client, table, queue: &self.services.queue, gate: &self.gate }
    }

    /// Publishes notes, each about an object.
    pub async fn publish<'n, S: 'n + Sync>(
        &self,
        notes: impl Iterator<Item = (&'n Note<S>, ObjectReference)> + Send,
    ) {
        self.services.events.publish(notes, &self.gate).await;
    }
}

/// What runs beside the passes of a family, once it is at work, until it is told to halt.
pub type Background = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A family of kinds: what one crate brings.
pub struct Family {
    /// Its name, as in `--families`.
    pub name: &'static str,
    /// Its controllers.
    pub controllers: Vec<Arc<dyn AnyController>>,
    /// Whether its predecessor is at work, if it has one.
    pub predecessor: Option<FollowedPredecessor>,
    /// What runs beside its passes. If one of these ends by itself, so does the process.
    pub vital: Vec<Background>,
    /// What runs beside its passes and may end.
    pub background: Vec<Background>,
    /// Sets its gauges, for each scrape.
    pub measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// A predecessor that is followed.
pub struct FollowedPredecessor {
    /// The name of its check in `/readyz`.
    pub check: &'static str,
    /// Whether it is at work.
    pub state: watch::Receiver<Predecessor>,
}
