//! moto, another project's simulation of AWS. It is a second opinion on the answers of our simulator.
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

/// The version that is installed. It is the same as in `moto/requirements.txt`.
pub const MOTO_VERSION: &str = "5.2.5";

/// The region of moto's instances, for callers that name no other region.
pub const MOTO_REGION: &str = "eu-central-1";

const REQUIREMENTS: &str = include_str!("../moto/requirements.txt");

const ENVIRONMENT: Environment =
    Environment { name: "moto", version: MOTO_VERSION, requirements: REQUIREMENTS };

/// The start takes about 3 s on two idle cores. A machine that also compiles is many times slower.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How often the server is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(50);

/// How often the start is tried if another process takes the port that was free a moment ago.
const START_ATTEMPTS: usize = 3;

/// The number of lines of the log in an error.
const TAIL: usize = 20;

/// Why there is no moto.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// There is no Python.
    #[error(
        "no python3 on PATH: install Python 3.11 or newer with venv and pip (Debian, Ubuntu: python3-venv)"
    )]
    NoPython,
    /// There is no folder to install to.
    #[error("nowhere to install moto: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// A file, directory or port could not be used.
    #[error("{what}: {source}")]
    Io {
        /// The file, directory or port.
        what: String,
        /// The reason.
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

    /// Whether another process took the port after we had found it free.
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

/// A running moto server. It ends with this value, or with this process, even if that is killed.
#[derive(Debug)]
pub struct MotoServer {
    process: Guarded,
    url: String,
}

impl MotoServer {
    /// Starts a server. If needed, it installs moto first, which can take minutes, and it reports its progress on
    /// stderr.
    ///
    /// # Errors
    /// If it cannot be installed, or does not become ready. The error shows the end of the log.
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

    /// The server of this process, which the first caller starts.
    ///
    /// # Errors
    /// The errors of [`MotoServer::start`]. The next caller tries again.
    pub async fn shared() -> Result<&'static Self, MotoError> {
        // A static is never dropped. The guard notices the end of the process by itself.
        static SHARED: OnceCell<MotoServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The URL of the server, which is the endpoint URL for an SDK. It accepts any credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Ends the server and waits for it. Drop does the same, but it blocks.
    pub async fn stop(self) {
        self.process.stop().await;
    }

    async fn try_start(python: &Path) -> Result<Self, MotoError> {
        let temporary = tempfile::Builder::new().prefix("booking-moto-").tempdir();
        let temporary = temporary.map_err(MotoError::io(std::env::temp_dir().display()))?;
        let port = free_port().map_err(MotoError::io("a free port on 127.0.0.1"))?;
        let process = GuardedCommand::new(python, temporary.path().join("log"))
            // bin/moto_server is not used, because it names the Python that installed it, and that has been moved
            // since.
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

    /// Asks again and again, for a limited time, until EC2 answers or the process has ended.
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

    /// Makes an EC2 call. moto loads a service at the first call to it, which takes seconds. They must not count for a
    /// test's first call.
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
