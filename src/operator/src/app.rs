//! Wires the process: the one file that names every part.

use std::{process::ExitCode, sync::Arc};

use booking_cloud::{Aws, Clouds};
use booking_ring::{
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

/// Ends the name of the ring of a dry run.
const DRY_RUN_SUFFIX: &str = "-dry-run";

/// Accounts whose slots may all be taken, by clouds that do not answer, before passes of other accounts wait as well.
const ACCOUNTS: usize = 8;

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
    /// The family of bookings.
    #[error(transparent)]
    Bookings(#[from] bookings::run::StartError),
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
    /// A family that the command line knows has no place here: a bug.
    #[error("the family {0} is not wired")]
    Family(&'static str),
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
    // Exit with an error, so that Kubernetes restarts the container: a process that cannot continue must not look healthy.
    if !signals.is_finished() {
        return Err(StartError::Broken);
    }
    Ok(())
}

/// A dry run must not take work from those who do it, nor write statuses beside theirs: it has a ring of its own, and begins only
/// if nobody is at work.
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
    pub membership: RingMembership,
}

/// An operator, wired.
pub struct Operator {
    services: Arc<Services>,
    process: Process,
    /// Sets all gauges, for a scrape.
    measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Operator {
    /// Wires an operator.
    ///
    /// # Errors
    /// A file that the command line names cannot be read, or what it says makes no sense.
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

    /// Whether it is ready, for the probe.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.process.readiness()
    }

    /// Runs until `stop`; then hands over what it owns, and lets running passes end, for a bounded time.
    pub async fn run(self, stop: CancellationToken) {
        self.process.run(stop).await;
    }
}

/// The families that the configuration names, and what runs while the process takes part in the ring.
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
