//! The site that all rings share: an API server, the operator's binary, a folder for logs.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use kube::Client;
use testbed::{
    control_plane::ControlPlane,
    replica::{install_crds, operator_binary},
};
use tokio::process::Command;

use crate::proxy::Upstream;

/// Why a scenario cannot go on.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The site of all rings.
pub(crate) struct Site {
    /// The API server and etcd.
    pub(crate) control_plane: ControlPlane,
    /// A client that no fault affects.
    pub(crate) client: Client,
    /// The same, for code that only looks. It repeats no request, because that would make what it sees look late.
    pub(crate) looker: Client,
    /// The way of the proxies to the API server.
    pub(crate) upstream: Upstream,
    /// The operator's binary, and that of the release before if releases alternate.
    binary: PathBuf,
    old: Option<PathBuf>,
    /// The folder of logs and kubeconfigs.
    pub(crate) directory: PathBuf,
}

impl Site {
    /// The binary of a release, by its number. If there is an old binary, the odd releases use it.
    pub(crate) fn binary(&self, release: usize) -> &Path {
        match &self.old {
            Some(old) if release % 2 == 1 => old,
            _ => &self.binary,
        }
    }

    /// Starts the API server and installs the CRDs. It empties `directory`.
    ///
    /// # Errors
    /// If there is no operator binary, or one without a ring, or the API server does not come up.
    pub(crate) async fn start(directory: &Path, old: Option<PathBuf>) -> Result<Self, Failure> {
        let binary = operator_binary()?;
        for binary in old.iter().chain([&binary]) {
            has_ring(binary).await?;
        }
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let control_plane = ControlPlane::start().await?;
        let client = control_plane.client()?;
        let mut config = control_plane.client_config();
        config.default_retry = false;
        let looker = Client::try_from(config)?;
        let upstream = Upstream::of(&control_plane.client_config())?;
        install_crds(&control_plane).await?;
        Ok(Self { control_plane, client, looker, upstream, binary, old, directory })
    }
}

async fn has_ring(binary: &Path) -> Result<(), Failure> {
    let help = Command::new(binary).arg("--help").output().await?;
    if String::from_utf8_lossy(&help.stdout).contains("--ring-namespace") {
        return Ok(());
    }
    Err(format!("{} has no --ring-namespace: build the operator anew", binary.display()).into())
}
