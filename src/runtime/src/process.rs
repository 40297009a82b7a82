//! A process: it starts its families, takes part in the ring, runs passes, and stops in order.
//!
//! Each family starts independently: it waits for its CRDs, lists its kinds, and opens its gate. A family without
//! CRDs holds up no other family. The process joins the ring when the first family is ready.

mod family;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use booking_ring::kubernetes::RingHandle;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::EventType;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::family::{Families, FamilyStage, RunningFamily, families_that_wait, follow_predecessor};
use crate::{
    controller::{Background, Family, Services},
    ownership::{RingOwnership, opener::Opener},
    probes::Readiness,
    run::{AnyController, Controllers, run_passes},
    watch::{KeyGate, Watches, runtime_kinds::Begun},
};

/// The process's part in the ring, before it has begun.
pub struct RingPart {
    /// The ring from this process's point of view.
    pub handle: RingHandle,
    /// The slots that are open.
    pub ownership: Arc<RingOwnership>,
    /// The task that takes part in the ring.
    pub run: BoxFuture<'static, ()>,
    /// The ring object, for Events.
    pub reference: ObjectReference,
    /// Tasks that run while the process takes part in the ring.
    pub beside: Vec<Background>,
}

/// A family, its vital tasks, and its tasks that may end.
type Starting = (Arc<RunningFamily>, Vec<Background>, Vec<Background>);

/// The limits of a process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many passes run at the same time.
    pub passes: usize,
    /// How long a stop waits for the hand-over and for running calls.
    pub shutdown: Duration,
}

/// A process and its parts.
pub struct Process {
    services: Arc<Services>,
    /// With their background tasks. Taken when the process begins.
    families: Mutex<Vec<Starting>>,
    controllers: HashMap<&'static str, Arc<dyn AnyController>>,
    readiness: Arc<Readiness>,
    /// Taken when the process begins. It is behind a lock only because a future by itself cannot be shared.
    ring: Mutex<Option<RingPart>>,
    limits: Limits,
}

impl Process {
    /// Connects the parts of a process.
    pub fn new(
        services: Arc<Services>,
        families: Vec<Family>,
        ring: Option<RingPart>,
        limits: Limits,
    ) -> Self {
        let readiness = Arc::new(Readiness::new(services.client.clone()));
        let (mut controllers, mut running) = (HashMap::new(), Vec::new());
        for family in families {
            let mut watches = Watches::default();
            for controller in family.controllers {
                controller.register(&mut watches);
                if let Some(predecessor) = &family.predecessor {
                    services.ownership.has_predecessor(controller.kind(), predecessor.state.clone());
                }
                controllers.insert(controller.kind(), controller);
            }
            let gate = Arc::new(KeyGate::new(services.ownership.clone(), services.queue.clone()));
            let stage = watch::Sender::new(FamilyStage::Waits("start".to_owned()));
            let predecessor = family.predecessor;
            let one = Arc::new(RunningFamily { name: family.name, watches, gate, stage, predecessor });
            one.stands(FamilyStage::Waits("start".to_owned()));
            running.push((one, family.vital, family.background));
        }
        let process = Self {
            services,
            families: Mutex::new(running),
            controllers,
            readiness,
            ring: Mutex::new(ring),
            limits,
        };
        process.add_checks();
        process
    }

    /// The readiness, for the probe.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.readiness.clone()
    }

    fn add_checks(&self) {
        let known = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let families: Vec<Arc<RunningFamily>> = known.iter().map(|(family, ..)| family.clone()).collect();
        let all = families.clone();
        self.readiness.also(move || families.iter().flat_map(|family| family.checks()).collect());
        self.readiness.also(move || families_that_wait(&all));
        let part = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = part.as_ref().map(|part| part.handle.clone()) {
            self.readiness.also(move || vec![("ring".to_owned(), stands_in_ring(&ring))]);
        }
    }

    /// Runs until `stop`. Then it hands over its slots and lets running passes end, both for a limited time.
    pub async fn run(mut self, stop: CancellationToken) {
        // Work continues after `stop` until other replicas have taken it over.
        let halt = CancellationToken::new();
        let families = std::mem::take(&mut *self.families.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = None;
        let mut ready = Vec::new();
        let mut kinds = Vec::new();
        for (family, vital, background) in families {
            kinds.push(family.clone());
            ready.push(family.stage.subscribe());
            self.start(family, (vital, background), (&stop, &halt));
        }
        if stop.run_until_cancelled(self.first_ready(ready)).await.is_some() {
            left = self.join_ring(Families(kinds), (&stop, &halt));
            self.readiness.waits_for(None);
            tracing::info!("ready");
            let (services, controllers) =
                (self.services.clone(), Arc::new(Controllers(std::mem::take(&mut self.controllers))));
            spawn_vital(
                &self.services.tasks,
                &stop,
                run_passes(services, controllers, self.limits.passes, halt.clone()),
            );
        }
        stop.cancelled().await;
        self.stop(left, &halt).await;
    }

    async fn stop(&self, ring: Option<RingHandle>, halt: &CancellationToken) {
        // Nothing more is sent. If something is being sent, its delivery is recorded before its key is handed over.
        self.services.stop_sending.cancel();
        let stopping = tokio::time::Instant::now();
        if let Some(ring) = ring {
            tracing::info!("stopping: what is owned is handed over");
            ring.stop();
            if tokio::time::timeout(self.limits.shutdown, ring.wait_ended()).await.is_err() {
                tracing::warn!("not everything was handed over in time");
            }
        }
        tracing::info!("stopping: running calls are let end");
        halt.cancel();
        self.services.tasks.close();
        let rest = self.limits.shutdown.saturating_sub(stopping.elapsed());
        if tokio::time::timeout(rest, self.services.tasks.wait()).await.is_err() {
            tracing::warn!("some calls did not end in time");
        }
    }

    /// Starts a family: CRDs, lists, gate, background tasks.
    fn start(
        &self,
        family: Arc<RunningFamily>,
        (vital, background): (Vec<Background>, Vec<Background>),
        (stop, halt): (&CancellationToken, &CancellationToken),
    ) {
        let services = self.services.clone();
        let (stop, halt, starting) = (stop.clone(), halt.clone(), stop.clone());
        spawn_until(&services.tasks, &halt, follow_predecessor(family.clone()));
        // A family that does not begin, because of a panic, ends the process.
        let stops = stop.clone().drop_guard();
        self.services.tasks.spawn(async move {
            let begin = async {
                family.wait_for_crds(&services).await;
                family.stands(FamilyStage::Lists);
                for kind in family.watches.kinds() {
                    let (kind, services, gate) = (kind.clone(), services.clone(), family.gate.clone());
                    let tasks = services.tasks.clone();
                    let follows = async move {
                        kind.follow(&services.client, services.namespace.as_deref(), &gate).await;
                    };
                    spawn_vital(&tasks, &stop, halt.clone().run_until_cancelled_owned(follows));
                }
                for kind in family.watches.kinds() {
                    kind.health().synced().await;
                }
                let (client, namespace) = (services.client.clone(), services.namespace.clone());
                let begun = Begun { client, namespace, gate: family.gate.clone(), stop: stop.clone() };
                family.watches.begin_runtime_kinds(&begun);
                family.gate.open();
                family.gate.pass(family.keys());
                family.stands(FamilyStage::Ready);
                tracing::info!(family = family.name, "family ready");
                for task in vital {
                    spawn_vital(&services.tasks, &stop, halt.clone().run_until_cancelled_owned(task()));
                }
                for task in background {
                    spawn_until(&services.tasks, &halt, task());
                }
            };
            starting.run_until_cancelled(begin).await;
            stops.disarm();
        });
    }

    /// Waits until one family is ready. Until then it reports what the start waits for.
    async fn first_ready(&self, stages: Vec<watch::Receiver<FamilyStage>>) {
        let waits = stages.into_iter().map(|mut stage| {
            let readiness = self.readiness.clone();
            let wait = async move {
                loop {
                    let now = stage.borrow_and_update().clone();
                    match now {
                        FamilyStage::Ready => return,
                        FamilyStage::Lists => {
                            readiness.waits_for(Some("the first lists of all kinds".to_owned()));
                        }
                        FamilyStage::Waits(what) => readiness.waits_for(Some(what)),
                    }
                    if stage.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                }
            };
            Box::pin(wait)
        });
        let waits: Vec<_> = waits.collect();
        if !waits.is_empty() {
            futures::future::select_all(waits).await;
        }
    }

    fn join_ring(
        &self,
        kinds: Families,
        (stop, halt): (&CancellationToken, &CancellationToken),
    ) -> Option<RingHandle> {
        let part = self.ring.lock().unwrap_or_else(PoisonError::into_inner).take();
        let RingPart { handle, ownership, run, reference, beside } = part?;
        let opener = Opener {
            ownership,
            client: self.services.client.clone(),
            namespace: self.services.namespace.clone(),
            kinds: Arc::new(kinds),
            queue: self.services.queue.clone(),
        };
        let opens = opener.run(handle.changes());
        for task in beside {
            spawn_until(&self.services.tasks, halt, task());
        }
        spawn_until(&self.services.tasks, halt, tell_of_clock(self.services.clone(), reference));
        spawn_vital(&self.services.tasks, stop, async move {
            tokio::join!(run, opens);
        });
        Some(handle)
    }
}

/// Spawns a task without which the process is useless. If the task ends, even by a panic, the process stops.
fn spawn_vital(tasks: &TaskTracker, stop: &CancellationToken, task: impl Future + Send + 'static) {
    let stops = stop.clone().drop_guard();
    tasks.spawn(async move {
        let _stops = stops;
        drop(task.await);
    });
}

/// Spawns a task that runs until `halt`, or until it ends.
fn spawn_until(
    tasks: &TaskTracker,
    halt: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(halt.clone().run_until_cancelled_owned(task));
}

fn stands_in_ring(ring: &RingHandle) -> Result<(), String> {
    let why = || {
        let known = ring.conflict().or_else(|| ring.unsupported());
        known.unwrap_or_else(|| "not a member of it".to_owned())
    };
    if ring.is_in_ring() { Ok(()) } else { Err(why()) }
}

/// Publishes an Event when the local clock is wrong, and when it is right again.
async fn tell_of_clock(services: Arc<Services>, ring: ObjectReference) {
    let mut skew = services.clock.skew();
    while skew.changed().await.is_ok() {
        let off_by = skew.borrow_and_update().map(|skew| skew.as_secs_f64());
        if let Some(seconds) = off_by {
            let note = format!("the local clock is {seconds:.1} s ahead of the API server's, which is used");
            tracing::warn!("{note}");
            services.events.publish_on(&ring, EventType::Warning, "ClockSkewed", &note).await;
        } else {
            let note = "the local clock is right again, and used";
            tracing::info!("{note}");
            services.events.publish_on(&ring, EventType::Normal, "ClockRight", note).await;
        }
    }
}
