//! moto, another project's stand-in for AWS: a second opinion on what the simulator says.
//!
//! It is installed once into this user's cache, with every package pinned by version and checksum
//! (`testbed/moto/requirements.txt`).

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::guard::{GuardError, Guarded, GuardedCommand};
use crate::patience::patient;
use crate::ports::free_port;
use crate::python::{Environment, PythonError};

/// The version that is installed; the same as in `moto/requirements.txt`.
pub const MOTO_VERSION: &str = "5.2.5";

/// Where moto's instances live, for callers that name no other region.
pub const MOTO_REGION: &str = "eu-central-1";

const REQUIREMENTS: &str = include_str!("../moto/requirements.txt");

const ENVIRONMENT: Environment =
    Environment { name: "moto", version: MOTO_VERSION, requirements: REQUIREMENTS };

/// It takes about 3 s on two idle cores; a machine that also compiles is many times slower.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);

/// How often the start is tried when another process took the port that had just been free.
const START_ATTEMPTS: usize = 3;

/// How many lines of the log an error shows.
const TAIL: usize = 20;

/// Why there is no moto.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// No Python.
    #[error(
        "no python3 on PATH: install Python 3.11 or newer with venv and pip (Debian, Ubuntu: python3-venv)"
    )]
    NoPython,
    /// Nowhere to install to.
    #[error("nowhere to install moto: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// A file, directory or port could not be used.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The installation failed.
    #[error("cannot install moto {MOTO_VERSION}: {0}")]
    Install(String),
    /// The process could not be started.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The process ended before it was ready.
    #[error("moto_server ended with code {code} before it was ready; its log ends with:\n{log}")]
    Ended {
        /// Its exit code.
        code: i32,
        /// The last lines of its log.
        log: String,
    },
    /// The process did not become ready in time.
    #[error(
        "moto_server was not ready after {limit:?} ({last}); its log ends with:\n{log}",
        limit = patient(READY_LIMIT)
    )]
    NotReady {
        /// The last answer to the question whether it is ready.
        last: String,
        /// The last lines of its log.
        log: String,
    },
}

impl MotoError {
    fn io(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }

    /// Whether another process took the port between our look and the program's start.
    fn is_lost_port(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("Address already in use"))
    }
}

impl From<PythonError> for MotoError {
    fn from(error: PythonError) -> Self {
        match error {
            PythonError::NoPython => Self::NoPython,
            PythonError::NoCache(_) => Self::NoCache,
            PythonError::Io { what, source } => Self::Io { what, source },
            PythonError::Install { reason, .. } => Self::Install(reason),
        }
    }
}

/// A running moto server. It ends with this value, or with this process, however that ends.
#[derive(Debug)]
pub struct MotoServer {
    process: Guarded,
    url: String,
}

impl MotoServer {
    /// Starts a server, after having installed it if need be: that can take minutes, and says on
    /// stderr how far it is.
    ///
    /// # Errors
    /// It can't be installed, or does not become ready; the error shows the end of the log.
    pub async fn start() -> Result<Self, MotoError> {
        let python = ENVIRONMENT.find_or_make().await?;
        let mut attempt = 1;
        loop {
            match Self::try_start(&python).await {
                Err(error) if attempt < START_ATTEMPTS && error.is_lost_port() => attempt += 1,
                result => return result,
            }
        }
    }

    /// The server of this process, started by the first caller.
    ///
    /// # Errors
    /// As [`MotoServer::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, MotoError> {
        // Never dropped, as no static is: the guard notices the end of the process by itself.
        static SHARED: OnceCell<MotoServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Where it is to be reached; the endpoint URL for an SDK. It takes any credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Ends the server and waits for it; Drop does the same but blocks.
    pub async fn stop(self) {
        self.process.stop().await;
    }

    async fn try_start(python: &Path) -> Result<Self, MotoError> {
        let temporary = tempfile::Builder::new().prefix("booking-moto-").tempdir();
        let temporary = temporary.map_err(MotoError::io(std::env::temp_dir().display()))?;
        let port = free_port().map_err(MotoError::io("a free port on 127.0.0.1"))?;
        let process = GuardedCommand::new(python, temporary.path().join("log"))
            // Not bin/moto_server: a script names the Python it was installed by, and has been moved since.
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()])
            .env_remove("MOTO_PORT")
            .current_dir(temporary.path())
            .remove_at_end(temporary.path())
            .spawn()?;
        // From here on the guard removes it, even if this process is killed.
        let _ = temporary.keep();
        let server = Self { process, url: format!("http://{}:{port}", Ipv4Addr::LOCALHOST) };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Asks again and again, bounded, until EC2 answers or the process has ended.
    async fn wait_until_ready(&self) -> Result<(), MotoError> {
        let deadline = Instant::now() + patient(READY_LIMIT);
        loop {
            let last = match tokio::time::timeout_at(deadline, self.describe()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if let Some(code) = self.process.try_wait() {
                return Err(MotoError::Ended { code, log: self.process.log_tail(TAIL) });
            }
            if Instant::now() >= deadline {
                return Err(MotoError::NotReady { last, log: self.process.log_tail(TAIL) });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// An EC2 call: moto loads a service at the first call to it, for seconds, which must not count
    /// as the time that a test's first call takes.
    async fn describe(&self) -> reqwest::Result<()> {
        let scope = format!("test/20260101/{MOTO_REGION}/ec2/aws4_request");
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=unchecked");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http
            .post(&self.url)
            .header("authorization", authorization)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=DescribeInstances&Version=2016-11-15")
            .send()
            .await?;
        answer.error_for_status().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_named_after_the_version_that_is_pinned() {
        assert!(REQUIREMENTS.lines().any(|line| line.starts_with(&format!("moto=={MOTO_VERSION} "))));
    }

    #[test]
    fn every_package_is_pinned_by_version_and_checksum() {
        let packages = REQUIREMENTS.replace("\\\n", " ");
        let packages: Vec<&str> =
            packages.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert!(packages.len() > 30);
        for package in packages {
            assert!(package.contains("==") && package.contains("--hash=sha256:"), "{package}");
        }
    }
}
