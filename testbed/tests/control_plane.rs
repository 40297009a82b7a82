//! The control plane is a real one, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helper functions")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ApiResource, ObjectMeta, PostParams};
use kube::{Api, Client};
use testbed::control_plane::{ControlPlane, finalize_namespace, terminate_namespace, test_namespace};
use testbed::patience::patient;

/// How long the guards may take after their owner was killed: they stop two programs and remove a directory.
const GONE_LIMIT: Duration = Duration::from_secs(20);

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("key".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}

async fn store(client: &Client, namespace: &str, object: &ConfigMap) {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), object).await.unwrap();
}

async fn stored(client: &Client, namespace: &str, name: &str) -> Option<String> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let object = api.get_opt(name).await.unwrap()?;
    object.data?.remove("key")
}

#[tokio::test]
async fn the_server_stores_a_config_map() {
    // given the shared control plane
    let client = ControlPlane::shared().await.unwrap().client().unwrap();
    let namespace = test_namespace(&client, "stores").await.unwrap();
    // when an object is created
    store(&client, &namespace, &config_map("one", "value")).await;
    // then it can be read
    assert_eq!(stored(&client, &namespace, "one").await.as_deref(), Some("value"));
}

#[tokio::test]
async fn a_restored_server_knows_what_it_knew_at_the_snapshot() {
    // given a server of its own with an object, and a snapshot
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    let namespace = test_namespace(&client, "restored").await.unwrap();
    store(&client, &namespace, &config_map("before", "value")).await;
    let snapshot = control_plane.snapshot().await.unwrap();
    let pids = control_plane.pids().await.unwrap();
    // when another object comes after it, and the snapshot is restored, twice
    store(&client, &namespace, &config_map("after", "value")).await;
    for _ in 0..2 {
        control_plane.restore(&snapshot, Duration::ZERO).await.unwrap();
        // then only what was there before is there
        assert_eq!(stored(&client, &namespace, "before").await.as_deref(), Some("value"));
        assert_eq!(stored(&client, &namespace, "after").await, None);
        store(&client, &namespace, &config_map("after", "value")).await;
    }
    // and nothing is left behind at the end
    let directory = control_plane.kubeconfig().parent().unwrap().to_owned();
    let now = control_plane.pids().await.unwrap();
    assert_ne!(now.etcd, pids.etcd);
    control_plane.stop().await;
    assert!(!directory.exists());
    assert!(!Path::new(&format!("/proc/{}", now.etcd)).exists());
}

#[tokio::test]
async fn two_test_namespaces_are_separate() {
    // given two namespaces of the same prefix
    let client = ControlPlane::shared().await.unwrap().client().unwrap();
    let one = test_namespace(&client, "separate").await.unwrap();
    let other = test_namespace(&client, "separate").await.unwrap();
    // when an object is created in one of them
    store(&client, &one, &config_map("only-here", "value")).await;
    // then the other does not have it
    assert_ne!(one, other);
    assert_eq!(stored(&client, &other, "only-here").await, None);
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new_and_goes_when_finalized() {
    // given a namespace with an object
    let client = ControlPlane::shared().await.unwrap().client().unwrap();
    let namespace = test_namespace(&client, "terminating").await.unwrap();
    store(&client, &namespace, &config_map("one", "value")).await;
    let namespaces = Api::<Namespace>::all(client.clone());
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    // when it is deleted
    terminate_namespace(&client, &namespace).await.unwrap();
    // then it stays, Terminating, and refuses new objects
    let terminating = namespaces.get(&namespace).await.unwrap();
    assert_eq!(terminating.status.unwrap().phase.as_deref(), Some("Terminating"));
    let refused = config_maps.create(&PostParams::default(), &config_map("two", "value")).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    // and once it is finalized, it is gone with its object
    finalize_namespace(&client, &namespace, &[ApiResource::erase::<ConfigMap>(&())]).await.unwrap();
    assert!(namespaces.get_opt(&namespace).await.unwrap().is_none());
    assert!(config_maps.get_opt("one").await.unwrap().is_none());
}

#[tokio::test]
async fn kubectl_reads_the_kubeconfig() {
    // given the shared control plane and a namespace in it
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = test_namespace(&control_plane.client().unwrap(), "kubectl").await.unwrap();
    // when kubectl asks for it
    let mut kubectl = Command::new(control_plane.kubectl().unwrap());
    kubectl.arg("--kubeconfig").arg(control_plane.kubeconfig());
    let output = kubectl.args(["get", "namespace", &namespace, "--output=name"]).output().unwrap();
    // then it finds it
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("namespace/{namespace}"));
}

#[tokio::test]
async fn an_api_server_that_is_stopped_or_killed_and_started_again_has_its_data() {
    // given a control plane of our own with an object in it
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    let namespace = test_namespace(&client, "restart").await.unwrap();
    store(&client, &namespace, &config_map("one", "value")).await;
    for crash in [false, true] {
        // when its API server goes away
        if crash {
            control_plane.kill_api_server().await.unwrap();
        } else {
            control_plane.stop_api_server().await.unwrap();
        }
        // then nobody answers
        assert!(client.apiserver_version().await.is_err());
        assert_eq!(control_plane.pids().await.unwrap().kube_apiserver, None);
        // and after it came back, the same client finds the object
        control_plane.start_api_server().await.unwrap();
        assert_eq!(stored(&client, &namespace, "one").await.as_deref(), Some("value"));
    }
    // and at the end nothing is left
    let (pids, kubeconfig) = (control_plane.pids().await.unwrap(), control_plane.kubeconfig().to_owned());
    control_plane.stop().await;
    assert!(!runs(pids.etcd) && !runs(pids.kube_apiserver.unwrap()));
    assert!(!kubeconfig.parent().unwrap().exists());
}

#[test]
fn the_exit_status_of_the_command_is_passed_on() {
    // given a command that uses what it is given, and ends with a code of its own
    let script =
        "test -s \"$KUBECONFIG\" && test \"$KUBECONFIG\" = \"$BOOKING_TESTBED_KUBECONFIG\" && exit 42";
    // when it runs beside a control plane
    let mut owner = with_control_plane(&["--", "sh", "-c", script]);
    let announced = Announced::read(&mut owner);
    // then its exit status comes back, and nothing is left
    assert_eq!(owner.wait().unwrap().code(), Some(42));
    announced.assert_gone_within(Duration::ZERO);
}

#[test]
fn busy_threads_run_beside_the_command_and_give_it_patience() {
    // given a command that ends well once its owner has used the processor for another second
    let script = "ticks() { cut -d' ' -f14 /proc/$PPID/stat; }; begin=$(ticks); n=0; \
        until [ $(($(ticks) - begin)) -ge 100 ]; do sleep 0.1; n=$((n + 1)); [ $n -lt 600 ] || exit 1; done; \
        echo \"$TEST_PATIENCE\"";
    // when it runs beside two busy threads
    let mut owner = with_control_plane(&["--busy", "2", "--", "sh", "-c", script]);
    let announced = Announced::read(&mut owner);
    // then the owner is busy, the command has three times the patience, and nothing is left
    let output = owner.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let factor: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(factor >= 3.0, "{factor}");
    announced.assert_gone_within(Duration::ZERO);
}

#[test]
fn terminating_the_owner_ends_the_command_and_the_control_plane() {
    // given a command that runs for long beside a control plane
    let mut owner = with_control_plane(&["sleep", "300"]);
    let announced = Announced::read(&mut owner);
    // when the owner is asked to end
    signal("TERM", owner.id());
    // then it does, and says by which signal
    assert_eq!(owner.wait().unwrap().code(), Some(128 + 15));
    announced.assert_gone_within(Duration::ZERO);
}

#[test]
fn a_killed_owner_leaves_neither_processes_nor_data() {
    // given a command that runs beside a control plane and ends when its input does
    let mut owner = with_control_plane(&["sh", "-c", "sleep 300 & echo $!; wait"]);
    let announced = Announced::read(&mut owner);
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // when the owner is killed
    owner.kill().unwrap();
    owner.wait().unwrap();
    // then etcd, kube-apiserver and their directory are gone soon
    announced.assert_gone_within(patient(GONE_LIMIT));
    // and the command, which is nobody's business then, is ended by this test
    signal("KILL", line.trim().parse().unwrap());
}

fn with_control_plane(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-control-plane"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn runs(pid: i32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// What with-control-plane says when it is ready.
struct Announced {
    pids: Vec<i32>,
    directory: PathBuf,
}

impl Announced {
    fn read(owner: &mut Child) -> Self {
        let mut lines = BufReader::new(owner.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("control plane ready")).unwrap();
        let field = |name: &str| {
            let fields = line.split_whitespace().filter_map(|word| word.split_once('='));
            fields.filter(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).next().unwrap()
        };
        let pids: Vec<i32> = ["etcd", "kube-apiserver"].map(|name| field(name).parse().unwrap()).to_vec();
        let directory = Path::new(&field("kubeconfig")).parent().unwrap().to_owned();
        assert!(pids.iter().all(|pid| runs(*pid)) && directory.exists());
        Self { pids, directory }
    }

    fn assert_gone_within(&self, limit: Duration) {
        let started = Instant::now();
        while self.pids.iter().any(|pid| runs(*pid)) || self.directory.exists() {
            assert!(started.elapsed() < limit, "{:?} or {} still there", self.pids, self.directory.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
