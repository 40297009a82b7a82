//! Builds the process from its parts. This is the only file that names every part.

use std::{process::ExitCode, sync::Arc};

use booking_cloud::{Aws, Clouds};
use booking_ring::{
    claim::{Claim, DRY_RUN_SUFFIX, RingName},
    kubernetes::{self as ring, clocks},
    time::Stamp,
};
use booking_runtime::{
    clock::Clock,
    controller::{Background, Family, Services},
    ownership::{AllKeys, Ownership, RingOwnership, ring::RingMembership},
    probes::{Readiness, bind, metrics_routes, probe_routes, serve},
    process::{Limits, Process, RingPart},
    write::FIELD_MANAGER,
};
use bookings::{decide::groups::machine::TAG_APPLICATION, run::budget_reports};
use futures::{FutureExt, future::BoxFuture};
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Config,
    ring_membership::{self, RingPayloads},
    telemetry::{log, metrics},
};

/// If clouds do not answer, all slots of this many accounts can be taken before passes of other accounts have to
/// wait.
const ACCOUNTS: usize = 8;

/// Why the operator cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging cannot be set up.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// The async runtime or a listener cannot be set up.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// No cluster can be reached.
    #[error("no cluster: {0}; run in a Pod, or set KUBECONFIG")]
    Cluster(String),
    /// The process cannot take part in the ring.
    #[error("no part in the ring: {0}")]
    Ring(#[from] ring::ConfigError),
    /// The cloud client cannot be set up.
    #[error("no cloud: {0}")]
    Cloud(#[from] booking_cloud::SetupError),
    /// The family of bookings cannot be set up.
    #[error(transparent)]
    Bookings(#[from] bookings::run::StartError),
    /// A dry run would disturb other replicas.
    #[error(
        "--dry-run writes statuses, and {0}; stop it first, or narrow both by --namespace and give this one another \
         --ring-name"
    )]
    DryRun(String),
    /// The command line knows a family that this file does not: a bug.
    #[error("the family {0} is not wired")]
    Family(&'static str),
    /// A task that the process needs has ended by itself: a bug.
    #[error("a watch or the part in the ring has ended by itself; the log says more")]
    Broken,
}

/// Runs the operator until it receives a signal to stop.
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
    let membership = ring_membership::join(client.clone(), &config, own_namespace, began)?;
    let region = clouds.region().to_owned();
    let operator = Operator::new(&config, Parts { client, clouds, clock, membership })?;
    let tasks = &operator.services.tasks;
    if let Some(address) = config.metrics_address {
        let routes = metrics_routes(handle, operator.measure.clone());
        tasks.spawn(serve(bind(address).await?, routes, stop.clone()));
    }
    if let Some(address) = config.probe_address {
        tasks.spawn(serve(bind(address).await?, probe_routes(operator.readiness()), stop.clone()));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        families = ?config.families,
        region,
        namespace = config.namespace.as_deref().unwrap_or("all"),
        dry_run = config.dry_run,
        "started"
    );
    operator.run(stop).await;
    // Exit with an error so that Kubernetes restarts the container. A process that cannot continue must not look
    // healthy.
    if !signals.is_finished() {
        return Err(StartError::Broken);
    }
    Ok(())
}

/// Separates a dry run from working replicas. A dry run must not take work from them, nor write statuses while they
/// do. So it has a ring of its own, and it starts only if no replica is at work.
async fn apart(mut config: Config, client: &Client, own_namespace: &str) -> Result<Config, StartError> {
    let namespace = config.ring.namespace.as_deref().unwrap_or(own_namespace).to_owned();
    let ring = RingName { namespace: namespace.into(), name: config.ring.name.as_str().into() };
    let families = ring_membership::family_names(&config);
    let claim = Claim::new(&families, config.namespace.as_deref(), true);
    let at_work = ring::at_work(client.clone(), &ring, claim, &config.ring.timing).await;
    if let Some(who) = at_work.map_err(|error| StartError::Cluster(error.to_string()))? {
        return Err(StartError::DryRun(who));
    }
    config.ring.name.push_str(DRY_RUN_SUFFIX);
    Ok(config)
}

/// The parts from which an operator is built.
pub struct Parts {
    /// The client for the cluster.
    pub client: Client,
    /// The clouds.
    pub clouds: Arc<dyn Clouds>,
    /// The clock.
    pub clock: Clock,
    /// The part of the work that this process does.
    pub membership: RingMembership,
}

/// An operator with all its parts connected.
pub struct Operator {
    services: Arc<Services>,
    process: Process,
    /// Sets all gauges before a scrape.
    measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Operator {
    /// Connects the parts of an operator.
    ///
    /// # Errors
    /// A file that the command line names cannot be read or is invalid.
    pub fn new(config: &Config, parts: Parts) -> Result<Self, StartError> {
        let (ownership, ring): (Arc<dyn Ownership>, _) = match parts.membership {
            RingMembership::None => (Arc::new(AllKeys), None),
            RingMembership::Member { handle, reference, run } => {
                let owned = Arc::new(RingOwnership::new(handle.clone(), config.ring.timing.call()));
                (
                    owned.clone(),
                    Some(RingPart { handle, ownership: owned, run, reference, beside: Vec::new() }),
                )
            }
        };
        let client = (parts.client, parts.clock);
        let services = Services::new(client, config.namespace.clone(), ownership, config.ring.pod.clone());
        let (families, beside) = families(config, &services, &parts.clouds, ring.as_ref())?;
        let measure = measure(&services, &families);
        let ring = ring.map(|ring| RingPart { beside, ..ring });
        let passes = config.bookings.concurrency.saturating_mul(ACCOUNTS);
        let limits = Limits { passes, shutdown: config.shutdown_timeout };
        Ok(Self { process: Process::new(services.clone(), families, ring, limits), services, measure })
    }

    /// The readiness, for the probe.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.process.readiness()
    }

    /// Runs until `stop`. Then it hands over its slots and lets running passes end, both for a limited time.
    pub async fn run(self, stop: CancellationToken) {
        self.process.run(stop).await;
    }
}

/// The families that the configuration names, and the tasks that run while the process takes part in the ring.
fn families(
    config: &Config,
    services: &Arc<Services>,
    clouds: &Arc<dyn Clouds>,
    ring: Option<&RingPart>,
) -> Result<(Vec<Family>, Vec<Background>), StartError> {
    let (mut families, mut beside) = (Vec::new(), Vec::<Background>::new());
    for wanted in &config.families {
        match wanted.name {
            bookings::run::NAME => {
                let bookings = bookings::run::family(services, &config.bookings, clouds.clone())?;
                if let Some(ring) = ring {
                    let (open, payloads) = (bookings.clouds.clone(), RingPayloads(ring.handle.clone()));
                    beside.push(Box::new(move || budget_reports::share(open, payloads).boxed()));
                }
                families.push(bookings.family);
            }
            other => return Err(StartError::Family(other)),
        }
    }
    Ok((families, beside))
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn measure(
    services: &Arc<Services>,
    families: &[Family],
) -> Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync> {
    let of_families: Vec<_> = families.iter().map(|family| family.measure.clone()).collect();
    let queue = services.queue.clone();
    Arc::new(move || {
        ::metrics::gauge!("booking_operator_queue_depth").set(queue.depth() as f64);
        let each: Vec<_> = of_families.iter().map(|measure| measure()).collect();
        async move {
            futures::future::join_all(each).await;
        }
        .boxed()
    })
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
