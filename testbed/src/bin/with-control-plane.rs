//! `with-control-plane [--busy N] [--] COMMAND ARGUMENTS…`: runs a command beside a control plane of its own.
//!
//! The command finds the control plane through `BOOKING_TESTBED_KUBECONFIG` and `KUBECONFIG`, and its exit status is
//! passed on. Everything is removed when the command ends, at Ctrl-C or TERM, and also when this program itself is
//! killed.
//!
//! With `--busy N`, N threads of this program spin while the command runs, and the command has longer deadlines
//! (`TEST_PATIENCE`). The threads end with this process, even if it is killed.

use std::env;
use std::ffi::OsString;
use std::hint::spin_loop;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testbed::control_plane::{ControlPlane, ControlPlaneError, KUBECONFIG_VARIABLE};
use testbed::patience::{self, PATIENCE_VARIABLE};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How long the command may take to end once it was told to.
const COMMAND_GRACE: Duration = Duration::from_secs(10);

/// The exit code if the control plane or the command could not be started. Other programs that run programs use the
/// same code.
const CANNOT_RUN: u8 = 125;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(order) = Order::read(env::args_os().skip(1)) else {
        eprintln!("usage: with-control-plane [--busy 0..255] [--] COMMAND ARGUMENTS…");
        return ExitCode::from(CANNOT_RUN);
    };
    match run(&order).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-control-plane: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// The arguments of the command line.
struct Order {
    busy: u8,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Order {
    /// Reads the arguments. `None` if they are not usable.
    fn read(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.peekable();
        let busy = match arguments.next_if(|argument| argument == "--busy") {
            Some(_) => arguments.next()?.to_str()?.parse().ok()?,
            None => 0,
        };
        arguments.next_if(|argument| argument == "--");
        Some(Self { busy, program: arguments.next()?, arguments: arguments.collect() })
    }
}

/// Threads that spin until this value is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start(count: u8) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let is_over = is_over.clone();
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        Self(is_over)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn run(order: &Order) -> Result<u8, Box<dyn std::error::Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let control_plane = tokio::select! {
        started = ControlPlane::start() => started?,
        _ = interrupt.recv() => return Ok(exit_code_of_signal(Signal::INT)),
        _ = terminate.recv() => return Ok(exit_code_of_signal(Signal::TERM)),
    };
    announce(&control_plane).await?;
    let mut child = command(order, &control_plane)
        .spawn()
        .map_err(|error| format!("{}: {error}", order.program.display()))?;
    let busy = Busy::start(order.busy);
    let code = tokio::select! {
        status = child.wait() => exit_code(status?),
        _ = interrupt.recv() => end(&mut child, Signal::INT).await?,
        _ = terminate.recv() => end(&mut child, Signal::TERM).await?,
    };
    drop(busy);
    control_plane.stop().await;
    Ok(code)
}

/// The command, with its environment variables.
fn command(order: &Order, control_plane: &ControlPlane) -> Command {
    let mut command = Command::new(&order.program);
    command
        .args(&order.arguments)
        .env(KUBECONFIG_VARIABLE, control_plane.kubeconfig())
        .env("KUBECONFIG", control_plane.kubeconfig())
        .kill_on_drop(true);
    if order.busy > 0 {
        command.env(PATIENCE_VARIABLE, patience::beside(order.busy).to_string());
    }
    if let Some(path) = path_with_kubectl(control_plane) {
        command.env("PATH", path);
    }
    command
}

/// Prints one line for people and for tests: the address, and the process ids.
async fn announce(control_plane: &ControlPlane) -> Result<(), ControlPlaneError> {
    let pids = control_plane.pids().await?;
    eprintln!(
        "control plane ready: {} kubeconfig={} etcd={} kube-apiserver={}",
        control_plane.url(),
        control_plane.kubeconfig().display(),
        pids.etcd,
        pids.kube_apiserver.unwrap_or_default(),
    );
    Ok(())
}

/// The command's PATH. The directory of the server's own kubectl comes first, so that the versions fit.
fn path_with_kubectl(control_plane: &ControlPlane) -> Option<OsString> {
    let directory = control_plane.kubectl().ok()?.parent()?.to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(directory).chain(env::split_paths(&path))).ok()
}

/// Ends the command because of a signal, by force if needed. Returns the exit code that stands for the signal.
async fn end(child: &mut Child, cause: Signal) -> std::io::Result<u8> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    // The terminal sends Ctrl-C to the command, too. A second signal would cut its cleanup short.
    if let Some(pid) = pid.and_then(Pid::from_raw).filter(|_| cause != Signal::INT) {
        // This fails only if the command has ended meanwhile.
        let _ = kill_process(pid, cause);
    }
    if tokio::time::timeout(COMMAND_GRACE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(exit_code_of_signal(cause))
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn exit_code_of_signal(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX)
}
