//! The operator as a process: start without CRDs, probes, signals, kills.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use std::{path::PathBuf, time::Duration};

use booking_ring::kubernetes::crd::RingCrd;
use bookings::{decide::groups::machine::TAG_APPLICATION, run::predecessor::LEASE};
use common::{World, arrived, eventually, in_ms, install_crds, soon, state_word};
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tempfile::TempDir;
use testbed::{
    control_plane::ControlPlane,
    ec2::{AddInstances, FaultEffect, FaultRule, InstanceState},
    patience::patient,
    replica::{Replica, ReplicaConfig, ReplicaError, quick_ring},
};

/// How to start a replica for a world, in the world's namespace.
struct Process {
    directory: TempDir,
    namespaces: [String; 2],
    ec2_url: String,
    kubeconfig: PathBuf,
}

impl Process {
    fn of(world: &World, control_plane: &ControlPlane) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            namespaces: namespaces(&world.namespace),
            ec2_url: world.ec2.url(),
            kubeconfig: control_plane.kubeconfig().to_owned(),
        }
    }

    fn spawn(&self, more: &[&str]) -> Result<Replica, ReplicaError> {
        let fixed = ["--poll-shortest=50ms", "--pod-uid=process"];
        let ring = quick_ring();
        let flags = self.namespaces.iter().chain(&ring).map(String::as_str);
        let args: Vec<&str> = flags.chain(fixed).chain(more.iter().copied()).collect();
        Replica::spawn(&ReplicaConfig {
            name: "process",
            kubeconfig: &self.kubeconfig,
            ec2_url: &self.ec2_url,
            log: &self.directory.path().join("operator.log"),
            args: &args,
        })
    }

    async fn start(&self, more: &[&str]) -> Replica {
        let replica = self.spawn(more).unwrap();
        eventually("ready", async || replica.is_ready().await).await;
        replica
    }
}

#[tokio::test]
async fn a_dry_run_begins_only_where_nobody_is_at_work_and_takes_nothing_from_those_who_come() {
    // given a working process
    let control_plane = ControlPlane::shared().await.unwrap();
    let world = World::without_operator("dryrun").await;
    let process = Process::of(&world, control_plane);
    let worker = process.start(&[]).await;
    // when somebody starts a dry run at the same time, then it is refused and told why
    let dry = process.spawn(&["--dry-run"]).unwrap();
    assert_eq!(dry.process().wait().await, Some(1));
    let told = dry.process().log_tail(20);
    assert!(told.contains("--dry-run writes statuses") && told.contains("booking-operator"), "{told}");
    // and after the worker has stopped, it runs in a ring of its own
    worker.stop().await;
    let dry = process.start(&["--dry-run"]).await;
    let worker = process.start(&[]).await;
    let rings: Api<RingCrd> = Api::namespaced(common::client().await, &world.namespace);
    let ring = rings.get("booking-operator").await.unwrap();
    assert_eq!(ring.status.unwrap_or_default().members.len(), 1, "the dry run owns nothing of it");
    worker.stop().await;
    dry.stop().await;
}

/// The flags that put bookings and the ring into one namespace.
fn namespaces(namespace: &str) -> [String; 2] {
    [format!("--namespace={namespace}"), format!("--ring-namespace={namespace}")]
}

async fn get(url: &str) -> (u16, String) {
    match reqwest::get(url).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

#[tokio::test]
async fn without_crds_it_waits_says_so_and_goes_on_once_they_are_there() {
    // given a server without our CRDs
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    let ec2 = testbed::ec2::Ec2Simulator::start(testbed::ec2::Ec2Config::default()).await.unwrap();
    let process = Process {
        directory: tempfile::tempdir().unwrap(),
        namespaces: namespaces("default"),
        ec2_url: ec2.url(),
        kubeconfig: control_plane.kubeconfig().to_owned(),
    };
    // when the operator starts, then it is alive but not ready, and says what it waits for
    let replica = process.spawn(&[]).unwrap();
    eventually("says what it waits for", async || {
        let (status, text) = get(&replica.readiness_url()).await;
        status == 503 && text.contains("waits for the CRD of resources")
    })
    .await;
    assert_eq!(get(&replica.readiness_url().replace("readyz", "livez")).await.0, 200);
    assert_eq!(replica.process().try_wait(), None);
    // when the CRDs are installed, then it is ready
    install_crds(client).await;
    eventually("ready", async || replica.is_ready().await).await;
    assert_eq!(replica.stop().await, Some(0));
    control_plane.stop().await;
}

#[tokio::test]
async fn beside_the_original_operator_it_is_not_ready_and_says_who_is_at_work() {
    // given the predecessor's Lease, renewed repeatedly
    let control_plane = ControlPlane::shared().await.unwrap();
    let world = World::without_operator("beside").await;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let renewals = tokio::spawn(async move {
        loop {
            let lease: Lease = serde_json::from_value(json!({
                "metadata": { "name": LEASE },
                "spec": {
                    "holderIdentity": "original-5d4_1",
                    "leaseDurationSeconds": 2,
                    "renewTime": MicroTime(jiff::Timestamp::now()),
                },
            }))
            .unwrap();
            let apply = PatchParams::apply("original").force();
            leases.patch(LEASE, &apply, &Patch::Apply(&lease)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    // when a process starts, then it is alive but not ready, and names who is at work
    let replica = Process::of(&world, control_plane).spawn(&[]).unwrap();
    eventually("says who is at work", async || {
        let (status, text) = get(&replica.readiness_url()).await;
        status == 503
            && text.contains("original-operator failed")
            && text.contains("original-5d4_1 renews Lease")
    })
    .await;
    // when the predecessor is gone, then it is ready
    renewals.abort();
    eventually("ready", async || replica.is_ready().await).await;
    replica.stop().await;
}

#[tokio::test]
async fn all_namespaces_are_served_unless_one_is_named() {
    // given a server of its own with groups in two namespaces
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    install_crds(client.clone()).await;
    let worlds = [World::on(client.clone(), "one").await, World::on(client, "two").await];
    for (world, tag) in worlds.iter().zip(["web", "db"]) {
        // The machines of both namespaces are in one account.
        let machines = AddInstances::count(1).tag(TAG_APPLICATION, tag).state(InstanceState::Stopped);
        let machines = AddInstances { region: common::REGION.into(), ..machines };
        worlds[0].ec2.world().add_instances(&machines).unwrap();
        world.resource("group", tag).await;
        world.book("b", "group", "ann", common::the_hour()).await;
    }
    let mut process = Process::of(&worlds[0], &control_plane);
    let ring = process.namespaces[1].clone();
    // when a process works for one of them, then it does not see the other one's booking
    let narrowed = process.start(&[]).await;
    worlds[0].booking_with_reason("b", "Held").await;
    assert!(worlds[1].bookings().get("b").await.unwrap().status.is_none());
    narrowed.stop().await;
    // when it works for all namespaces, then both groups are held
    process.namespaces = [ring.clone(), ring];
    let whole = process.start(&[]).await;
    worlds[1].booking_with_reason("b", "Held").await;
    whole.stop().await;
    control_plane.stop().await;
}

#[tokio::test]
async fn the_originals_flags_and_probe_work_and_metrics_are_there() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let world = World::without_operator("flags").await;
    let process = Process::of(&world, control_plane);
    let flags = ["--leader-elect", "-zap-devel=true", "--zap-encoder=json", "--zap-log-level=info"];
    let replica = process.start(&flags).await;
    assert_eq!(get(&replica.readiness_url().replace("readyz", "healthz")).await, (200, "ok\n".into()));
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.resource_with_reason("web", "Stopped").await;
    let names = ["build_info", "passes_total", "cloud_calls_total", "api_writes_total", "queue_depth"];
    eventually("all metrics are there", async || {
        let (status, metrics) = get(&replica.metrics_url()).await;
        status == 200 && names.iter().all(|name| metrics.contains(&format!("booking_operator_{name}")))
    })
    .await;
    let (_, metrics) = get(&replica.metrics_url()).await;
    assert!(!metrics.contains(&world.namespace), "no object's name in a label");
    let log = replica.process().log_tail(50);
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    assert_eq!(replica.stop().await, Some(0));
}

#[tokio::test]
async fn a_shutdown_lets_a_running_call_end() {
    // given a start call that takes a while
    let control_plane = ControlPlane::shared().await.unwrap();
    let world = World::without_operator("shutdown").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.ec2.world().add_fault(FaultRule::on("StartInstances", FaultEffect::Latency { ms: 200 }));
    let process = Process::of(&world, control_plane);
    let replica = process.start(&[]).await;
    world.resource("web", "web").await;
    world.book("b", "web", "ann", common::the_hour()).await;
    world.eventually("the call is under way", || !world.calls("StartInstances").is_empty()).await;
    // when it is stopped, then the call is completed, and the process exits without an error
    assert_eq!(replica.stop().await, Some(0));
    let call = &world.calls("StartInstances")[0];
    assert_eq!(call.outcome.as_deref(), Some("OK"));
    assert!(call.completed.is_some());
}

#[tokio::test]
async fn killed_again_and_again_it_still_brings_a_booking_to_its_end() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let world = World::without_operator("kills").await;
    let ids = world.machines("web", 3, InstanceState::Stopped);
    let process = Process::of(&world, control_plane);
    world.resource("web", "web").await;
    let (start, end) = (soon(2_000), soon(10_000));
    world.book("b", "web", "ann", (start, end)).await;
    // when it is killed and restarted repeatedly during the booking, at least five times
    let mut kills = 0;
    while in_ms(0) < end || kills < 5 {
        let replica = process.spawn(&[]).unwrap();
        tokio::time::sleep(patient(Duration::from_millis(1_500))).await;
        replica.process().kill().unwrap();
        kills += 1;
    }
    // then the last process finishes what the others began
    let replica = process.start(&[]).await;
    world.booking_when("b", "finished", |booking| state_word(booking) == "FINISHED").await;
    world.settled(&ids, InstanceState::Stopped).await;
    let early =
        |action: &str, due: jiff::Timestamp| world.calls(action).iter().any(|call| arrived(call) < due);
    assert!(!early("StartInstances", start) && !early("StopInstances", end));
    replica.stop().await;
}

#[tokio::test]
async fn an_api_server_that_goes_away_for_a_while_is_waited_for() {
    // given a held group and a server of its own
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    install_crds(client.clone()).await;
    let world = World::on(client, "outage").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    let process = Process::of(&world, &control_plane);
    let replica = process.start(&[]).await;
    world.resource("web", "web").await;
    world.book("b", "web", "ann", common::the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    // when the API server is away, then nothing is stopped, and the operator is alive but not ready
    control_plane.kill_api_server().await.unwrap();
    eventually("not ready", async || get(&replica.readiness_url()).await.0 == 503).await;
    control_plane.start_api_server().await.unwrap();
    // when it is back, then the operator sees what happens there
    world.delete_booking("b").await;
    world.settled(&ids, InstanceState::Stopped).await;
    replica.stop().await;
    control_plane.stop().await;
}
