//! A settled world costs nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    World, aws,
    crash::{CrashPoint, CrashingClouds, crashing_client},
    in_ms, patience, the_hour,
};
use futures::{StreamExt, stream};
use testbed::{control_plane::ControlPlane, ec2::InstanceState, patience::patient};
use tokio_util::sync::CancellationToken;

const RESOURCES: usize = 100;
const QUIET: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_seconds_in_which_nothing_is_due_cost_no_write_and_no_mutation() {
    // given a hundred groups: held, booked for tomorrow, finished, waiting, unbooked
    let world = World::without_operator("settled").await;
    let writes = CrashPoint::new(None);
    let config = ControlPlane::shared().await.unwrap().client_config();
    let clouds = CrashingClouds { inner: aws(&world.ec2.url(), "operator"), point: writes.clone() };
    let stop = CancellationToken::new();
    let client = crashing_client(config, writes.clone());
    let args = ["--observe-interval=5s"];
    let operator = world.run_operator(client, Arc::new(clouds), &args, stop.clone());
    stream::iter(0..RESOURCES).for_each_concurrent(8, |n| populate(&world, n)).await;
    for n in 0..RESOURCES {
        match n % 5 {
            0 => drop(world.booking_with_reason(&format!("held-{n}"), "Held").await),
            1 => drop(world.booking_with_reason(&format!("tomorrow-{n}"), "Scheduled").await),
            2 => drop(world.booking_with_reason(&format!("past-{n}"), "NeverHeld").await),
            3 => drop(world.booking_with_reason(&format!("waiting-{n}"), "Waiting").await),
            _ => {}
        }
        let wanted = if matches!(n % 5, 0 | 3) { "Held" } else { "Stopped" };
        world.resource_with_reason(&format!("r-{n}"), wanted).await;
    }
    // when nothing is due for thirty seconds, apart from observations of the cloud
    came_to_rest(&writes).await;
    let (before, looks) = (writes.effects(), world.calls("DescribeInstances").len());
    tokio::time::sleep(QUIET).await;
    // then nothing was written and nothing was mutated
    assert_eq!(writes.effects() - before, 0);
    assert!(world.calls("DescribeInstances").len() > looks, "the operator is alive");
    stop.cancel();
    operator.await.unwrap();
}

/// Waits until no write follows another one within a second, or longer on a busy machine.
async fn came_to_rest(writes: &CrashPoint) {
    let deadline = tokio::time::Instant::now() + patience();
    let mut known = None;
    loop {
        let before = known.replace(writes.effects());
        if before == known {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "writes go on: {known:?}");
        tokio::time::sleep(patient(Duration::from_secs(1))).await;
    }
}

async fn populate(world: &World, n: usize) {
    let (tag, resource) = (format!("g-{n}"), format!("r-{n}"));
    world.machines(&tag, 2, InstanceState::Stopped);
    world.resource(&resource, &tag).await;
    let hour = 3_600_000;
    match n % 5 {
        0 => drop(world.book(&format!("held-{n}"), &resource, "ann", the_hour()).await),
        1 => {
            let tomorrow = (in_ms(24 * hour), in_ms(25 * hour));
            world.book(&format!("tomorrow-{n}"), &resource, "ann", tomorrow).await;
        }
        2 => {
            let past = (in_ms(-2 * hour), in_ms(-hour));
            world.book(&format!("past-{n}"), &resource, "ann", past).await;
        }
        3 => {
            world.book(&format!("ahead-{n}"), &resource, "ann", the_hour()).await;
            world.booking_with_reason(&format!("ahead-{n}"), "Held").await;
            world.book(&format!("waiting-{n}"), &resource, "bob", the_hour()).await;
        }
        _ => {}
    }
}
