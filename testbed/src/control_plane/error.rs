//! The errors of a control plane.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::guard::GuardError;

/// Why there is no control plane, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// All ways to get etcd and kube-apiserver failed.
    #[error("no etcd and kube-apiserver to be had; tried:\n{}", bullets(tried))]
    NoBinaries {
        /// Each way tried, and why it failed.
        tried: Vec<String>,
    },
    /// A file or directory of the test bed could not be used.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// No free port could be picked on the loopback interface.
    #[error("cannot pick a free port on 127.0.0.1: {0}")]
    Port(io::Error),
    /// The throw-away certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A process could not be started, ended or signalled.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A process ended before it was ready.
    #[error("{program} ended with code {code} before it was ready; its log ends with:\n{log}")]
    Ended {
        /// The program.
        program: &'static str,
        /// Its exit code.
        code: i32,
        /// The last lines of its log.
        log: String,
    },
    /// A process did not become ready in time.
    #[error("{program} was not ready after {limit:?} ({last}); its log ends with:\n{log}")]
    NotReady {
        /// The program.
        program: &'static str,
        /// How long it was waited for.
        limit: Duration,
        /// The last answer to the question whether it is ready.
        last: String,
        /// The last lines of its log.
        log: String,
    },
    /// A kubeconfig could not be read or understood.
    #[error("{path}: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The reason. It is boxed because it is by far the largest.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The API server answered a request of a helper with an error.
    #[error("kube-apiserver: {0}")]
    Api(#[source] Box<kube::Error>),
    /// Objects were still there when the time to delete them was over.
    #[error("{kind} objects still in namespace {namespace} after {limit:?}")]
    StillThere {
        /// The kind that was waited for.
        kind: String,
        /// The namespace.
        namespace: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Somebody else started the control plane, so its processes cannot be stopped from here.
    #[error(
        "the control plane named by {} is not ours to stop or start",
        super::variables::KUBECONFIG_VARIABLE
    )]
    NotOurs,
    /// No kubectl was found, neither beside kube-apiserver nor on PATH.
    #[error("no kubectl beside kube-apiserver and none on PATH")]
    NoKubectl,
}

impl From<kube::Error> for ControlPlaneError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

impl ControlPlaneError {
    /// Wraps an I/O error with the path it concerns.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}
