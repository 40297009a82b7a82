//! An operator as a process of its own, with a control plane and a simulated EC2.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::Command,
    time::{Instant, sleep},
};

use crate::control_plane::{ControlPlane, ControlPlaneError};
use crate::guard::{GuardError, Guarded, GuardedCommand};
use crate::patience::patient;
use crate::ports::free_port;

/// The environment variable that names another operator binary than the one beside this program.
pub const BINARY_VARIABLE: &str = "BOOKING_OPERATOR_BINARY";

/// The region in which the simulated EC2 is called.
pub const REGION: &str = "eu-central-1";

/// The flags of a ring that is fast for people: fifteen seconds become two. It is for loopback only. The durations go
/// through [`patient`], because on a busy machine a permit would lapse.
pub fn quick_ring() -> [String; 4] {
    let flags = [
        ("lease-duration", 2_000),
        ("renew-interval", 200),
        ("permit-duration", 1_000),
        ("call-timeout", 500),
    ];
    flags.map(|(flag, ms)| format!("--{flag}={}ms", patient(Duration::from_millis(ms)).as_millis()))
}

/// How long a replica may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long a replica may take to end gracefully.
const GRACE: Duration = Duration::from_secs(15);
const READY_POLL: Duration = Duration::from_millis(20);

/// The errors of a replica.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// There is no operator binary.
    #[error("no operator binary at {0}: run cargo build --workspace")]
    NoBinary(PathBuf),
    /// No port is free.
    #[error("no free port: {0}")]
    Port(std::io::Error),
    /// The process could not be started.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A program could not be run.
    #[error("{0}: {1}")]
    Run(&'static str, std::io::Error),
    /// The API server refuses the CRDs.
    #[error("kubectl apply of the CRDs: {0}")]
    Crds(ExitStatus),
    /// The control plane failed.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// The replica did not become ready.
    #[error("the operator was not ready within {limit:?}; its last words:\n{0}", limit = patient(READY_LIMIT))]
    NotReady(String),
}

/// The surroundings of a replica.
#[derive(Clone, Debug)]
pub struct ReplicaConfig<'a> {
    /// Its name, also in the cloud's call log.
    pub name: &'a str,
    /// The kubeconfig of the cluster.
    pub kubeconfig: &'a Path,
    /// The URL of the simulated EC2.
    pub ec2_url: &'a str,
    /// The file of its log.
    pub log: &'a Path,
    /// Additional arguments.
    pub args: &'a [&'a str],
}

/// A running operator. It ends with this value, or with this process, even if that is killed.
#[derive(Debug)]
pub struct Replica {
    process: Guarded,
    probes: SocketAddr,
    metrics: SocketAddr,
}

/// The operator binary: the one that the environment names, else the one beside this program.
///
/// # Errors
/// [`ReplicaError::NoBinary`].
pub fn operator_binary() -> Result<PathBuf, ReplicaError> {
    if let Some(path) = env::var_os(BINARY_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    // Test programs are in deps/, one level below the binaries.
    let here = env::current_exe().unwrap_or_default();
    let beside = here.ancestors().skip(1).take(2).map(|dir| dir.join("booking-operator"));
    let mut tried = PathBuf::new();
    for candidate in beside {
        if candidate.is_file() {
            return Ok(candidate);
        }
        tried = candidate;
    }
    Err(ReplicaError::NoBinary(tried))
}

/// Installs the CRDs as a user would: `booking-operator crds | kubectl apply -f -`.
///
/// # Errors
/// If there is no operator binary, or the API server refuses.
pub async fn install_crds(control_plane: &ControlPlane) -> Result<(), ReplicaError> {
    let crds = Command::new(operator_binary()?).arg("crds").output().await;
    let crds = crds.map_err(|error| ReplicaError::Run("booking-operator crds", error))?;
    let failed = |error| ReplicaError::Run("kubectl", error);
    let mut kubectl = Command::new(control_plane.kubectl()?)
        .args(["apply", "-f", "-"])
        .env("KUBECONFIG", control_plane.kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = kubectl.stdin.take() {
        input.write_all(&crds.stdout).await.map_err(failed)?;
    }
    let status = kubectl.wait().await.map_err(failed)?;
    if status.success() { Ok(()) } else { Err(ReplicaError::Crds(status)) }
}

impl Replica {
    /// Starts a replica and waits until it is ready.
    ///
    /// # Errors
    /// A [`ReplicaError`].
    pub async fn start(config: &ReplicaConfig<'_>) -> Result<Self, ReplicaError> {
        let replica = Self::spawn(config)?;
        let deadline = Instant::now() + patient(READY_LIMIT);
        while !replica.is_ready().await {
            if Instant::now() > deadline || replica.process.try_wait().is_some() {
                return Err(ReplicaError::NotReady(replica.process.log_tail(20)));
            }
            sleep(READY_POLL).await;
        }
        Ok(replica)
    }

    /// Starts a replica.
    ///
    /// # Errors
    /// A [`ReplicaError`].
    pub fn spawn(config: &ReplicaConfig<'_>) -> Result<Self, ReplicaError> {
        Self::spawn_with(config, &[])
    }

    /// Starts a replica with additional environment variables. They override those that it has anyway.
    ///
    /// # Errors
    /// A [`ReplicaError`].
    pub fn spawn_with(config: &ReplicaConfig<'_>, env: &[(&str, &str)]) -> Result<Self, ReplicaError> {
        Self::spawn_binary(&operator_binary()?, config, env)
    }

    /// Starts a replica of another build of the operator.
    ///
    /// # Errors
    /// A [`ReplicaError`].
    pub fn spawn_binary(
        binary: &Path,
        config: &ReplicaConfig<'_>,
        env: &[(&str, &str)],
    ) -> Result<Self, ReplicaError> {
        let address = || free_address().map_err(ReplicaError::Port);
        let (probes, metrics) = (address()?, address()?);
        let mut command = GuardedCommand::new(binary, config.log);
        command = command
            .arg(format!("--health-probe-bind-address={probes}"))
            .arg(format!("--metrics-bind-address={metrics}"))
            .args(config.args)
            .grace(patient(GRACE))
            .env("KUBECONFIG", config.kubeconfig)
            .env("POD_NAME", config.name)
            .env("AWS_SDK_UA_APP_ID", config.name)
            .env("AWS_ENDPOINT_URL", config.ec2_url)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "testbed")
            .env("AWS_SECRET_ACCESS_KEY", "testbed")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command = env.iter().fold(command, |command, (name, value)| command.env(name, value));
        Ok(Self { process: command.spawn()?, probes, metrics })
    }

    /// Whether the replica says that it is ready.
    pub async fn is_ready(&self) -> bool {
        match reqwest::get(self.readiness_url()).await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        }
    }

    /// The URL of its readiness probe.
    pub fn readiness_url(&self) -> String {
        format!("http://{}/readyz", self.probes)
    }

    /// The URL of its metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }

    /// The process.
    pub fn process(&self) -> &Guarded {
        &self.process
    }

    /// Ends the replica, gracefully first, and by force after a while. Returns its exit code.
    pub async fn stop(self) -> Option<i32> {
        self.process.stop().await
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}
