//! A real mail server, aiosmtpd. It keeps the mail that it gets, and it fails when it is told to.
//!
//! It is installed once into this user's cache, with every package pinned by version and checksum
//! (`testbed/smtp/requirements.txt`), and runs `testbed/smtp/server.py`.

mod control;
mod error;
mod mail;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};

use self::control::{Connection, Order};
pub use self::error::SmtpError;
pub use self::mail::ReceivedMail;
use crate::guard::{Guarded, GuardedCommand};
use crate::patience::patient;
use crate::ports::free_port;
use crate::python::Environment;
use crate::tls::{LocalServer, write_private};

/// The version of aiosmtpd that is installed. It is the same as in `smtp/requirements.txt`.
pub const AIOSMTPD_VERSION: &str = "1.4.6";

const ENVIRONMENT: Environment = Environment {
    name: "smtp",
    version: AIOSMTPD_VERSION,
    requirements: include_str!("../../smtp/requirements.txt"),
};

const SCRIPT: &str = include_str!("../../smtp/server.py");

/// The name of the socket in the server's directory to which the server connects.
const CONTROL: &str = "control";

/// The start takes less than a second on two idle cores. A machine that also compiles is many times slower.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How long an order may take. It only needs a few system calls.
const ORDER_LIMIT: Duration = Duration::from_mins(1);

/// How often the start is tried if another process takes the port that was free a moment ago.
const START_ATTEMPTS: usize = 3;

/// The time between TERM and KILL. A kill loses nothing.
const GRACE: Duration = Duration::from_millis(500);

/// The number of lines of the log in an error.
const TAIL: usize = 20;

/// How a sender must speak to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpMode {
    /// Without TLS. The server has none.
    #[default]
    Plain,
    /// With or without TLS after STARTTLS.
    StarttlsOffered,
    /// With TLS after STARTTLS. Before it, mail is refused.
    StarttlsRequired,
    /// With TLS from the beginning.
    Tls,
}

/// The one user of a server.
#[derive(Debug, Clone, Serialize)]
pub struct SmtpLogin {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a server requires of its senders.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SmtpConfig {
    /// How senders must speak to it.
    pub mode: SmtpMode,
    /// The user who may send. If it is None, everybody may send, and nobody can log in.
    pub auth: Option<SmtpLogin>,
    /// Whether a sender may log in without TLS.
    pub auth_without_tls: bool,
    /// Recipients that are refused for good (550), with exactly this spelling.
    pub refused: Vec<String>,
    /// Recipients that are refused the first time (450), with exactly this spelling.
    pub greylisted: Vec<String>,
    /// How long a sender waits for the answer when its message is taken, in milliseconds.
    pub slow_ms: u64,
}

/// A running mail server. It ends with this value, or with this process, even if that is killed.
#[derive(Debug)]
pub struct SmtpServer {
    process: Guarded,
    port: u16,
    ca_pem: Option<PathBuf>,
    orders: mpsc::Sender<Order>,
    mail: watch::Receiver<Vec<ReceivedMail>>,
}

impl SmtpServer {
    /// Starts a server. If needed, it installs aiosmtpd first, which can take minutes, and it reports its progress on
    /// stderr.
    ///
    /// # Errors
    /// If it cannot be installed, or does not become ready. The error shows the end of the log.
    pub async fn start(config: SmtpConfig) -> Result<Self, SmtpError> {
        let python = ENVIRONMENT.find_or_make().await?;
        let mut attempt = 1;
        loop {
            match Self::try_start(&python, &config).await {
                Err(error) if attempt < START_ATTEMPTS && error.is_lost_port() => attempt += 1,
                result => return result,
            }
        }
    }

    /// The port on 127.0.0.1. It stays the same when the server goes down and up.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The CA of its certificate for 127.0.0.1 and localhost. None without TLS.
    pub fn ca_pem_path(&self) -> Option<&Path> {
        self.ca_pem.as_deref()
    }

    /// All messages so far. If a sender was told that its message was taken, the message is here.
    pub fn messages(&self) -> Vec<ReceivedMail> {
        self.mail.borrow().clone()
    }

    /// Waits until there are `count` messages or more, and returns all.
    ///
    /// # Errors
    /// If they do not arrive within `limit`, or the server is gone.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<ReceivedMail>, SmtpError> {
        let mut mail = self.mail.clone();
        let arrived = tokio::time::timeout(limit, mail.wait_for(|mail| mail.len() >= count)).await;
        match arrived {
            Ok(Ok(mail)) => Ok(Vec::clone(&mail)),
            Ok(Err(_)) => Err(self.gone()),
            Err(_) => Err(SmtpError::Missing {
                expected: count,
                arrived: self.mail.borrow().len(),
                limit,
                log: self.process.log_tail(TAIL),
            }),
        }
    }

    /// Refuses connections from now on, as a server does when it is stopped. Present connections end when the messages
    /// on their way are taken and their senders are told so.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn down(&self) -> Result<(), SmtpError> {
        self.order("down").await
    }

    /// Refuses connections from now on, and cuts the present ones, as a server does when it crashes.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn cut(&self) -> Result<(), SmtpError> {
        self.order("cut").await
    }

    /// Serves again, after [`SmtpServer::down`], [`SmtpServer::cut`] or [`SmtpServer::hang`].
    ///
    /// # Errors
    /// If the server is gone, or cannot listen.
    pub async fn up(&self) -> Result<(), SmtpError> {
        self.order("up").await
    }

    /// Accepts connections and says nothing from now on, and cuts the present ones.
    ///
    /// # Errors
    /// If the server is gone, or cannot listen.
    pub async fn hang(&self) -> Result<(), SmtpError> {
        self.order("hang").await
    }

    /// Ends the server and waits for it. Drop does the same, but it blocks.
    pub async fn stop(self) {
        self.process.stop().await;
    }

    async fn try_start(python: &Path, config: &SmtpConfig) -> Result<Self, SmtpError> {
        let temporary = tempfile::Builder::new()
            .prefix("booking-smtp-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(SmtpError::io(std::env::temp_dir().display()))?;
        let at = temporary.path().to_path_buf();
        let port = free_port().map_err(SmtpError::io("a free port on 127.0.0.1"))?;
        let ca_pem = write_files(&at, config, port)?;
        let control = UnixListener::bind(at.join(CONTROL)).map_err(SmtpError::io(at.display()))?;
        let process = GuardedCommand::new(python, at.join("log"))
            // The environment must not affect the server.
            .args(["-I", "server.py", "settings.json"])
            .current_dir(&at)
            .remove_at_end(&at)
            .grace(GRACE)
            .spawn()?;
        // From here on the guard removes it, even if this process is killed.
        let _ = temporary.keep();
        let log = || process.log_tail(TAIL);
        let limit = patient(READY_LIMIT);
        let connection = tokio::select! {
            made = tokio::time::timeout(limit, Connection::accept(&control)) => match made {
                Ok(made) => made.map_err(|_| SmtpError::Ended { log: log() })?,
                Err(_) => return Err(SmtpError::NotReady { limit, log: log() }),
            },
            _ = process.wait() => return Err(SmtpError::Ended { log: log() }),
        };
        let (orders, ordered) = mpsc::channel(1);
        let (arrived, mail) = watch::channel(Vec::new());
        tokio::spawn(connection.follow(ordered, arrived));
        Ok(Self { process, port, ca_pem, orders, mail })
    }

    async fn order(&self, what: &'static str) -> Result<(), SmtpError> {
        let (done, outcome) = oneshot::channel();
        let given = async {
            self.orders.send(Order { what, done }).await.ok()?;
            outcome.await.ok()
        };
        match tokio::time::timeout(patient(ORDER_LIMIT), given).await {
            Ok(Some(outcome)) => outcome.map_err(SmtpError::Order),
            Ok(None) | Err(_) => Err(self.gone()),
        }
    }

    fn gone(&self) -> SmtpError {
        SmtpError::Gone { log: self.process.log_tail(TAIL) }
    }
}

/// Writes the program and its input files. Returns the CA's file, if the server has TLS.
fn write_files(at: &Path, config: &SmtpConfig, port: u16) -> Result<Option<PathBuf>, SmtpError> {
    let path = |name: &str| at.join(name);
    let settings = json!({
        "port": port,
        "mode": config.mode,
        "auth": config.auth,
        "auth_without_tls": config.auth_without_tls,
        "refused": config.refused,
        "greylisted": config.greylisted,
        "slow_ms": config.slow_ms,
        "control": CONTROL,
        "certificate": "server.pem",
        "key": "server.key",
    });
    let mut files = vec![("server.py", SCRIPT.to_owned()), ("settings.json", settings.to_string())];
    let tls = config.mode != SmtpMode::Plain;
    if tls {
        let LocalServer { ca, identity } = LocalServer::generate()?;
        files.extend([("ca.pem", ca), ("server.pem", identity.certificate), ("server.key", identity.key)]);
    }
    for (name, content) in files {
        write_private(&path(name), &content).map_err(SmtpError::io(path(name).display()))?;
    }
    Ok(tls.then(|| path("ca.pem")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_named_after_the_version_that_is_pinned() {
        let pin = format!("aiosmtpd=={AIOSMTPD_VERSION} ");
        assert!(ENVIRONMENT.requirements.lines().any(|line| line.starts_with(&pin)));
    }

    #[test]
    fn every_package_is_pinned_by_version_and_checksum() {
        let packages = ENVIRONMENT.requirements.replace("\\\n", " ");
        let packages: Vec<&str> = packages.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(packages.len(), 3);
        for package in packages {
            assert!(package.contains("==") && package.contains("--hash=sha256:"), "{package}");
        }
    }
}
