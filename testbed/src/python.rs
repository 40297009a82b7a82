//! Python environments for programs of other projects. They are installed once into this user's cache, with every
//! package pinned by version and checksum.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache_dir::{self, executable, on_path, run, say, staging};
use crate::guard::GuardedCommand;

/// The pins of an installation, in its directory. If they differ from ours, the environment is made again.
const PINS: &str = "requirements.txt";

/// It takes half a minute on two idle cores, and 60 packages are fetched.
const INSTALL_LIMIT: Duration = Duration::from_mins(15);

/// Makes the environment in one guarded shell, so that every step ends with the owner. $1 is python3, and the directory
/// has the pins. The versions are those that the pinned packages accept.
const SCRIPT: &str = r#"set -e
"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$("$1" --version) is too old: install Python 3.11 or newer"
    exit 1
}
"$1" -c 'import ensurepip, venv' || {
    echo "python3 has no venv or no pip: install them (Debian, Ubuntu: apt-get install python3-venv)"
    exit 1
}
"$1" -m venv venv
venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps \
    --require-hashes --only-binary :all: --requirement requirements.txt
mv requirements.txt venv/"#;

/// Why there is no Python environment.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// There is no Python.
    #[error(
        "no python3 on PATH: install Python 3.11 or newer with venv and pip (Debian, Ubuntu: python3-venv)"
    )]
    NoPython,
    /// There is no folder to install to.
    #[error("nowhere to install {0}: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache(&'static str),
    /// A file or directory could not be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or directory.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// The installation failed.
    #[error("cannot install {name} {version}: {reason}")]
    Install {
        /// The program.
        name: &'static str,
        /// Its version.
        version: &'static str,
        /// The reason.
        reason: String,
    },
}

impl PythonError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = path.display().to_string();
        move |source| Self::Io { what, source }
    }
}

/// A program in Python and all packages that it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    /// The name of the program here.
    pub(crate) name: &'static str,
    /// The program's version. It is part of the cache's name.
    pub(crate) version: &'static str,
    /// The packages, as pip reads them, each with its version and checksums.
    pub(crate) requirements: &'static str,
}

impl Environment {
    /// The Python that has the packages. If needed, it installs them first, which can take minutes, and it reports its
    /// progress on stderr.
    pub(crate) async fn find_or_make(&self) -> Result<PathBuf, PythonError> {
        let cache = cache_dir::find().ok_or(PythonError::NoCache(self.name))?;
        let directory = cache.join(format!("{}-{}", self.name, self.version));
        if let Some(python) = self.installed(&directory) {
            return Ok(python);
        }
        fs::create_dir_all(&cache).map_err(PythonError::io(&cache))?;
        let lock = cache.join(format!(".lock-{}", self.name));
        let what = format!("{}'s installation", self.name);
        let _lock = cache_dir::lock(&lock, &what).await.map_err(PythonError::io(&lock))?;
        // Another process may have filled the cache while this one waited.
        if let Some(python) = self.installed(&directory) {
            return Ok(python);
        }
        self.install(&cache, &directory).await?;
        self.installed(&directory).ok_or_else(|| self.failed("no Python in what was installed".to_owned()))
    }

    /// The Python of a usable environment. It was made from the present pins, and the Python that made it still exists.
    fn installed(&self, directory: &Path) -> Option<PathBuf> {
        let pins = fs::read_to_string(directory.join(PINS)).ok()?;
        executable(directory.join("bin/python")).filter(|_| pins == self.requirements)
    }

    async fn install(&self, cache: &Path, directory: &Path) -> Result<(), PythonError> {
        let python = on_path("python3").ok_or(PythonError::NoPython)?;
        let staging = staging(cache).map_err(|reason| self.failed(reason))?;
        let at = staging.path();
        fs::write(at.join(PINS), self.requirements).map_err(PythonError::io(at))?;
        let command = GuardedCommand::new("/bin/sh", at.join("log"))
            .args(["-c", SCRIPT, "install"])
            .arg(python)
            .current_dir(at)
            .remove_at_end(at);
        let what = format!("installing {} {}", self.name, self.version);
        say(&format!("{what} (once; it is then kept in {})", directory.display()));
        let process = run(command, &what, INSTALL_LIMIT).await.map_err(|reason| self.failed(reason))?;
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(PythonError::io(directory))?;
        }
        let moved = fs::rename(at.join("venv"), directory).map_err(PythonError::io(directory));
        process.stop().await;
        moved
    }

    fn failed(&self, reason: String) -> PythonError {
        PythonError::Install { name: self.name, version: self.version, reason }
    }
}
