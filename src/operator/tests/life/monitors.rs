//! What ResourceMonitors do.

use std::time::Duration;

use bookings::{
    api::{DISCOVERED_BY, Resource, ResourceMonitor, ResourceMonitorSpec},
    decide::groups::machine::{TAG_APPLICATION, TAG_MANAGED},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use testbed::{
    ec2::{AddInstances, FaultEffect, FaultRule, InstanceState},
    patience::patient,
    rds::AddDbInstance,
};

use crate::common::{REGION, World, arrived, patience};

fn monitors(world: &World) -> Api<ResourceMonitor> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

/// Creates a monitor that scans when it is created, and not again during a test.
async fn monitor(world: &World, name: &str, type_: &str) {
    let spec = ResourceMonitorSpec {
        type_: Some(type_.into()),
        interval_seconds: Some(86_400),
        ..ResourceMonitorSpec::default()
    };
    monitors(world).create(&PostParams::default(), &ResourceMonitor::new(name, spec)).await.unwrap();
}

/// Lets a monitor scan at once: removes the time of its last scan from the status.
async fn scan(world: &World, name: &str) -> ResourceMonitor {
    let forget = Patch::Merge(json!({ "status": { "last_sweep": null } }));
    monitors(world).patch_status(name, &PatchParams::default(), &forget).await.unwrap();
    when(world, name, |monitor| monitor.status.as_ref().is_some_and(|status| status.last_sweep.is_some()))
        .await
}

async fn when(world: &World, name: &str, is: impl Fn(&ResourceMonitor) -> bool) -> ResourceMonitor {
    let condition = |monitor: Option<&ResourceMonitor>| monitor.is_some_and(&is);
    let waits = await_condition(monitors(world), name, condition);
    tokio::time::timeout(patience(), waits).await.expect("looks as wanted in time").unwrap().unwrap()
}

fn ready(monitor: &ResourceMonitor) -> (&str, &str) {
    let mut conditions = monitor.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    ready.map_or(("", ""), |ready| (ready.reason.as_str(), ready.message.as_str()))
}

/// Adds machines that may be discovered.
fn machines(world: &World, tag: &str, count: usize, state: InstanceState) -> Vec<String> {
    let machines = AddInstances::count(count).tag(TAG_APPLICATION, tag).tag(TAG_MANAGED, "true").state(state);
    world.ec2.world().add_instances(&AddInstances { region: REGION.into(), ..machines }).unwrap()
}

#[tokio::test]
async fn groups_are_discovered_whatever_their_tags_and_looked_after_from_then_on() {
    let world = World::without_operator("discovery").await;
    machines(&world, "web", 2, InstanceState::Stopped);
    machines(&world, "Batch jobs/*", 1, InstanceState::Stopped);
    // given machines that are gone, that may not be discovered, or that belong to no group
    let gone = machines(&world, "gone", 1, InstanceState::Stopped);
    world.ec2.world().terminate(&gone).unwrap();
    world.machines("private", 1, InstanceState::Stopped);
    monitor(&world, "all", "ec2").await;
    world.start_operator(&[]);
    let swept = when(&world, "all", |monitor| ready(monitor).0 == "Swept").await;
    assert_eq!(swept.status.as_ref().unwrap().found, Some(2));
    let resources = world.resources().list(&ListParams::default()).await.unwrap().items;
    let tags: Vec<_> = resources.iter().filter_map(|resource| resource.spec.tag.as_deref()).collect();
    assert_eq!(tags, ["Batch jobs/*", "web"]);
    for resource in &resources {
        assert_eq!(resource.annotations()[DISCOVERED_BY], "all");
        assert!(resource.owner_references().is_empty());
        world.resource_with_reason(&resource.name_any(), "Stopped").await;
    }
    assert_eq!(world.resource_with_reason("ec2.web", "Stopped").await.status.unwrap().instances, Some(2));
}

#[tokio::test]
async fn a_discovered_group_that_runs_is_not_stopped_before_its_grace() {
    let world = World::without_operator("discovered-running").await;
    let ids = machines(&world, "web", 1, InstanceState::Running);
    monitor(&world, "all", "ec2").await;
    let grace = patient(Duration::from_secs(3));
    world.start_operator(&[&format!("--adoption-grace={}ms", grace.as_millis())]);
    // when it is discovered, then it keeps running for the grace, and is stopped then
    let seen = world.resource_with_reason("ec2.web", "Idle").await;
    world.settled(&ids, InstanceState::Stopped).await;
    let stops = world.calls("StopInstances");
    assert!(arrived(&stops[0]) >= seen.creation_timestamp().unwrap().0 + grace, "{stops:?}");
}

#[tokio::test]
async fn a_deleted_resource_is_remembered_until_a_person_asks_for_it() {
    let world = World::without_operator("dismissed").await;
    machines(&world, "web", 1, InstanceState::Stopped);
    monitor(&world, "all", "ec2").await;
    world.start_operator(&[]);
    when(&world, "all", |monitor| ready(monitor).0 == "Swept").await;
    world.resource_with_reason("ec2.web", "Stopped").await;
    world.resources().delete("ec2.web", &DeleteParams::default()).await.unwrap();
    let is_gone = |resource: Option<&Resource>| resource.is_none();
    let gone = await_condition(world.resources(), "ec2.web", is_gone);
    tokio::time::timeout(patience(), gone).await.expect("it goes").unwrap();
    // when two scans follow, then the deletion is remembered
    scan(&world, "all").await;
    let swept = scan(&world, "all").await;
    assert_eq!(swept.status.unwrap().dismissed[0].tag, "web");
    assert!(world.resources().get_opt("ec2.web").await.unwrap().is_none());
    // when a user removes the entry, then the Resource is created again
    let ask = Patch::Merge(json!({ "status": { "dismissed": [] } }));
    monitors(&world).patch_status("all", &PatchParams::default(), &ask).await.unwrap();
    scan(&world, "all").await;
    world.resource_with_reason("ec2.web", "Stopped").await;
}

#[tokio::test]
async fn monitors_of_one_cloud_share_a_sweep_and_another_ones_finds_its_own_groups() {
    let world = World::without_operator("shared-sweep").await;
    machines(&world, "web", 1, InstanceState::Stopped);
    for name in ["one", "two", "three"] {
        monitor(&world, name, "ec2").await;
    }
    monitor(&world, "databases", "rds").await;
    let orders = AddDbInstance::new("orders").tag(TAG_APPLICATION, "web").tag(TAG_MANAGED, "true");
    world.ec2.world().add_db_instance(&orders).unwrap();
    world.start_operator(&[]);
    for name in ["one", "two", "three"] {
        when(&world, name, |monitor| ready(monitor).0 == "Swept").await;
    }
    when(&world, "databases", |monitor| ready(monitor).0 == "Swept").await;
    world.resource_with_reason("ec2.web", "Stopped").await;
    world.resource_with_reason("rds.web", "Idle").await;
    let sweeps = world.calls("DescribeInstances").len();
    // One scan, and one observation of the group.
    assert!(sweeps <= 3, "{sweeps} calls");
    assert_eq!(world.resources().list(&ListParams::default()).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_cloud_that_refuses_a_sweep_is_told_of_and_asked_again() {
    let world = World::without_operator("refused-sweep").await;
    machines(&world, "web", 1, InstanceState::Stopped);
    let refuses =
        FaultRule::on("DescribeInstances", FaultEffect::error("UnauthorizedOperation", "no")).times(1);
    world.ec2.world().add_fault(refuses);
    monitor(&world, "all", "ec2").await;
    world.start_operator(&[]);
    let answer = when(&world, "all", |monitor| ready(monitor).0 == "CloudError").await;
    assert!(ready(&answer).1.contains("UnauthorizedOperation"), "{}", ready(&answer).1);
}
