//! A real control plane on the loopback interface: etcd and kube-apiserver, nothing else.
//!
//! There is no controller manager. So only the tests delete dependents, finish the deletion of a Namespace, or make
//! service accounts; see [`terminate_namespace`] and [`finalize_namespace`]. There is no node, so Pods are only
//! objects.

mod binaries;
mod build;
mod certs;
mod error;
mod kubeconfig;
mod namespace;
mod published;
mod server;
mod store;
mod variables;
mod versions;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

pub use binaries::{Binaries, NodeBinaries};
pub use error::ControlPlaneError;
use kubeconfig::read_kubeconfig;
pub use namespace::{finalize_namespace, terminate_namespace, test_namespace};
use server::Server;
pub use server::{AUDIT_POLICY, Pids};
pub use store::{Store, StoreError};
pub use variables::{ASSETS_VARIABLE, KUBECONFIG_VARIABLE};
pub use versions::{ETCD_VERSION, KUBERNETES_VERSION};

use crate::cache_dir::on_path;

/// How often the whole start is tried if another process takes a port that was free a moment ago.
const START_ATTEMPTS: usize = 3;

/// A control plane for tests. It is our own, or one that runs already and that this value only knows how to reach.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    config: kube::Config,
    kubectl: Option<PathBuf>,
    server: Option<Mutex<Server>>,
}

impl ControlPlane {
    /// Starts a control plane. It ends with the returned value, or with this process, even if that is killed.
    ///
    /// # Errors
    /// If there are no programs, or they do not become ready. The error shows the end of their log.
    pub async fn start() -> Result<Self, ControlPlaneError> {
        Self::start_one(false).await
    }

    /// Starts a control plane that logs the requests of service accounts in [`Self::audit_log`].
    ///
    /// # Errors
    /// The errors of [`Self::start`].
    pub async fn audited() -> Result<Self, ControlPlaneError> {
        Self::start_one(true).await
    }

    async fn start_one(audited: bool) -> Result<Self, ControlPlaneError> {
        let binaries = Binaries::find_or_make().await?;
        let mut attempt = 1;
        let server = loop {
            match Server::start(&binaries, audited).await {
                Err(error) if attempt < START_ATTEMPTS && server::lost_its_port(&error) => {
                    attempt += 1;
                }
                result => break result?,
            }
        };
        let kubeconfig = server.kubeconfig();
        let config = read_kubeconfig(&kubeconfig).await?;
        Ok(Self { kubeconfig, config, kubectl: binaries.kubectl, server: Some(Mutex::new(server)) })
    }

    /// The control plane of this test run. It is the one that [`KUBECONFIG_VARIABLE`] names, or else one for this
    /// process, which the first caller starts.
    ///
    /// # Errors
    /// The errors of [`ControlPlane::start`], or the named kubeconfig is not usable. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, ControlPlaneError> {
        // A static is never dropped. The guards notice the end of the process by themselves.
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                match env::var_os(KUBECONFIG_VARIABLE).filter(|path| !path.is_empty()) {
                    Some(path) => Self::running(PathBuf::from(path)).await,
                    None => Self::start().await,
                }
            })
            .await
    }

    async fn running(kubeconfig: PathBuf) -> Result<Self, ControlPlaneError> {
        let config = read_kubeconfig(&kubeconfig).await?;
        // with-control-plane puts the directory of the server's own kubectl first on PATH.
        Ok(Self { kubeconfig, config, kubectl: on_path("kubectl"), server: None })
    }

    /// A new client with the administrator's rights.
    ///
    /// It belongs to the runtime in which it is made. Each test has a runtime of its own, so make one in each test.
    ///
    /// # Errors
    /// If the client cannot use something in the kubeconfig.
    pub fn client(&self) -> Result<Client, ControlPlaneError> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// The configuration of such a client, for a client with layers of its own.
    pub fn client_config(&self) -> kube::Config {
        self.config.clone()
    }

    /// The administrator's kubeconfig. It needs no other file, and only its owner can read it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The server's address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// The kubectl beside kube-apiserver, or else the one on PATH.
    ///
    /// # Errors
    /// If there is neither.
    pub fn kubectl(&self) -> Result<&Path, ControlPlaneError> {
        self.kubectl.as_deref().ok_or(ControlPlaneError::NoKubectl)
    }

    /// The process ids of etcd and of kube-apiserver (while it runs).
    ///
    /// # Errors
    /// When the processes are not ours.
    pub async fn pids(&self) -> Result<Pids, ControlPlaneError> {
        Ok(self.server().await?.pids())
    }

    /// Ends kube-apiserver in good order and waits for its end. Its data stay in etcd. It is no error if kube-apiserver
    /// does not run.
    ///
    /// # Errors
    /// If the process is not ours.
    pub async fn stop_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.stop_api_server().await;
        Ok(())
    }

    /// Kills kube-apiserver with SIGKILL, as in a crash. Its data stay in etcd.
    ///
    /// # Errors
    /// If the process is not ours.
    pub async fn kill_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.kill_api_server().await
    }

    /// Starts kube-apiserver again on the same port, and waits until it is ready. It is no error if kube-apiserver
    /// runs.
    ///
    /// # Errors
    /// If the process is not ours, or does not become ready.
    pub async fn start_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.start_api_server().await
    }

    /// Copies the present data of etcd, for [`Self::restore`]. etcd stands still for a moment.
    ///
    /// # Errors
    /// If the processes are not ours, or the data cannot be copied.
    pub async fn snapshot(&self) -> Result<Snapshot, ControlPlaneError> {
        Ok(Snapshot(self.server().await?.snapshot_etcd()?))
    }

    /// Stops kube-apiserver and etcd, replaces etcd's data by a snapshot, and starts both again after `away`. As after
    /// a disaster, later writes are lost.
    ///
    /// # Errors
    /// If the processes are not ours, the data cannot be replaced, or a program does not become ready.
    pub async fn restore(&self, snapshot: &Snapshot, away: Duration) -> Result<(), ControlPlaneError> {
        let mut server = self.server().await?;
        let gone = tokio::time::Instant::now();
        server.kill_api_server().await?;
        server.put_back_etcd(snapshot.0.path()).await?;
        tokio::time::sleep_until(gone + away).await;
        server.start_etcd().await?;
        server.start_api_server().await
    }

    /// The audit log of a control plane from [`Self::audited`]: a line of JSON for each request of a service account.
    ///
    /// # Errors
    /// If the processes are not ours.
    pub async fn audit_log(&self) -> Result<PathBuf, ControlPlaneError> {
        Ok(self.server().await?.audit_log())
    }

    /// The store, for writes that are faster than through the API server.
    ///
    /// # Errors
    /// If the processes are not ours.
    pub async fn store(&self) -> Result<Store, ControlPlaneError> {
        Ok(Store::new(self.server().await?.etcd_port()))
    }

    /// Ends everything and waits for it. Drop does the same, but it blocks.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            server.into_inner().stop().await;
        }
    }

    async fn server(&self) -> Result<MutexGuard<'_, Server>, ControlPlaneError> {
        Ok(self.server.as_ref().ok_or(ControlPlaneError::NotOurs)?.lock().await)
    }
}

/// A copy of etcd's data. It is removed with this value.
#[derive(Debug)]
pub struct Snapshot(tempfile::TempDir);
