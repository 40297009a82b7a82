//! A real control plane on the loopback interface: etcd and kube-apiserver, nothing else.
//!
//! There is no controller manager, so nobody but the tests deletes dependents, finishes a
//! Namespace's deletion or makes service accounts; see [`terminate_namespace`] and
//! [`finalize_namespace`]. There is no node: Pods are only objects.

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

/// How often the whole start is tried when another process took a port that had just been free.
const START_ATTEMPTS: usize = 3;

/// A control plane to test against: one of our own, or a running one that this only knows how to
/// reach.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    config: kube::Config,
    kubectl: Option<PathBuf>,
    server: Option<Mutex<Server>>,
}

impl ControlPlane {
    /// Starts a control plane that ends with the returned value, or with this process, however that
    /// ends.
    ///
    /// # Errors
    /// When the programs cannot be had, or do not become ready; the error shows the end of their
    /// log.
    pub async fn start() -> Result<Self, ControlPlaneError> {
        Self::start_one(false).await
    }

    /// The same, and it keeps a log of what service accounts ask for: [`Self::audit_log`].
    ///
    /// # Errors
    /// As [`Self::start`].
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

    /// The control plane of this test run: the one that [`KUBECONFIG_VARIABLE`] names, otherwise
    /// one for this process, started by the first caller.
    ///
    /// # Errors
    /// As [`ControlPlane::start`]; or the named kubeconfig is unusable. The next caller tries
    /// again.
    pub async fn shared() -> Result<&'static Self, ControlPlaneError> {
        // Never dropped, as no static is: the guards notice the end of the process by themselves.
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
    /// It belongs to the runtime it is made in: make one in each test, since each has a runtime of
    /// its own.
    ///
    /// # Errors
    /// When the kubeconfig holds something the client cannot use.
    pub fn client(&self) -> Result<Client, ControlPlaneError> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// The configuration of such a client, for one with layers of its own.
    pub fn client_config(&self) -> kube::Config {
        self.config.clone()
    }

    /// The administrator's kubeconfig, complete in itself; only its owner can read it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The server's address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// A kubectl: the one beside kube-apiserver, otherwise the one on PATH.
    ///
    /// # Errors
    /// When there is neither.
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

    /// Ends kube-apiserver in good order and waits for it; its data stay in etcd. No error if it
    /// does not run.
    ///
    /// # Errors
    /// When the process is not ours.
    pub async fn stop_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.stop_api_server().await;
        Ok(())
    }

    /// Ends kube-apiserver at once with SIGKILL, as a crash would; its data stay in etcd.
    ///
    /// # Errors
    /// When the process is not ours.
    pub async fn kill_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.kill_api_server().await
    }

    /// Starts kube-apiserver again on the same port, and waits until it is ready. No error if it
    /// runs.
    ///
    /// # Errors
    /// When the process is not ours, or does not become ready.
    pub async fn start_api_server(&self) -> Result<(), ControlPlaneError> {
        self.server().await?.start_api_server().await
    }

    /// Copies etcd's data as they are now, for [`Self::restore`]; etcd stands still for a moment.
    ///
    /// # Errors
    /// When the processes are not ours, or the data cannot be copied.
    pub async fn snapshot(&self) -> Result<Snapshot, ControlPlaneError> {
        Ok(Snapshot(self.server().await?.snapshot_etcd()?))
    }

    /// Takes kube-apiserver and etcd away, puts a snapshot in the place of etcd's data, and starts both
    /// again when `away` has passed: as after a disaster, what was written since never was.
    ///
    /// # Errors
    /// When the processes are not ours, the data cannot be replaced, or a program does not become ready.
    pub async fn restore(&self, snapshot: &Snapshot, away: Duration) -> Result<(), ControlPlaneError> {
        let mut server = self.server().await?;
        let gone = tokio::time::Instant::now();
        server.kill_api_server().await?;
        server.put_back_etcd(snapshot.0.path()).await?;
        tokio::time::sleep_until(gone + away).await;
        server.start_etcd().await?;
        server.start_api_server().await
    }

    /// The audit log of an audited one: a line of JSON for each request of a service account.
    ///
    /// # Errors
    /// When the processes are not ours.
    pub async fn audit_log(&self) -> Result<PathBuf, ControlPlaneError> {
        Ok(self.server().await?.audit_log())
    }

    /// Its store, to fill it faster than the API server would.
    ///
    /// # Errors
    /// When the processes are not ours.
    pub async fn store(&self) -> Result<Store, ControlPlaneError> {
        Ok(Store::new(self.server().await?.etcd_port()))
    }

    /// Ends everything and waits for it; Drop does the same but blocks.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            server.into_inner().stop().await;
        }
    }

    async fn server(&self) -> Result<MutexGuard<'_, Server>, ControlPlaneError> {
        Ok(self.server.as_ref().ok_or(ControlPlaneError::NotOurs)?.lock().await)
    }
}

/// A copy of etcd's data; it is removed with this value.
#[derive(Debug)]
pub struct Snapshot(tempfile::TempDir);
