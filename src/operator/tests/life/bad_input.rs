//! Bad input as users write it, applied with kubectl to the real API server.
//!
//! Each row of the tables below is one bad input. Either the API server refuses it with words that say what is wrong,
//! or it accepts the input and a condition says so. To add a row, add a line to the table of its kind (what is bad,
//! the manifest, the expected result) and run the test. If the result differs, the failure quotes the actual one. The
//! manifest is a good one with some changes, see [`row`]. The test creates these Resources:
//!
//! | Resource | its group |
//! |---|---|
//! | `busy` | one machine, which ann holds until the end of 2099 |
//! | `free` | one machine |
//! | `empty` | no machine |
//! | `second` | the group of `busy`, for which `busy` acts |
//! | `elsewhere` | in a region that the operator does not work in |
//! | `canary` | one machine, which good Bookings must get at any time |

#![allow(clippy::too_many_lines, reason = "a table is as long as it is")]

mod bookings;
mod monitors;
mod objects;
mod resources;
mod row;
mod schedulers;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::bookings::api::ResourceSpec;
use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, core::DynamicObject, runtime::wait::await_condition};
use testbed::{control_plane::ControlPlane, ec2::InstanceState, patience::patient};
use tokio::{io::AsyncWriteExt, process::Command};
use tokio_util::sync::CancellationToken;

use self::row::{Expected, Manifest, Row};
use crate::common::{World, aws, ec2, in_ms, patience, state_word, the_hour};

/// How many kubectl processes run at once.
const AT_ONCE: usize = 8;
/// How long the operator may take to answer an object with its condition.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// The least number of rows.
const ROWS_MIN: usize = 200;

fn rows() -> Vec<Row> {
    [bookings::rows(), schedulers::rows(), resources::rows(), monitors::rows(), objects::rows()].concat()
}

#[tokio::test]
async fn bad_input_is_refused_or_answered_by_a_condition_and_stalls_nobody() {
    // given a running operator, and a booked group
    let panics = panics_on_this_thread();
    let world = World::without_operator("bad-input").await;
    let (stop, provider) = (CancellationToken::new(), aws(&world.ec2.url(), "operator"));
    let operator = world.run_operator(world.client.clone(), Arc::new(provider), &[], stop.clone());
    things_to_book(&world).await;
    let kubectl = Kubectl::new(&world.namespace).await;
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    // when each bad input is applied, several at a time
    let checks = rows.iter().enumerate().map(|(number, row)| check(&world, &kubectl, number, row));
    let complaints: Vec<String> = stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .filter_map(|complaint| async { complaint })
        .collect()
        .await;
    // then it is refused, or answered
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), rows.len(), complaints.join("\n"));
    // and a good Booking is served as before, and the operator has not panicked
    world.delete_booking("canary").await;
    world.resource_with_reason("canary", "Stopped").await;
    world.book("canary-after", "canary", "zoe", the_hour()).await;
    let held = world.booking_with_reason("canary-after", "Held").await;
    assert_eq!(state_word(&held), "IN PROGRESS");
    assert_eq!(panics.load(Ordering::Relaxed), 0, "something panicked");
    assert!(!operator.is_finished());
    stop.cancel();
    operator.await.unwrap();
}

async fn things_to_book(world: &World) {
    for name in ["canary", "busy", "free"] {
        world.machines(name, 1, InstanceState::Stopped);
    }
    for name in ["canary", "busy", "free", "empty"] {
        world.resource(name, name).await;
    }
    world.book("ann", "busy", "ann", (in_ms(0), "2100-01-01T00:00:00Z".parse().unwrap())).await;
    world.book("canary", "canary", "zoe", the_hour()).await;
    for name in ["ann", "canary"] {
        world.booking_with_reason(name, "Held").await;
    }
    // The Resource that holds the group keeps it.
    world.resource("second", "busy").await;
    world.resource_with("elsewhere", ResourceSpec { region: Some("us-east-1".into()), ..ec2("web") }).await;
}

/// Applies a row. Returns what is wrong with the result, if anything is.
async fn check(world: &World, kubectl: &Kubectl, number: usize, row: &Row) -> Option<String> {
    let (what, manifest, expected) = row;
    let name = format!("row-{number}");
    let outcome = apply(kubectl, manifest, &name).await;
    let wrong = match (expected, outcome) {
        (Expected::Refused(words), Err(message)) if holds(&message, words) => return None,
        (Expected::Refused(_), Ok(_)) => "was accepted".to_owned(),
        (Expected::Condition(..), Ok(stored)) => answered(world, manifest, &stored, expected).await.err()?,
        (_, Err(message)) => format!("was refused: {message}"),
    };
    let wrong: String = wrong.replace('\n', " ").chars().take(700).collect();
    Some(format!("{:?}, {what}: expected {expected:?}; {wrong}", manifest.kind))
}

/// The name of the stored object, or kubectl's complaint.
async fn apply(kubectl: &Kubectl, manifest: &Manifest, name: &str) -> Result<String, String> {
    if let Some(first) = &manifest.first {
        kubectl
            .apply(&first.replace("NAME", name))
            .await
            .map_err(|error| format!("before it was bad: {error}"))?;
    }
    kubectl.apply(&manifest.text.replace("NAME", name)).await
}

/// Waits until an object has the condition for the present version of its spec.
async fn answered(world: &World, manifest: &Manifest, name: &str, expected: &Expected) -> Result<(), String> {
    let kind = manifest.kind.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
    let has_it = |object: Option<&DynamicObject>| object.is_some_and(|object| has(object, expected));
    let answer =
        tokio::time::timeout(patient(ANSWER_LIMIT), await_condition(api.clone(), name, has_it)).await;
    if let Ok(answer) = answer {
        return answer.map(drop).map_err(|error| error.to_string());
    }
    let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
    Err(format!("was answered: {:?}", found.map(|object| conditions(&object))))
}

fn conditions(object: &DynamicObject) -> Vec<Condition> {
    let found = object.data.pointer("/status/conditions");
    found.map_or_else(Vec::new, |found| serde_json::from_value(found.clone()).unwrap())
}

fn has(object: &DynamicObject, expected: &Expected) -> bool {
    let Expected::Condition(type_, reason, words) = expected else {
        return false;
    };
    conditions(object).iter().any(|condition| {
        condition.type_ == *type_
            && condition.reason == *reason
            && condition.observed_generation == object.metadata.generation
            && holds(&condition.message, words)
    })
}

fn holds(message: &str, words: &str) -> bool {
    words.split(" | ").all(|words| message.contains(words))
}

/// `kubectl apply` in a namespace.
struct Kubectl {
    control_plane: &'static ControlPlane,
    namespace: String,
    // kubectl caches discovery by address, and a new server may have the port of an earlier one.
    cache: tempfile::TempDir,
}

impl Kubectl {
    /// Waits until kubectl knows the kinds, because discovery follows the CRDs with a delay.
    async fn new(namespace: &str) -> Self {
        let control_plane = ControlPlane::shared().await.unwrap();
        let kubectl =
            Self { control_plane, namespace: namespace.to_owned(), cache: tempfile::tempdir().unwrap() };
        let deadline = tokio::time::Instant::now() + patience();
        while let Err(complaint) = kubectl.run(&["get", "booking-operator"], "").await {
            assert!(tokio::time::Instant::now() < deadline, "{complaint}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        kubectl
    }

    /// Applies a manifest. Returns the name of the stored object, or the complaint.
    async fn apply(&self, manifest: &str) -> Result<String, String> {
        let apply = ["apply", "--server-side=false", "--output=name", "--filename=-"];
        let printed = self.run(&apply, manifest).await?;
        Ok(printed.trim().rsplit('/').next().unwrap_or_default().to_owned())
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(self.control_plane.kubectl().unwrap())
            .arg("--kubeconfig")
            .arg(self.control_plane.kubeconfig())
            .arg("--cache-dir")
            .arg(self.cache.path())
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

/// Counts the panics of this thread from now on. All tasks of a test run on its own thread. The operator survives a
/// panic and would hide it.
fn panics_on_this_thread() -> Arc<AtomicUsize> {
    let (panics, thread) = (Arc::new(AtomicUsize::new(0)), std::thread::current().id());
    let (count, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == thread {
            count.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    panics
}
