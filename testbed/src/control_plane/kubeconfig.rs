//! Reads kubeconfigs for the test bed.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::error::ControlPlaneError;

/// A client's configuration from a file.
pub(super) async fn read_kubeconfig(path: &Path) -> Result<kube::Config, ControlPlaneError> {
    let error = |source| ControlPlaneError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(error)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(error)
}
