//! Where etcd, kube-apiserver and kubectl come from.
//!
//! In this order: the directory named by `KUBEBUILDER_ASSETS`, our cache, the published
//! test-control-plane archive, a build with Go from the modules pinned in `testbed/control-plane`.
//! The last two fill the cache.

use std::env;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::ControlPlaneError;
use super::{build, published};
use crate::guard::{Guarded, GuardedCommand};

/// The Kubernetes version that is built; the same as in `control-plane/kubernetes/go.mod`.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// The etcd version that is built; the same as in `control-plane/etcd/go.mod`.
pub const ETCD_VERSION: &str = "v3.6.16";

/// Names a directory with etcd, kube-apiserver and kubectl; the usual variable of Kubernetes' own
/// test tools.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// How often a long step says that it is still at it.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often the cache's lock is tried while another process has it.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// How many lines of a failed command's output its error shows.
const TAIL: usize = 15;

/// The programs of a control plane.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The path of etcd.
    pub etcd: PathBuf,
    /// The path of kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// The path of kubectl, if there is one.
    pub kubectl: Option<PathBuf>,
}

impl Binaries {
    /// Finds the programs, or makes them: that can take minutes, and says on stderr how far it is.
    ///
    /// # Errors
    /// [`ControlPlaneError::NoBinaries`] with everything that was tried.
    pub async fn find_or_make() -> Result<Self, ControlPlaneError> {
        let mut tried = Vec::new();
        if let Some(assets) = variable(ASSETS_VARIABLE) {
            match Self::in_directory(&assets) {
                Ok(found) => return Ok(found),
                Err(why) => tried.push(format!("{ASSETS_VARIABLE}: {why}")),
            }
        }
        let Some(cache) = cache_directory() else {
            tried.push("the cache: neither XDG_CACHE_HOME nor HOME is set".to_owned());
            return Err(ControlPlaneError::NoBinaries { tried });
        };
        let places = [built_directory(&cache), published::directory(&cache)];
        match Self::in_any(&places) {
            Ok(found) => return Ok(found),
            Err(why) => tried.extend(why),
        }
        fs::create_dir_all(&cache).map_err(ControlPlaneError::file(&cache))?;
        let _lock = lock(&cache).await?;
        // Another process may have filled the cache while this one waited.
        if let Ok(found) = Self::in_any(&places) {
            return Ok(found);
        }
        Self::make(&cache, tried).await
    }

    async fn make(cache: &Path, mut tried: Vec<String>) -> Result<Self, ControlPlaneError> {
        let downloaded = published::install(cache).await;
        match downloaded.and_then(|()| Self::in_directory(&published::directory(cache))) {
            Ok(found) => return Ok(found),
            Err(why) => tried.push(format!("the published archive: {why}")),
        }
        let directory = built_directory(cache);
        let built = build::install(cache, &directory).await;
        match built.and_then(|()| Self::in_directory(&directory)) {
            Ok(found) => Ok(found),
            Err(why) => {
                tried.push(format!("a build with Go: {why}"));
                Err(ControlPlaneError::NoBinaries { tried })
            }
        }
    }

    fn in_any(directories: &[PathBuf]) -> Result<Self, Vec<String>> {
        let mut missing = Vec::new();
        for directory in directories {
            match Self::in_directory(directory) {
                Ok(found) => return Ok(found),
                Err(why) => missing.push(format!("the cache: {why}")),
            }
        }
        Err(missing)
    }

    fn in_directory(directory: &Path) -> Result<Self, String> {
        let required = |name: &str| {
            executable(directory.join(name))
                .ok_or_else(|| format!("no program {name} in {}", directory.display()))
        };
        Ok(Self {
            etcd: required("etcd")?,
            kube_apiserver: required("kube-apiserver")?,
            kubectl: executable(directory.join("kubectl")).or_else(|| on_path("kubectl")),
        })
    }
}

/// Our cache: beside other programs' caches of this user.
fn cache_directory() -> Option<PathBuf> {
    let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(caches.join("booking-operator"))
}

fn built_directory(cache: &Path) -> PathBuf {
    cache.join(format!("control-plane-{KUBERNETES_VERSION}-{ETCD_VERSION}"))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

pub(super) fn executable(path: PathBuf) -> Option<PathBuf> {
    let metadata = fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(path)
}

pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(|directory| executable(directory.join(name)))
}

/// Waits for the cache's lock, which the kernel frees when its holder ends, however it ends.
async fn lock(cache: &Path) -> Result<File, ControlPlaneError> {
    let path = cache.join(".lock");
    let file = File::create(&path).map_err(ControlPlaneError::file(&path))?;
    let mut said = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => {
                return Err(ControlPlaneError::File { path, source });
            }
            Err(TryLockError::WouldBlock) => {
                if said.elapsed() >= PROGRESS {
                    eprintln!("waiting for another process that makes the control plane's programs …");
                    said = Instant::now();
                }
                tokio::time::sleep(LOCK_POLL).await;
            }
        }
    }
}

/// Runs a command to its end, saying `what` it is every few seconds; past `limit` it is an error.
///
/// The guard is returned because it removes the command's temporary directory when it is dropped.
pub(super) async fn run(command: GuardedCommand, what: &str, limit: Duration) -> Result<Guarded, String> {
    let process = command.spawn().map_err(|error| error.to_string())?;
    let started = Instant::now();
    while started.elapsed() < limit {
        match tokio::time::timeout(PROGRESS.min(limit), process.wait()).await {
            Ok(Some(0)) => return Ok(process),
            Ok(code) => {
                let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                return Err(format!("{what} failed with exit code {code}:\n{}", process.log_tail(TAIL)));
            }
            Err(_) => eprintln!("{what}, {} s …", started.elapsed().as_secs()),
        }
    }
    Err(format!("{what} took longer than {limit:?}"))
}

/// Moves a program into its place in one step, so that nobody ever sees half of it.
pub(super) fn put(program: &Path, directory: &Path) -> Result<(), String> {
    let name = program.file_name().ok_or_else(|| format!("{} has no name", program.display()))?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::rename(program, directory.join(name)))
        .map_err(|error| format!("cannot install {}: {error}", program.display()))
}

/// Makes a temporary directory in the cache, hence on its file system, where a rename can reach the
/// final place.
pub(super) fn staging(cache: &Path) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new().prefix(".making-").tempdir_in(cache);
    made.map_err(|error| format!("no temporary directory in {}: {error}", cache.display()))
}
