//! Programs of other projects in this user's cache. They are found, or made once under a lock.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::guard::{Guarded, GuardedCommand};

/// How often a long step reports that it still runs.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often a lock is tried while another process holds it.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The number of lines of a failed command's output in its error.
const TAIL: usize = 15;

/// Our cache, beside those of this user's other programs.
pub(crate) fn find() -> Option<PathBuf> {
    let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(caches.join("booking-operator"))
}

/// The path in an environment variable; an empty one counts as absent.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The path, if it leads to a program.
pub(crate) fn executable(path: PathBuf) -> Option<PathBuf> {
    let metadata = fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(path)
}

/// The program that a shell would find.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(|directory| executable(directory.join(name)))
}

/// Reports the progress of a long step on stderr directly, because a test runner holds back the output of the print
/// macros until the test is over.
pub(crate) fn say(line: &str) {
    // If nobody reads stderr, that is no failure.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Waits for a lock. The kernel frees it when its holder ends, even if the holder is killed. `what` names what the
/// holder makes.
pub(crate) async fn lock(path: &Path, what: &str) -> io::Result<File> {
    let file = File::create(path)?;
    let mut said = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                if said.elapsed() >= PROGRESS {
                    say(&format!("waiting for another process that makes {what} …"));
                    said = Instant::now();
                }
                tokio::time::sleep(LOCK_POLL).await;
            }
        }
    }
}

/// Runs a command to its end, and reports `what` it is every few seconds. If it takes longer than `limit`, that is an
/// error.
///
/// The guard is returned because it removes the command's temporary directory when it is dropped.
pub(crate) async fn run(command: GuardedCommand, what: &str, limit: Duration) -> Result<Guarded, String> {
    let process = command.spawn().map_err(|error| error.to_string())?;
    let started = Instant::now();
    while started.elapsed() < limit {
        match tokio::time::timeout(PROGRESS.min(limit), process.wait()).await {
            Ok(Some(0)) => return Ok(process),
            Ok(code) => {
                let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                return Err(format!("{what} failed with exit code {code}:\n{}", process.log_tail(TAIL)));
            }
            Err(_) => say(&format!("{what}, {} s …", started.elapsed().as_secs())),
        }
    }
    Err(format!("{what} took longer than {limit:?}"))
}

/// Moves a program into its place in one step, so that nobody ever sees a part of it.
pub(crate) fn put(program: &Path, directory: &Path) -> Result<(), String> {
    let name = program.file_name().ok_or_else(|| format!("{} has no name", program.display()))?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::rename(program, directory.join(name)))
        .map_err(|error| format!("cannot install {}: {error}", program.display()))
}

/// Makes a temporary directory in the cache. It is on the same file system, so a rename can reach the final place.
pub(crate) fn staging(cache: &Path) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new().prefix(".making-").tempdir_in(cache);
    made.map_err(|error| format!("no temporary directory in {}: {error}", cache.display()))
}
