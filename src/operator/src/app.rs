//! The one file that names every part of the operator and wires them.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use booking_cloud::{Aws, Clouds};
use booking_ring::{
    kubernetes::{self as ring, RingHandle, clocks},
    time::Stamp,
};
use bookings::{
    api::{Booking, BookingScheduler, Resource, ResourceMonitor},
    decide::{groups::instance::TAG_APPLICATION, locations::Places, settings::Settings},
};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, runtime::events::EventType};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    args::Config,
    budgets,
    clock::Clock,
    clouds::OpenClouds,
    controller::{
        cache::Cache,
        decode::Watched,
        observations::sweep,
        ownership::{Everything, Opener, Ownership, Shards, Unless},
        pass::{Memory, Pass},
        queue::WorkQueue,
        report::Reporting,
        run_passes,
        sweep::Sweeps,
        watch::{Gate, WatchHealth, watch},
        write::{FIELD_MANAGER, WRITES_AT_ONCE},
    },
    crds,
    notify::{self, Channels, Outbox},
    original::{self, Original},
    places,
    share::Share,
    telemetry::{
        gauges::Gauges,
        log, metrics,
        probes::{Readiness, bind, metrics_routes, probe_routes, serve},
    },
};

/// Ends the name of the ring of a dry run.
const DRY_RUN_SUFFIX: &str = "-dry-run";

/// Why the operator cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// The runtime, or a listener.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The way to the cluster.
    #[error("no cluster: {0}; run in a Pod, or set KUBECONFIG")]
    Cluster(String),
    /// The part in the ring.
    #[error("no part in the ring: {0}")]
    Ring(#[from] ring::ConfigError),
    /// The way to the cloud.
    #[error("no cloud: {0}")]
    Cloud(#[from] booking_cloud::SetupError),
    /// Accounts and regions.
    #[error(transparent)]
    Places(#[from] places::FileError),
    /// Notifications.
    #[error("no notifications: {0}")]
    Notify(#[from] notify::SetupError),
    /// Others would be disturbed.
    #[error(
        "--dry-run writes statuses, and {replica} is at work in ring {namespace}/{ring}; stop it first, or narrow \
         both by --namespace and give this one another --ring-name"
    )]
    DryRun {
        /// The ring.
        ring: String,
        /// Its namespace.
        namespace: String,
        /// Who is at work.
        replica: String,
    },
    /// What cannot be done without has ended: a bug.
    #[error("a watch or the part in the ring has ended by itself; the log says more")]
    Broken,
}

/// Runs the operator until it is told to stop.
pub fn run(config: Config) -> ExitCode {
    let began = clocks::now();
    let started = log::init(&config.log).map_err(StartError::from).and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(start(config, began))
    });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("booking-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: Config, began: Stamp) -> Result<(), StartError> {
    let stop = CancellationToken::new();
    let signals = tokio::spawn(wait_for_signal(stop.clone()));
    let kubernetes = kube::Config::infer().await.map_err(|error| StartError::Cluster(error.to_string()))?;
    let clock = Clock::default();
    let own_namespace = kubernetes.default_namespace.clone();
    let client = clock.client(kubernetes).map_err(|error| StartError::Cluster(error.to_string()))?;
    let clouds = Arc::new(Aws::from_env(TAG_APPLICATION, FIELD_MANAGER).await?);
    let handle = metrics::install()?;
    let config = if config.dry_run { apart(config, &client, &own_namespace).await? } else { config };
    let share = Share::in_ring(client.clone(), &config, own_namespace, began)?;
    let parts = Parts { client, clouds, clock, share };
    let operator = Operator::new(&config, parts)?;
    if let Some(address) = config.metrics_address {
        let routes = metrics_routes(handle, operator.gauges());
        operator.tasks.spawn(serve(bind(address).await?, routes, stop.clone()));
    }
    if let Some(address) = config.probe_address {
        let routes = probe_routes(operator.readiness.clone());
        operator.tasks.spawn(serve(bind(address).await?, routes, stop.clone()));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        region = operator.pass.settings.places.region(),
        namespace = config.namespace.as_deref().unwrap_or("all"),
        dry_run = config.dry_run,
        "started"
    );
    operator.run(&config, stop).await;
    // Whoever runs it starts it again: what cannot go on must not stand there and look well.
    if !signals.is_finished() {
        return Err(StartError::Broken);
    }
    Ok(())
}

/// A dry run must not take work from those who do it, nor write statuses beside theirs: it has a ring of
/// its own, and begins only where nobody is at work.
async fn apart(mut config: Config, client: &Client, own_namespace: &str) -> Result<Config, StartError> {
    let namespace = config.ring.namespace.as_deref().unwrap_or(own_namespace);
    let at_work = ring::at_work(client.clone(), namespace, &config.ring.name).await;
    if let Some(replica) = at_work.map_err(|error| StartError::Cluster(error.to_string()))? {
        return Err(StartError::DryRun { ring: config.ring.name, namespace: namespace.to_owned(), replica });
    }
    config.ring.name.push_str(DRY_RUN_SUFFIX);
    Ok(config)
}

/// What an operator is built on.
pub struct Parts {
    /// The cluster.
    pub client: Client,
    /// The clouds.
    pub clouds: Arc<dyn Clouds>,
    /// The time.
    pub clock: Clock,
    /// Which part of the work is its.
    pub share: Share,
}

/// An operator, wired.
pub struct Operator {
    client: Client,
    pass: Arc<Pass>,
    queue: Arc<WorkQueue>,
    readiness: Arc<Readiness>,
    watches: Watches,
    original: watch::Sender<Original>,
    places: watch::Sender<Arc<Places>>,
    /// Taken when it begins; behind a lock only because a future alone cannot be shared.
    ring: Mutex<Option<RingPart>>,
    tasks: TaskTracker,
}

/// How the watches stand.
#[derive(Default)]
struct Watches {
    resources: Arc<WatchHealth>,
    bookings: Arc<WatchHealth>,
    schedulers: Arc<WatchHealth>,
    monitors: Arc<WatchHealth>,
}

impl Watches {
    fn by_name(&self) -> [(&'static str, Arc<WatchHealth>); 4] {
        let Self { resources, bookings, schedulers, monitors } = self;
        [
            ("resources", resources.clone()),
            ("bookings", bookings.clone()),
            ("bookingschedulers", schedulers.clone()),
            ("resourcemonitors", monitors.clone()),
        ]
    }
}

/// A part in the ring, not begun yet.
struct RingPart {
    handle: RingHandle,
    shards: Arc<Shards>,
    run: BoxFuture<'static, ()>,
    /// The ring object, for Events.
    reference: ObjectReference,
}

impl Operator {
    /// Wires an operator.
    ///
    /// # Errors
    /// A file that the command line names cannot be read, or what it says makes no sense.
    pub fn new(config: &Config, parts: Parts) -> Result<Self, StartError> {
        let tasks = TaskTracker::new();
        let allowed = config.accounts_file.as_deref().map(places::read).transpose()?.unwrap_or_default();
        let known = Arc::new(Places::new(&config.role_arn, parts.clouds.region(), allowed));
        let places = watch::Sender::new(known.clone());
        let cache = Arc::new(Cache::new(known.clone()));
        let watches = Watches::default();
        let queue = Arc::new(WorkQueue::default());
        let call_timeout = config.ring.timing.call();
        let (ownership, ring): (Arc<dyn Ownership>, _) = match parts.share {
            Share::Everything => (Arc::new(Everything), None),
            Share::Ring(handle, reference, run) => {
                let shards = Arc::new(Shards::new(handle.clone(), call_timeout));
                (shards.clone(), Some(RingPart { handle, shards, run, reference }))
            }
        };
        let ring_handle = ring.as_ref().map(|ring| ring.handle.clone());
        let first = if config.ignore_original { Original::Absent } else { Original::Unknown };
        let original = watch::Sender::new(first);
        let ownership = Arc::new(Unless { within: ownership, original: original.subscribe() });
        let pass = Arc::new(Pass {
            client: parts.client.clone(),
            cache,
            queue: queue.clone(),
            clouds: Arc::new(OpenClouds::new(parts.clouds, config.concurrency, queue.clone())),
            observations: Arc::default(),
            writes: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            places: places.subscribe(),
            sweeps: Sweeps::default(),
            settings: settings(config, known),
            clock: parts.clock.clone(),
            outbox: Outbox::new(
                (parts.client.clone(), Channels::new(&config.notify)?),
                ownership.clone(),
                queue.clone(),
                parts.clock.clone(),
                tasks.clone(),
            ),
            ownership,
            reporting: Reporting::new(parts.client.clone(), config.ring.pod.clone(), parts.clock.clone()),
            memory: Memory::default(),
        });
        Ok(Self {
            readiness: Arc::new(Readiness::new(
                parts.client.clone(),
                watches.by_name(),
                original.subscribe(),
                ring_handle,
            )),
            client: parts.client,
            pass,
            queue,
            watches,
            original,
            places,
            ring: Mutex::new(ring),
            tasks,
        })
    }

    /// Runs until `stop`; then hands over what it owns, and lets running passes end, for a bounded time.
    pub async fn run(self, config: &Config, stop: CancellationToken) {
        let namespace = config.namespace.as_deref();
        // Work goes on after `stop`, until others have taken it over.
        let halt = CancellationToken::new();
        let mut left = None;
        if stop.run_until_cancelled(self.wait_for_crds(namespace)).await.is_some() {
            let gate = Arc::new(Gate::new(self.pass.ownership.clone()));
            self.watch::<Resource>(namespace, &self.watches.resources, &gate, (&stop, &halt));
            self.watch::<Booking>(namespace, &self.watches.bookings, &gate, (&stop, &halt));
            self.watch::<BookingScheduler>(namespace, &self.watches.schedulers, &gate, (&stop, &halt));
            self.watch::<ResourceMonitor>(namespace, &self.watches.monitors, &gate, (&stop, &halt));
            self.readiness.waits_for(Some("the first lists of all kinds".to_owned()));
            if stop.run_until_cancelled(self.wait_for_caches()).await.is_some() {
                gate.open(&self.pass.cache, &self.queue);
                left = self.join_ring(namespace, &stop, &halt);
                self.readiness.waits_for(None);
                self.look_for_original(config, &stop, &halt);
                self.follow_places(config, &halt);
                tracing::info!("ready");
                self.work(config, &stop, &halt);
            }
        }
        stop.cancelled().await;
        // Nothing more is sent: what is on its way is recorded before its key is handed over.
        self.pass.outbox.stop();
        let stopping = tokio::time::Instant::now();
        if let Some(ring) = left {
            tracing::info!("stopping: what is owned is handed over");
            ring.stop();
            if tokio::time::timeout(config.shutdown_timeout, ring.wait_ended()).await.is_err() {
                tracing::warn!("not everything was handed over in time");
            }
        }
        tracing::info!("stopping: running calls are let end");
        halt.cancel();
        self.tasks.close();
        let rest = config.shutdown_timeout.saturating_sub(stopping.elapsed());
        if tokio::time::timeout(rest, self.tasks.wait()).await.is_err() {
            tracing::warn!("some calls did not end in time");
        }
    }

    fn gauges(&self) -> Gauges {
        let (cache, clouds) = (self.pass.cache.clone(), self.pass.clouds.clone());
        Gauges { queue: self.queue.clone(), cache, clouds, clock: self.pass.clock.clone() }
    }

    /// Runs passes, and looks at groups at rest.
    fn work(&self, config: &Config, stop: &CancellationToken, halt: &CancellationToken) {
        let (tasks, pass, queue) = (self.tasks.clone(), self.pass.clone(), self.queue.clone());
        self.spawn_vital(stop, run_passes(tasks, pass, queue, config.concurrency, halt.clone()));
        let (observations, clouds) = (self.pass.observations.clone(), self.pass.clouds.clone());
        let looks =
            sweep(observations, clouds, self.queue.clone(), self.pass.clock.clone(), config.observe_interval);
        let halt = halt.clone();
        self.spawn_vital(stop, async move {
            halt.run_until_cancelled(looks).await;
        });
    }

    /// Tells people when the local clock turns out to be off, and when it is right again.
    fn tell_of_clock(&self, halt: &CancellationToken, ring: ObjectReference) {
        let (mut skew, reporting, halt) = (self.pass.clock.skew(), self.pass.reporting.clone(), halt.clone());
        self.tasks.spawn(halt.run_until_cancelled_owned(async move {
            while skew.changed().await.is_ok() {
                let off_by = skew.borrow_and_update().map(|skew| skew.as_secs_f64());
                if let Some(seconds) = off_by {
                    let note =
                        format!("the local clock is {seconds:.1} s ahead of the API server's, which is used");
                    tracing::warn!("{note}");
                    reporting.publish_on(&ring, EventType::Warning, "ClockSkewed", &note).await;
                } else {
                    let note = "the local clock is right again, and used";
                    tracing::info!("{note}");
                    reporting.publish_on(&ring, EventType::Normal, "ClockRight", note).await;
                }
            }
        }));
    }

    /// Follows the original operator's Lease. Everything is due once it is away.
    fn look_for_original(&self, config: &Config, stop: &CancellationToken, halt: &CancellationToken) {
        if config.ignore_original {
            return;
        }
        let (client, clock, state) = (self.client.clone(), self.pass.clock.clone(), self.original.clone());
        let (namespace, halted) = (config.namespace.clone(), halt.clone());
        self.spawn_vital(stop, async move {
            let follows = original::follow(client, namespace.as_deref(), clock, state);
            halted.run_until_cancelled(follows).await;
        });
        let (mut seen, pass, queue) = (self.original.subscribe(), self.pass.clone(), self.queue.clone());
        self.tasks.spawn(halt.clone().run_until_cancelled_owned(async move {
            while seen.changed().await.is_ok() {
                match seen.borrow_and_update().clone() {
                    Original::Absent => {
                        tracing::info!("the original operator is not at work");
                        pass.cache.keys().into_iter().for_each(|key| queue.add(key));
                    }
                    Original::AtWork(who) => {
                        tracing::warn!(who, "the original operator is at work: nothing is done beside it");
                    }
                    Original::Unknown => {}
                }
            }
        }));
    }

    /// Follows the file of accounts and regions. Everything is due when it changes.
    fn follow_places(&self, config: &Config, halt: &CancellationToken) {
        let Some(path) = config.accounts_file.clone() else {
            return;
        };
        let follows = places::follow(path, self.places.clone());
        self.tasks.spawn(halt.clone().run_until_cancelled_owned(follows));
        let (mut seen, pass, queue) = (self.places.subscribe(), self.pass.clone(), self.queue.clone());
        self.tasks.spawn(halt.clone().run_until_cancelled_owned(async move {
            while seen.changed().await.is_ok() {
                pass.cache.change_places(seen.borrow_and_update().clone());
                pass.cache.keys().into_iter().for_each(|key| queue.add(key));
            }
        }));
    }

    fn join_ring(
        &self,
        namespace: Option<&str>,
        stop: &CancellationToken,
        halt: &CancellationToken,
    ) -> Option<RingHandle> {
        let part = self.ring.lock().unwrap_or_else(PoisonError::into_inner).take();
        let RingPart { handle, shards, run, reference } = part?;
        let opener = Opener {
            shards,
            client: self.client.clone(),
            namespace: namespace.map(ToOwned::to_owned),
            cache: self.pass.cache.clone(),
            queue: self.queue.clone(),
        };
        let opens = opener.run(handle.changes());
        let shares = budgets::share(self.pass.clouds.clone(), handle.clone());
        self.tasks.spawn(halt.clone().run_until_cancelled_owned(shares));
        self.tell_of_clock(halt, reference);
        self.spawn_vital(stop, async move {
            tokio::join!(run, opens);
        });
        Some(handle)
    }

    /// Spawns what a process is of no use without: if it ends, be it by a panic, so does the process.
    fn spawn_vital(&self, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        let stops = stop.clone().drop_guard();
        self.tasks.spawn(async move {
            let _stops = stops;
            task.await;
        });
    }

    fn watch<K: Watched>(
        &self,
        namespace: Option<&str>,
        health: &Arc<WatchHealth>,
        gate: &Arc<Gate>,
        (stop, halt): (&CancellationToken, &CancellationToken),
    ) {
        let place = (self.client.clone(), namespace.map(ToOwned::to_owned));
        let watched =
            watch::<K>(place, self.pass.cache.clone(), self.queue.clone(), health.clone(), gate.clone());
        let halt = halt.clone();
        self.spawn_vital(stop, async move {
            halt.run_until_cancelled(watched).await;
        });
    }

    async fn wait_for_crds(&self, namespace: Option<&str>) {
        let waits_for = |what| self.readiness.waits_for(Some(what));
        crds::wait_for_crds(&self.client, namespace, waits_for).await;
    }

    async fn wait_for_caches(&self) {
        for (_, watch) in self.watches.by_name() {
            watch.synced().await;
        }
    }
}

fn settings(config: &Config, places: Arc<Places>) -> Settings {
    Settings {
        places,
        adoption_grace: config.adoption_grace,
        dry_run: config.dry_run,
        poll_shortest: config.poll.0,
        poll_longest: config.poll.1,
        observe_interval: config.observe_interval,
        release_timeout: config.release_timeout,
    }
}

async fn wait_for_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.cancel();
}
