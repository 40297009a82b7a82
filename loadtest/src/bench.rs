//! The world of a scenario: an API server, a simulated EC2 that throttles as EC2 does, and operator processes.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use kube::Client;
use testbed::{
    control_plane::ControlPlane,
    ec2::{AddInstances, Ec2Config, Ec2Simulator, GROUP_TAG, InstanceState, SettingsPatch, TokenBuckets},
    guard::{Guarded, GuardedCommand},
    ports::free_port,
    replica::{REGION, install_crds, operator_binary},
};
use tokio::time::Instant;

use crate::{Failure, args::Args, prometheus::Metrics, usage};

/// With `--quick`, the ring settles sooner than in fifteen seconds.
const QUICK_RING: [(&str, &str); 4] =
    [("LEASE_DURATION", "6s"), ("RENEW_INTERVAL", "1s"), ("PERMIT_DURATION", "3s"), ("CALL_TIMEOUT", "2s")];
/// How long a replica may take to become ready.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// How long a replica may take to end.
const GRACE: Duration = Duration::from_secs(15);

/// The world of a scenario. All its processes end with it.
pub(crate) struct Bench {
    pub(crate) control_plane: ControlPlane,
    pub(crate) client: Client,
    pub(crate) ec2: Ec2Simulator,
    command: String,
    logs: PathBuf,
    quick: bool,
    http: reqwest::Client,
}

/// An operator process.
pub(crate) struct Replica {
    process: Guarded,
    pub(crate) name: String,
    probes: u16,
    metrics: u16,
    http: reqwest::Client,
}

impl Bench {
    /// Starts an API server with the CRDs, and a cloud whose buckets are full.
    pub(crate) async fn start(args: &Args, scenario: &str) -> Result<Self, Failure> {
        let control_plane = ControlPlane::start().await?;
        install_crds(&control_plane).await?;
        let config = Ec2Config { admission: Arc::new(TokenBuckets::default()), ..Ec2Config::default() };
        let ec2 = Ec2Simulator::start(config).await?;
        ec2.world().change_settings(&SettingsPatch {
            pending_ms: Some(500),
            stopping_ms: Some(500),
            ..SettingsPatch::default()
        });
        let command = match &args.operator_command {
            Some(command) => command.clone(),
            None => format!("exec '{}'", operator_binary()?.display()),
        };
        let logs = args.out.join("logs").join(scenario);
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs)?;
        Ok(Self {
            client: control_plane.client()?,
            control_plane,
            ec2,
            command,
            logs,
            quick: args.quick,
            http: reqwest::Client::new(),
        })
    }

    /// Adds the same number of stopped machines to each of these groups.
    pub(crate) fn machines(&self, groups: &[String], each: usize) -> Result<(), Failure> {
        for group in groups {
            let machines = AddInstances::count(each).tag(GROUP_TAG, group).state(InstanceState::Stopped);
            let machines = AddInstances { region: REGION.to_owned(), ..machines };
            self.ec2.world().add_instances(&machines)?;
        }
        Ok(())
    }

    /// Starts this number of replicas, and waits until they are ready and at work.
    pub(crate) async fn replicas(&self, count: u8, env: &[(&str, &str)]) -> Result<Vec<Replica>, Failure> {
        let mut all = Vec::new();
        for number in 0..count {
            all.push(self.spawn(&format!("replica-{number}"), env)?);
        }
        for replica in &all {
            replica.ready().await?;
        }
        Ok(all)
    }

    /// Starts a replica.
    pub(crate) fn spawn(&self, name: &str, env: &[(&str, &str)]) -> Result<Replica, Failure> {
        let (probes, metrics) = (free_port()?, free_port()?);
        let address = |port: u16| format!("{}:{port}", Ipv4Addr::LOCALHOST);
        let mut command = GuardedCommand::new("/bin/sh", self.logs.join(format!("{name}.log")))
            .args(["-c", &self.command])
            .grace(GRACE)
            .env("KUBECONFIG", self.control_plane.kubeconfig())
            .env("METRICS_BIND_ADDRESS", address(metrics))
            .env("HEALTH_PROBE_BIND_ADDRESS", address(probes))
            .env("POD_NAME", name)
            .env("AWS_SDK_UA_APP_ID", name)
            .env("AWS_ENDPOINT_URL", self.ec2.url())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "loadtest")
            .env("AWS_SECRET_ACCESS_KEY", "loadtest")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let ring: &[(&str, &str)] = if self.quick { &QUICK_RING } else { &[] };
        command = ring.iter().chain(env).fold(command, |command, (name, value)| command.env(name, value));
        Ok(Replica {
            process: command.spawn()?,
            name: name.to_owned(),
            probes,
            metrics,
            http: self.http.clone(),
        })
    }

    /// The present metrics of the API server.
    pub(crate) async fn api_metrics(&self) -> Result<Metrics, Failure> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(Metrics::read(&self.client.request_text(request).await?))
    }

    /// Ends all replicas at the same time, then the rest.
    pub(crate) async fn stop(self, replicas: Vec<Replica>) {
        join_all(replicas.into_iter().map(Replica::stop)).await;
        self.ec2.stop().await;
        self.control_plane.stop().await;
    }
}

/// The processor time of all replicas since they began, in milliseconds.
pub(crate) fn processor_ms(replicas: &[Replica]) -> f64 {
    replicas.iter().map(Replica::processor_ms).sum()
}

/// The present metrics of each replica.
pub(crate) async fn metrics(replicas: &[Replica]) -> Result<Vec<Metrics>, Failure> {
    try_join_all(replicas.iter().map(Replica::metrics)).await
}

impl Replica {
    /// Waits until the replica is ready. Returns how long that took.
    pub(crate) async fn ready(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let url = format!("http://127.0.0.1:{}/readyz", self.probes);
        while begun.elapsed() < READY_LIMIT {
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(begun.elapsed());
            }
            if let Some(code) = self.process.try_wait() {
                return Err(format!("{} ended with {code}: {}", self.name, self.process.log_tail(10)).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("{} is not ready: {}", self.name, self.process.log_tail(10)).into())
    }

    /// The present metrics of the replica.
    pub(crate) async fn metrics(&self) -> Result<Metrics, Failure> {
        let answer = self.http.get(format!("http://127.0.0.1:{}/metrics", self.metrics)).send().await?;
        Ok(Metrics::read(&answer.text().await?))
    }

    /// The resident memory of the replica in bytes.
    pub(crate) fn resident(&self) -> u64 {
        usage::resident(self.process.pid())
    }

    /// The most memory that was ever resident, in bytes. None if the replica has ended.
    pub(crate) fn peak(&self) -> Option<u64> {
        usage::peak(self.process.pid())
    }

    /// The processor time of the replica since it began, in milliseconds.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of some minutes")]
    pub(crate) fn processor_ms(&self) -> f64 {
        usage::processor_ms(self.process.pid()) as f64
    }

    /// Ends the replica as an update does.
    pub(crate) async fn stop(self) {
        self.process.stop().await;
    }
}
