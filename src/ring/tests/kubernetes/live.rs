//! Replicas that share a ring, on a real API server.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use booking_ring::{
    kubernetes::{Changes, RingConfig, RingHandle, crd::ALLOW_DELETION, requests, start},
    protocol::End,
    slot::Slot,
    timing::Timing,
};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod, events::v1::Event};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::common::{RING, World, eventually, in_time, ms, quick, world};

const SLOTS: u16 = 64;

fn config(world: &World, pod: &str) -> RingConfig {
    RingConfig {
        name: RING.to_owned(),
        namespace: world.namespace.clone(),
        timing: quick(),
        slots: SLOTS,
        pod: pod.to_owned(),
        container: None,
        started: booking_ring::kubernetes::clocks::now(),
        release: "1.0.0".to_owned(),
        pod_labels: None,
        termination_log: None,
    }
}

/// A process that takes part in the ring.
pub struct Replica {
    pub handle: RingHandle,
    pub changes: Changes,
    pub owned: BTreeSet<Slot>,
    loops: JoinHandle<()>,
}

impl Replica {
    pub fn begin(cluster: kube::Config, config: RingConfig) -> Self {
        let client = requests::client(cluster, &config.timing).unwrap();
        let (handle, run) = start(client, config).unwrap();
        let changes = handle.changes();
        Self { handle, changes, owned: BTreeSet::new(), loops: tokio::spawn(run) }
    }

    /// Waits until it owns so many slots.
    pub async fn owns(&mut self, slots: usize) {
        let reached = async {
            while self.owned.len() != slots {
                let change = self.changes.next().await.unwrap();
                self.owned.retain(|slot| !change.lost.contains(slot));
                self.owned.extend(change.gained);
            }
        };
        in_time(&format!("{slots} slots"), reached).await;
    }

    /// Ends it as SIGKILL would.
    fn kill(&self) {
        self.loops.abort();
    }
}

impl World {
    fn replica(&self, pod: &str) -> Replica {
        Replica::begin(self.control_plane.client_config(), config(self, pod))
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.control_plane.kubectl().unwrap());
        // Discovery is cached by address, and the ports of past servers come back.
        let cache = std::env::temp_dir().join(&self.namespace);
        command.arg("--kubeconfig").arg(self.control_plane.kubeconfig()).arg("--cache-dir").arg(&cache);
        let output = command.args(["--namespace", &self.namespace]).args(arguments).output().unwrap();
        std::fs::remove_dir_all(cache).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn all() -> usize {
    usize::from(SLOTS)
}

#[tokio::test]
async fn a_lone_replica_owns_everything_and_people_can_see_it() {
    let world = world("lone").await;
    let mut replica = world.replica("operator-a");
    replica.owns(all()).await;
    assert!(replica.handle.has_joined() && !replica.handle.left().is_zero());
    assert_eq!(replica.handle.owned(), replica.owned);
    let slot = replica.handle.slot_of("default", "ec2.analytics").unwrap();
    let permit = replica.handle.permit(slot).unwrap();
    replica.handle.begin(permit).unwrap().replied();
    // The ring's status and Events tell of the member.
    let status = world.rings().get(RING).await.unwrap().data["status"].take();
    assert_eq!((&status["size"], &status["open"], &status["moving"]), (&json!(1), &json!(true), &json!(0)));
    assert!(status["distribution"].as_str().unwrap().ends_with(":64"), "{status}");
    assert_eq!(status["leader"], status["members"][0]["name"]);
    let table = world.kubectl(&["get", "bring", RING]);
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "LEADER", "EPOCH", "MEMBERS", "SLOTS", "MOVING", "AGE"]);
    assert_eq!((words[1][0], words[1][3], words[1][5]), (RING, "1", "0"), "{table}");
    assert!(words[1][1].starts_with("operator-a-") && words[1][4].ends_with(":64"), "{table}");
    let events = Api::<Event>::namespaced(world.client.clone(), &world.namespace);
    eventually(|| async {
        let events = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let reasons: BTreeSet<String> = events.items.into_iter().filter_map(|event| event.reason).collect();
        let all =
            ["LeaderElected", "MemberJoined", "RingOpened"].iter().all(|reason| reasons.contains(*reason));
        all.then_some(()).ok_or(format!("{reasons:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_joins_gets_half_and_one_that_stops_hands_over() {
    let world = world("join").await;
    let mut first = world.replica("operator-a");
    first.owns(all()).await;
    let mut second = world.replica("operator-b");
    second.owns(all() / 2).await;
    first.owns(all() / 2).await;
    assert!(first.owned.is_disjoint(&second.owned));
    // Its payload comes with its next renewal, and the other one sees it.
    first.handle.set_payload("demand: 3");
    eventually(|| async {
        let payloads = second.handle.payloads();
        payloads.values().any(|payload| payload == "demand: 3").then_some(()).ok_or(format!("{payloads:?}"))
    })
    .await;
    first.handle.stop();
    second.owns(all()).await;
    assert_eq!(in_time("the end", first.handle.wait_ended()).await, Some(End::Left));
    assert!(first.handle.owned().is_empty());
    // What it lost is told, and then that there is no more to come.
    first.owns(0).await;
    assert_eq!(first.changes.next().await, None);
}

#[tokio::test]
async fn the_slots_of_a_replica_that_is_simply_gone_go_to_the_other_after_its_permit() {
    let world = world("kill").await;
    let mut victim = world.replica("operator-a");
    victim.owns(all()).await;
    let mut other = world.replica("operator-b");
    other.owns(all() / 2).await;
    victim.owns(all() / 2).await;
    victim.kill();
    other.owns(all()).await;
    // Nobody takes over what the victim might still work on.
    assert!(victim.handle.left().is_zero());
    let leases = world.leases().list(&ListParams::default()).await.unwrap();
    let standing =
        |lease: &Lease| lease.metadata.annotations.as_ref()?.get("manager.kotaico.de/standing").cloned();
    let sealed = leases.items.iter().filter(|lease| standing(lease).as_deref() == Some("Sealed")).count();
    // Swept as soon as the ring does not name it.
    assert!(sealed <= 1);
    assert_eq!(in_time("the end", victim.handle.wait_ended()).await, None);
}

/// Two replicas with half of the slots each.
async fn two(world: &World) -> [Replica; 2] {
    let mut replicas = [world.replica("operator-a"), world.replica("operator-b")];
    for replica in &mut replicas {
        replica.owns(all() / 2).await;
    }
    replicas
}

#[tokio::test]
async fn a_stop_waits_until_a_running_call_is_replied_to() {
    let world = world("running").await;
    let [leaver, mut other] = two(&world).await;
    let permit = leaver.handle.permit(*leaver.owned.first().unwrap()).unwrap();
    let call = leaver.handle.begin(permit).unwrap();
    leaver.handle.stop();
    let waited = tokio::time::timeout(quick().renew() * 2, leaver.handle.wait_ended()).await;
    assert!(waited.is_err(), "{waited:?}");
    call.replied();
    other.owns(all()).await;
    assert_eq!(in_time("the end", leaver.handle.wait_ended()).await, Some(End::Left));
}

#[tokio::test]
async fn a_stop_waits_for_the_time_out_of_a_call_that_was_given_up() {
    let world = world("given-up").await;
    let [leaver, mut other] = two(&world).await;
    let permit = leaver.handle.permit(*leaver.owned.first().unwrap()).unwrap();
    let begun = Instant::now();
    drop(leaver.handle.begin(permit).unwrap());
    leaver.handle.stop();
    other.owns(all()).await;
    assert!(begun.elapsed() >= quick().call(), "{:?}", begun.elapsed());
    assert_eq!(in_time("the end", leaver.handle.wait_ended()).await, Some(End::Left));
}

#[tokio::test]
async fn a_proof_of_death_in_the_status_of_its_pod_shortens_the_wait() {
    let world = world("proof").await;
    // given two replicas whose leases outlast this test by far, in a ring that one with a short lease has opened
    let mut opener = world.replica("operator-c");
    opener.owns(all()).await;
    let lease = Duration::from_hours(1);
    let timing = Timing::new(lease, ms(900), ms(4000), ms(1000)).unwrap();
    let log = tempfile();
    let config = |pod: &str| RingConfig {
        timing,
        pod_labels: Some("app=operator".to_owned()),
        termination_log: (pod == "operator-a").then(|| log.clone()),
        ..config(&world, pod)
    };
    create_pod(&world.client, &world.namespace, "operator-a").await;
    let cluster = || world.control_plane.client_config();
    let mut victim = Replica::begin(cluster(), config("operator-a"));
    let mut other = Replica::begin(cluster(), config("operator-b"));
    for replica in [&victim, &other] {
        eventually(|| async { replica.handle.has_joined().then_some(()).ok_or("not joined".to_owned()) })
            .await;
    }
    opener.handle.stop();
    other.owns(all() / 2).await;
    victim.owns(all() / 2).await;
    // when one is dead and its Pod says so
    victim.kill();
    let incarnation = std::fs::read_to_string(&log).unwrap();
    terminated(&world.client, &world.namespace, "operator-a", &incarnation).await;
    // then the other one does not wait for its lease
    other.owns(all()).await;
    std::fs::remove_file(log).unwrap();
}

/// A file as the kubelet would provide it.
fn tempfile() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("ring-termination-log-{}", std::process::id()));
    std::fs::write(&path, "of an earlier start").unwrap();
    path
}

async fn create_pod(client: &Client, namespace: &str, name: &str) {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": "operator" } },
        "spec": { "containers": [{ "name": "operator", "image": "operator" }] },
    }))
    .unwrap();
    Api::<Pod>::namespaced(client.clone(), namespace).create(&PostParams::default(), &pod).await.unwrap();
}

async fn terminated(client: &Client, namespace: &str, name: &str, message: &str) {
    let status = json!({ "status": { "containerStatuses": [{
        "name": "operator", "image": "operator", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 137, "message": message } },
    }] } });
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[tokio::test]
async fn when_the_ring_is_deleted_all_begin_anew_in_another_one() {
    let world = world("anew").await;
    let mut replicas = two(&world).await;
    let uid = world.rings().get(RING).await.unwrap().metadata.uid;
    let allow = Patch::Merge(json!({ "metadata": { "annotations": { ALLOW_DELETION: "true" } } }));
    world.rings().patch(RING, &PatchParams::default(), &allow).await.unwrap();
    world.rings().delete(RING, &DeleteParams::default()).await.unwrap();
    for replica in &mut replicas {
        replica.owns(0).await;
    }
    for replica in &mut replicas {
        replica.owns(all() / 2).await;
    }
    assert_ne!(world.rings().get(RING).await.unwrap().metadata.uid, uid);
    let [one, other] = &replicas;
    assert!(one.owned.is_disjoint(&other.owned));
}
