//! Child processes that never outlive their owner, even if the owner is killed with SIGKILL.
//!
//! A small shell script in a process group of its own stands between owner and child. It holds the reading end of a
//! pipe, and only the owner has the writing end. The kernel closes that end when the owner ends, even by SIGKILL. At
//! end-of-file the script ends the child (TERM, then KILL), removes the directories that it was given, and ends the
//! rest of its group. This does not need `PR_SET_PDEATHSIG`, which only unsafe code can set, and which belongs to the
//! thread and not to the process. There is one thing that this cannot survive: a session-wide SIGKILL that also hits
//! the script.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use crate::patience::patient;

/// The script between owner and child. Its own comments say why it does what it does.
const SCRIPT: &str = include_str!("guard.sh");

/// How long the script may take to report the child's process id. It only has to fork, but the machine may be loaded.
const SPAWN_LIMIT: Duration = Duration::from_secs(20);

/// How much longer than the grace period the script may take to remove directories.
const CLEANUP_LIMIT: Duration = Duration::from_secs(5);

/// How often a blocking wait (only in `Drop`) looks again.
const DROP_POLL: Duration = Duration::from_millis(5);

/// The errors of a guarded process.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The log file could not be opened.
    #[error("cannot open the log {path}: {source}")]
    Log {
        /// The log file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A directory to be removed has no usable path.
    #[error("cannot guard the directory {0:?}: its path must be absolute and without a line break")]
    Directory(PathBuf),
    /// The guard could not be started.
    #[error("cannot start the guard: {0}")]
    Spawn(io::Error),
    /// The guard did not say which process it started.
    #[error("the guard did not start its child within {limit:?}", limit = patient(SPAWN_LIMIT))]
    NotStarted,
    /// A signal could not be sent.
    #[error("cannot signal process {pid}: {source}")]
    Signal {
        /// The child's process id.
        pid: i32,
        /// The reason.
        source: io::Error,
    },
}

/// A command that runs under a guard.
#[derive(Debug)]
pub struct GuardedCommand {
    command: Command,
    log: PathBuf,
    directories: Vec<PathBuf>,
    grace: Duration,
}

impl GuardedCommand {
    /// A command that runs `program`. Its output is appended to the file `log`, and its stdin is empty.
    pub fn new(program: impl AsRef<OsStr>, log: impl Into<PathBuf>) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("guard").arg(program);
        Self { command, log: log.into(), directories: Vec::new(), grace: Duration::from_secs(2) }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable of the owner from the child's environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the child's working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Removes this absolute directory after the owner has let go and the child is gone.
    #[must_use]
    pub fn remove_at_end(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// Sets the time between TERM and KILL. The default is 2 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Starts the child. It blocks for the time of a fork.
    ///
    /// If a program cannot be run, it exits with code 126 or 127 and a line in the log, as in any shell.
    ///
    /// # Errors
    /// If the log cannot be opened, a directory's path is not usable, or the guard itself cannot be started.
    pub fn spawn(mut self) -> Result<Guarded, GuardError> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log);
        let log = log.map_err(|source| GuardError::Log { path: self.log.clone(), source })?;
        self.command
            .env("GUARD_DIRECTORIES", one_per_line(&self.directories)?)
            .env("GUARD_GRACE", format!("{:.3}", self.grace.as_secs_f64()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Signals to the owner's group (Ctrl-C, a runner's SIGKILL) must not hit the guard.
            .process_group(0);
        let mut guard = self.command.spawn().map_err(GuardError::Spawn)?;
        let pipe = guard.stdin.take();
        let (exit_sender, exit) = watch::channel(None);
        let (pid_sender, pid) = mpsc::channel();
        if let Some(reports) = guard.stdout.take() {
            std::thread::spawn(move || follow(reports, &pid_sender, &exit_sender));
        }
        let limit = self.grace + patient(CLEANUP_LIMIT);
        let mut guarded = Guarded { guard, pipe, pid: 0, handle: None, exit, log: self.log, limit };
        guarded.pid = pid.recv_timeout(patient(SPAWN_LIMIT)).map_err(|_| GuardError::NotStarted)?;
        // If the child is already gone, it has no handle and needs none.
        guarded.handle = Pid::from_raw(guarded.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(guarded)
    }
}

fn one_per_line(directories: &[PathBuf]) -> Result<OsString, GuardError> {
    let mut lines = OsString::new();
    for directory in directories {
        if !directory.is_absolute() || directory.as_os_str().as_bytes().contains(&b'\n') {
            return Err(GuardError::Directory(directory.clone()));
        }
        lines.push(directory);
        lines.push("\n");
    }
    Ok(lines)
}

/// Reads the guard's reports: the child's process id, then its exit code. It ends with the guard, and closes `exit`.
fn follow(reports: ChildStdout, pid: &mpsc::Sender<i32>, exit: &watch::Sender<Option<i32>>) {
    let mut numbers =
        BufReader::new(reports).lines().map_while(Result::ok).filter_map(|line| line.parse().ok());
    if let Some(number) = numbers.next() {
        // If the owner does not wait any more, it has dropped the guard, which then ends by itself.
        let _ = pid.send(number);
    }
    if let Some(code) = numbers.next() {
        exit.send_replace(Some(code));
    }
    numbers.for_each(drop);
}

/// A running child process. It ends with this value or with this process, whichever ends first.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    pipe: Option<ChildStdin>,
    pid: i32,
    handle: Option<OwnedFd>,
    exit: watch::Receiver<Option<i32>>,
    log: PathBuf,
    limit: Duration,
}

impl Guarded {
    /// The child's process id (not the guard's).
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The file with the child's output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `count` lines of the log.
    pub fn log_tail(&self, count: usize) -> String {
        log_tail(&self.log, count)
    }

    /// The child's exit code if it has ended, without waiting. If a signal ended it, the code is 128 + the signal's
    /// number.
    pub fn try_wait(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    /// Waits until the child has ended. Returns the code as [`Guarded::try_wait`] does, or `None` if the guard was
    /// killed.
    pub async fn wait(&self) -> Option<i32> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|code| *code)
    }

    /// Kills the child with SIGKILL. It is no error if the child is gone. Directories stay until the end.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&self) -> Result<(), GuardError> {
        self.signal(Signal::KILL)
    }

    /// Asks the child to end, with SIGTERM.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn terminate(&self) -> Result<(), GuardError> {
        self.signal(Signal::TERM)
    }

    /// Freezes the child with SIGSTOP. It misses its deadlines and does not know that.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pause(&self) -> Result<(), GuardError> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen child go on, with SIGCONT.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn resume(&self) -> Result<(), GuardError> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal through the handle, not by number, because another process may have the number meanwhile.
    fn signal(&self, signal: Signal) -> Result<(), GuardError> {
        match self.handle.as_ref().map(|handle| pidfd_send_signal(handle, signal)) {
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(errno)) => Err(GuardError::Signal { pid: self.pid, source: errno.into() }),
        }
    }

    /// Lets go without waiting. The guard then ends the child and cleans up. Drop and `stop` wait for that.
    pub fn release(&mut self) {
        self.pipe = None;
    }

    /// Ends the child, waits for a limited time until it is gone and its directories are removed, and returns its exit
    /// code.
    pub async fn stop(mut self) -> Option<i32> {
        self.release();
        let mut exit = self.exit.clone();
        let gone = async { while exit.changed().await.is_ok() {} };
        let is_gone = tokio::time::timeout(self.limit, gone).await.is_ok();
        self.reap(if is_gone { patient(CLEANUP_LIMIT) } else { Duration::ZERO });
        self.try_wait()
    }

    /// Blocks until the guard has ended. After the limit, its whole group is killed.
    fn reap(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while matches!(self.guard.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let group = i32::try_from(self.guard.id()).ok().and_then(Pid::from_raw);
                // Both can fail only because the group is gone, which is the goal.
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                let _ = self.guard.wait();
                return;
            }
            std::thread::sleep(DROP_POLL);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.release();
        self.reap(self.limit);
    }
}

/// The last `count` lines of a file, from at most its last 64 KiB. It is empty if the file cannot be read.
pub(crate) fn log_tail(path: &Path, count: usize) -> String {
    const WINDOW: u64 = 64 * 1024;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
        let mut bytes = Vec::new();
        file.take(WINDOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}
