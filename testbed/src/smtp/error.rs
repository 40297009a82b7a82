//! What can go wrong with a mail server.

use std::io;
use std::time::Duration;

use crate::guard::GuardError;
use crate::python::PythonError;

/// Why there is no mail server, or no mail.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// aiosmtpd cannot be installed.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// A file, directory or port could not be used.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The throw-away certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The process could not be started.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The process ended before it was ready.
    #[error("the mail server ended before it was ready; its log ends with:\n{log}")]
    Ended {
        /// The last lines of its log.
        log: String,
    },
    /// The process did not become ready in time.
    #[error("the mail server was not ready after {limit:?}; its log ends with:\n{log}")]
    NotReady {
        /// How long was waited.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The process ended, or no longer does what it is told.
    #[error("the mail server is out of reach; its log ends with:\n{log}")]
    Gone {
        /// The last lines of its log.
        log: String,
    },
    /// The server could not do what it was told.
    #[error("the mail server could not go {0}")]
    Order(String),
    /// Fewer messages than expected were taken in time.
    #[error("{arrived} of {expected} messages after {limit:?}; the mail server's log ends with:\n{log}")]
    Missing {
        /// How many were waited for.
        expected: usize,
        /// How many there are.
        arrived: usize,
        /// How long was waited.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
}

impl SmtpError {
    pub(super) fn io(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }

    /// Whether another process took the port between our look and the program's start.
    pub(super) fn is_lost_port(&self) -> bool {
        matches!(self, Self::Ended { log } if log.contains("Address already in use"))
    }
}
