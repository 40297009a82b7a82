//! A guarded process ends with its owner and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helper functions")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testbed::guard::{Guarded, GuardedCommand};
use testbed::patience::patient;

/// Much longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A script that has all the time it needs to end.
fn shell(directory: &Path, script: &str) -> Guarded {
    let command = GuardedCommand::new("/bin/sh", directory.join("log")).args(["-c", script]);
    command.grace(patient(LIMIT)).spawn().unwrap()
}

fn runs(pid: i32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// Waits until the log holds the line, by which a script says that it has come so far.
fn wait_for_line(process: &Guarded, line: &str) {
    let deadline = Instant::now() + patient(LIMIT);
    while !process.log_tail(50).lines().any(|found| found == line) {
        assert!(Instant::now() < deadline, "no line {line:?} in the log");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_child_that_ends_by_itself_is_seen_and_its_directory_goes_at_the_end() {
    // given a child with a directory to be removed
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("data of it");
    std::fs::create_dir(&data).unwrap();
    let process = GuardedCommand::new("/bin/sh", temporary.path().join("log"))
        .args(["-c", "echo \"$WORD\"; exit 7"])
        .env("WORD", "hello")
        .remove_at_end(&data)
        .spawn()
        .unwrap();
    // when it ends by itself
    let code = process.wait().await;
    // then its exit code and output are there, and so is the directory until the owner lets go
    assert_eq!((code, process.try_wait()), (Some(7), Some(7)));
    assert_eq!(process.log_tail(5), "hello");
    assert!(data.exists());
    process.stop().await;
    assert!(!data.exists());
}

#[tokio::test]
async fn stop_asks_the_child_to_end_and_waits_for_it() {
    // given a child that ends with a code of its own when asked to
    let temporary = tempfile::tempdir().unwrap();
    let process = shell(temporary.path(), "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    wait_for_line(&process, "ready");
    let pid = process.pid();
    // when the owner stops it
    let code = process.stop().await;
    // then it had the time to end in good order
    assert_eq!(code, Some(3));
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_child_that_ignores_term_is_killed_when_its_time_is_over() {
    // given a child that does not listen, and a helper process of it that does not either
    let (temporary, grace) = (tempfile::tempdir().unwrap(), Duration::from_millis(200));
    let process = GuardedCommand::new("/bin/sh", temporary.path().join("log"))
        .args(["-c", "trap '' TERM; sleep 300 & echo $! >&2; echo ready; wait"])
        .grace(grace)
        .spawn()
        .unwrap();
    wait_for_line(&process, "ready");
    let (pid, helper) = (process.pid(), process.log_tail(2).lines().next().unwrap().parse().unwrap());
    // when the owner stops it
    let started = Instant::now();
    let code = process.stop().await;
    // then it was killed, and its helper with it
    assert_eq!(code, Some(128 + 9));
    assert!(started.elapsed() >= grace, "{:?}", started.elapsed());
    assert!(!runs(pid));
    wait_until_dead(helper);
}

/// Waits until a process that was killed has come to its end, which nobody here is told of: it is no child
/// of this process. It may stay as a zombie where process 1 does not reap.
fn wait_until_dead(pid: i32) {
    let deadline = Instant::now() + patient(LIMIT);
    while state(pid).is_some_and(|state| state != 'Z') {
        assert!(Instant::now() < deadline, "process {pid} was not killed");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// None if there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn kill_ends_the_child_at_once_and_can_be_repeated() {
    // given a child that would run for long
    let temporary = tempfile::tempdir().unwrap();
    let process = GuardedCommand::new("sleep", temporary.path().join("log")).arg("300").spawn().unwrap();
    // when it is killed
    process.kill().unwrap();
    // then it is gone, and to kill it again is no error
    assert_eq!(process.wait().await, Some(128 + 9));
    assert!(!runs(process.pid()));
    process.kill().unwrap();
}

#[tokio::test]
async fn a_paused_child_stands_still_until_it_is_resumed() {
    // given a child, frozen
    let temporary = tempfile::tempdir().unwrap();
    let process = shell(temporary.path(), "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    wait_for_line(&process, "ready");
    process.pause().unwrap();
    // when it is asked to end
    process.terminate().unwrap();
    // then it does so only after it was resumed
    assert!(tokio::time::timeout(Duration::from_millis(300), process.wait()).await.is_err());
    process.resume().unwrap();
    assert_eq!(process.wait().await, Some(0));
}

#[test]
fn a_dropped_child_is_gone_and_its_directory_too() {
    // given a child with a directory, outside of any runtime
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let command = GuardedCommand::new("sleep", temporary.path().join("log")).arg("300");
    let process = command.remove_at_end(&data).spawn().unwrap();
    let pid = process.pid();
    // when its owner drops it
    drop(process);
    // then nothing is left
    assert!(!runs(pid));
    assert!(!data.exists());
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_with_the_code_of_a_shell() {
    // given a name that no program has
    let temporary = tempfile::tempdir().unwrap();
    // when it is started
    let process = GuardedCommand::new("/no/such/program", temporary.path().join("log")).spawn().unwrap();
    // then exit code and log say so
    assert_eq!(process.wait().await, Some(127));
    assert!(process.log_tail(5).contains("/no/such/program"));
}
