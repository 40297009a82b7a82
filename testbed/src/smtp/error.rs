//! The errors of a mail server.

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
        /// The file, directory or port.
        what: String,
        /// The reason.
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
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The process has ended, or it does not carry out orders any more.
    #[error("the mail server is out of reach; its log ends with:\n{log}")]
    Gone {
        /// The last lines of its log.
        log: String,
    },
    /// The server could not carry out an order.
    #[error("the mail server could not go {0}")]
    Order(String),
    /// Fewer messages than expected were taken in time.
    #[error("{arrived} of {expected} messages after {limit:?}; the mail server's log ends with:\n{log}")]
    Missing {
        /// The expected number of messages.
        expected: usize,
        /// The number of messages that arrived.
        arrived: usize,
        /// How long they were waited for.
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

    /// Whether another process took the port after we had found it free.
    pub(super) fn is_lost_port(&self) -> bool {
        matches!(self, Self::Ended { log } if log.contains("Address already in use"))
    }
}
