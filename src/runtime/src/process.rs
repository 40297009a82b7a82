//! A process: it starts its families, takes part in the ring, runs passes, and stops in order.
//!
//! Each family starts by itself: it waits for its CRDs, lists its kinds, and opens its gate. A family whose CRDs are absent
//! holds up no other. The process joins the ring once the first family is ready.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use booking_ring::kubernetes::RingHandle;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::EventType;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Key,
    controller::{Background, Family, FollowedPredecessor, Services},
    ownership::{
        Predecessor, RingOwnership,
        opener::{Kinds, Opener},
    },
    probes::{Check, Readiness},
    run::{AnyController, run_passes},
    watch::{KeyGate, WatchedKind, Watches},
};

/// How a family stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for something, in words.
    Waits(String),
    /// Its kinds are being listed.
    Lists,
    /// Its keys are worked on.
    Ready,
}

/// A family in a process.
struct Running {
    name: &'static str,
    watches: Watches,
    gate: Arc<KeyGate>,
    stage: watch::Sender<Stage>,
    predecessor: Option<FollowedPredecessor>,
}

impl Running {
    fn is_listing(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Waits(_))
    }

    fn stands(&self, stage: Stage) {
        let waits = if matches!(stage, Stage::Waits(_)) { 1.0 } else { 0.0 };
        metrics::gauge!("booking_operator_family_waiting", "family" => self.name).set(waits);
        self.stage.send_replace(stage);
    }

    /// The keys of everything that is known.
    fn keys(&self) -> Vec<Key> {
        self.watches.present().iter().flat_map(|kind| kind.keys()).collect()
    }

    /// Waits until the API server serves all its kinds. Missing CRDs are told; ending over them would be a crash loop.
    async fn wait_for_crds(&self, services: &Services) {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times();
        let found = (|| self.find_all(services)).retry(waits).notify(|what, _| {
            tracing::warn!(family = self.name, "waiting for {what}");
            self.stands(Stage::Waits(what.clone()));
        });
        // Without a limit of tries there is no last error.
        let _ = found.await;
    }

    async fn find_all(&self, services: &Services) -> Result<(), String> {
        for kind in self.watches.kinds() {
            kind.find(&services.client, services.namespace.as_deref()).await?;
        }
        Ok(())
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for kind in self.watches.present().iter().filter(|_| self.is_listing()) {
            let state = match (kind.health().is_synced(), kind.health().is_failing()) {
                (false, _) => Err("not synced yet".to_owned()),
                (true, true) => Err("interrupted".to_owned()),
                (true, false) => Ok(()),
            };
            checks.push((format!("watch-{}", kind.plural()), state));
        }
        if let Some(FollowedPredecessor { check, state }) = &self.predecessor {
            let state = match &*state.borrow() {
                Predecessor::Absent => Ok(()),
                Predecessor::Unknown => Err("not looked for yet".to_owned()),
                Predecessor::AtWork(who) => Err(format!("{who}: nothing is done beside it")),
            };
            checks.push(((*check).to_owned(), state));
        }
        checks
    }
}

/// The families of a process, as the ring's opener sees them.
struct Families(Vec<Arc<Running>>);

impl Kinds for Families {
    fn watched(&self) -> Vec<Arc<dyn WatchedKind>> {
        self.0
            .iter()
            .filter(|family| family.is_listing())
            .flat_map(|family| family.watches.present())
            .collect()
    }

    fn keys(&self) -> Vec<Key> {
        self.0.iter().filter(|family| family.gate.is_open()).flat_map(|family| family.keys()).collect()
    }
}

/// A part in the ring that has not begun.
pub struct RingPart {
    /// The ring, as the process sees it.
    pub handle: RingHandle,
    /// The slots that are open.
    pub ownership: Arc<RingOwnership>,
    /// The task that takes part.
    pub run: BoxFuture<'static, ()>,
    /// The ring object, for Events.
    pub reference: ObjectReference,
    /// What runs while the process takes part.
    pub beside: Vec<Background>,
}

/// How a process runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Passes that run at the same time.
    pub passes: usize,
    /// How long a stop waits for the hand-over and for running calls.
    pub shutdown: Duration,
}

/// See the module.
pub struct Process {
    services: Arc<Services>,
    /// With what runs beside their passes; taken when it begins.
    families: Mutex<Vec<(Arc<Running>, Vec<Background>, Vec<Background>)>>,
    controllers: HashMap<&'static str, Arc<dyn AnyController>>,
    readiness: Arc<Readiness>,
    /// Taken when it begins; behind a lock only because a future alone cannot be shared.
    ring: Mutex<Option<RingPart>>,
    limits: Limits,
}

impl Process {
    /// Wires a process.
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
            let stage = watch::Sender::new(Stage::Waits("start".to_owned()));
            let predecessor = family.predecessor;
            let one = Arc::new(Running { name: family.name, watches, gate, stage, predecessor });
            one.stands(Stage::Waits("start".to_owned()));
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

    /// Whether the process is ready, for the probe.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.readiness.clone()
    }

    fn add_checks(&self) {
        let known = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let families: Vec<Arc<Running>> = known.iter().map(|(family, ..)| family.clone()).collect();
        let all = families.clone();
        self.readiness.also(move || families.iter().flat_map(|family| family.checks()).collect());
        // A family that waits holds up no other: the process is ready as long as one is at work.
        self.readiness.also(move || families_that_wait(&all));
        let part = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = part.as_ref().map(|part| part.handle.clone()) {
            self.readiness.also(move || vec![("ring".to_owned(), stands_in_ring(&ring))]);
        }
    }

    /// Runs until `stop`; then hands over what it owns, and lets running passes end, for a bounded time.
    pub async fn run(mut self, stop: CancellationToken) {
        // Work goes on after `stop`, until others have taken it over.
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
                (self.services.clone(), Arc::new(std::mem::take(&mut self.controllers)));
            self.spawn_vital(&stop, run_passes(services, controllers, self.limits.passes, halt.clone()));
        }
        stop.cancelled().await;
        self.stop(left, &halt).await;
    }

    async fn stop(&self, ring: Option<RingHandle>, halt: &CancellationToken) {
        // Nothing more is sent: what is on its way is recorded before its key is handed over.
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

    /// Starts a family: CRDs, lists, gate, what runs beside.
    fn start(
        &self,
        family: Arc<Running>,
        (vital, background): (Vec<Background>, Vec<Background>),
        (stop, halt): (&CancellationToken, &CancellationToken),
    ) {
        let services = self.services.clone();
        let (stop, halt, starting) = (stop.clone(), halt.clone(), stop.clone());
        let watch_for_predecessor = family.clone();
        self.spawn_until(halt.clone(), follow_predecessor(watch_for_predecessor));
        let spawn = Spawner { services: services.clone() };
        self.services.tasks.spawn(async move {
            let begin = async {
                family.wait_for_crds(&services).await;
                family.stands(Stage::Lists);
                for kind in family.watches.kinds() {
                    let (kind, services, gate) = (kind.clone(), services.clone(), family.gate.clone());
                    spawn.vital(&stop, &halt, async move {
                        kind.follow(&services.client, services.namespace.as_deref(), &gate).await;
                    });
                }
                for kind in family.watches.kinds() {
                    kind.health().synced().await;
                }
                let (client, namespace) = (&services.client, services.namespace.as_deref());
                family.watches.begin_runtime_kinds(client, namespace, &family.gate);
                family.gate.open();
                family.gate.pass(family.keys());
                family.stands(Stage::Ready);
                tracing::info!(family = family.name, "family ready");
                for task in vital {
                    spawn.vital(&stop, &halt, task());
                }
                for task in background {
                    spawn.until(halt.clone(), task());
                }
            };
            starting.run_until_cancelled(begin).await;
        });
    }

    /// Waits until one family is ready, and tells what start-up waits for.
    async fn first_ready(&self, stages: Vec<watch::Receiver<Stage>>) {
        let waits = stages.into_iter().map(|mut stage| {
            let readiness = self.readiness.clone();
            let wait = async move {
                loop {
                    let now = stage.borrow_and_update().clone();
                    match now {
                        Stage::Ready => return,
                        Stage::Lists => readiness.waits_for(Some("the first lists of all kinds".to_owned())),
                        Stage::Waits(what) => readiness.waits_for(Some(what)),
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
            self.spawn_until(halt.clone(), task());
        }
        self.spawn_until(halt.clone(), tell_of_clock(self.services.clone(), reference));
        self.spawn_vital(stop, async move {
            tokio::join!(run, opens);
        });
        Some(handle)
    }

    /// Spawns what a process is of no use without: if it ends, be it by a panic, so does the process.
    fn spawn_vital(&self, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        let stops = stop.clone().drop_guard();
        self.services.tasks.spawn(async move {
            let _stops = stops;
            task.await;
        });
    }

    fn spawn_until(&self, halt: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        self.services.tasks.spawn(halt.run_until_cancelled_owned(task));
    }
}

/// Spawns the tasks of a family.
struct Spawner {
    services: Arc<Services>,
}

impl Spawner {
    fn vital(
        &self,
        stop: &CancellationToken,
        halt: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stops, halt) = (stop.clone().drop_guard(), halt.clone());
        self.services.tasks.spawn(async move {
            let _stops = stops;
            halt.run_until_cancelled(task).await;
        });
    }

    fn until(&self, halt: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        self.services.tasks.spawn(halt.run_until_cancelled_owned(task));
    }
}

fn families_that_wait(families: &[Arc<Running>]) -> Vec<Check> {
    let is_at_work = |family: &Arc<Running>| *family.stage.borrow() == Stage::Ready;
    let one_is = families.iter().any(is_at_work);
    let waiting = families.iter().filter(|family| !is_at_work(family) && families.len() > 1);
    waiting
        .map(|family| match &*family.stage.borrow() {
            Stage::Waits(what) if one_is => (format!("family-{} (waits for {what})", family.name), Ok(())),
            Stage::Waits(what) => (format!("family-{}", family.name), Err(format!("waits for {what}"))),
            _ => (format!("family-{}", family.name), Err("lists its kinds".to_owned())),
        })
        .collect()
}

fn stands_in_ring(ring: &RingHandle) -> Result<(), String> {
    let why = || ring.unsupported().unwrap_or_else(|| "not a member of it".to_owned());
    if ring.is_in_ring() { Ok(()) } else { Err(why()) }
}

/// Everything of a family is due once its predecessor is away.
async fn follow_predecessor(family: Arc<Running>) {
    let Some(mut seen) = family.predecessor.as_ref().map(|followed| followed.state.clone()) else { return };
    while seen.changed().await.is_ok() {
        let now = seen.borrow_and_update().clone();
        match now {
            Predecessor::Absent => {
                tracing::info!(family = family.name, "the predecessor is not at work");
                family.gate.pass(family.keys());
            }
            Predecessor::AtWork(who) => {
                tracing::warn!(family = family.name, "{who}: nothing is done beside it");
            }
            Predecessor::Unknown => {}
        }
    }
}

/// Tells people when the local clock turns out to be off, and when it is right again.
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
