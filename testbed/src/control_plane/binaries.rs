//! Finds or makes etcd, kube-apiserver and kubectl.
//!
//! The places in order: the directory in `KUBEBUILDER_ASSETS`, our cache, the published test-control-plane archive, a
//! build with Go from the modules that `testbed/control-plane` pins. The last two fill the cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ControlPlaneError;
use super::variables::ASSETS_VARIABLE;
use super::versions::{ETCD_VERSION, KUBERNETES_VERSION};
use super::{build, published};
use crate::cache_dir::{self, executable, on_path, variable};

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
    /// Finds the programs, or makes them. That can take minutes, and it reports its progress on stderr.
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
        let Some(cache) = cache_dir::find() else {
            tried.push("the cache: neither XDG_CACHE_HOME nor HOME is set".to_owned());
            return Err(ControlPlaneError::NoBinaries { tried });
        };
        let places = [built_directory(&cache), published::directory(&cache)];
        match Self::in_any(&places) {
            Ok(found) => return Ok(found),
            Err(why) => tried.extend(why),
        }
        fs::create_dir_all(&cache).map_err(ControlPlaneError::file(&cache))?;
        let lock = cache.join(".lock");
        let _lock = cache_dir::lock(&lock, "the control plane's programs")
            .await
            .map_err(ControlPlaneError::file(&lock))?;
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

/// The programs of a node, and those of its control plane except etcd and kube-apiserver. They are always built,
/// because no published archive has them.
#[derive(Clone, Debug)]
pub struct NodeBinaries {
    /// The path of kube-controller-manager.
    pub controller_manager: PathBuf,
    /// The path of kube-scheduler.
    pub scheduler: PathBuf,
    /// The path of kubelet.
    pub kubelet: PathBuf,
    /// The path of kube-proxy.
    pub proxy: PathBuf,
}

impl NodeBinaries {
    /// Finds the programs in the cache, or builds them. That takes minutes, and it reports its progress on stderr.
    ///
    /// # Errors
    /// [`ControlPlaneError::NoBinaries`] with everything that was tried.
    pub async fn find_or_make() -> Result<Self, ControlPlaneError> {
        let none = |why: String| ControlPlaneError::NoBinaries { tried: vec![why] };
        let cache =
            cache_dir::find().ok_or_else(|| none("neither XDG_CACHE_HOME nor HOME is set".to_owned()))?;
        let directory = built_directory(&cache);
        std::fs::create_dir_all(&directory).map_err(ControlPlaneError::file(&directory))?;
        let lock = cache.join(".lock");
        let _lock =
            cache_dir::lock(&lock, "a node's programs").await.map_err(ControlPlaneError::file(&lock))?;
        build::install_node(&cache, &directory).await.map_err(none)?;
        let path = |name: &str| {
            executable(directory.join(name))
                .ok_or_else(|| none(format!("no program {name} in {}", directory.display())))
        };
        Ok(Self {
            controller_manager: path("kube-controller-manager")?,
            scheduler: path("kube-scheduler")?,
            kubelet: path("kubelet")?,
            proxy: path("kube-proxy")?,
        })
    }
}

fn built_directory(cache: &Path) -> PathBuf {
    cache.join(format!("control-plane-{KUBERNETES_VERSION}-{ETCD_VERSION}"))
}
