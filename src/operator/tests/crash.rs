//! A crash at any point between two effects: the next process reaches the goal.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use std::sync::Arc;

use bookings::api::BookingScheduler;
use common::{
    World, aws,
    crash::{CrashPoint, CrashingClouds, Side, crashing_client},
    in_ms, soon, state_word,
};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use testbed::{control_plane::ControlPlane, ec2::InstanceState};
use tokio_util::sync::CancellationToken;

/// How many lives run at the same time.
const SIDE_BY_SIDE: usize = 8;

/// The life of one booking, with a crash at one effect and a second process after it. Returns the number of effects
/// of the first process.
async fn life_with_crash(at: Option<(usize, Side)>) -> usize {
    let world = World::without_operator("crash").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let point = CrashPoint::new(at);
    let config = ControlPlane::shared().await.unwrap().client_config();
    let client = crashing_client(config, point.clone());
    let clouds = CrashingClouds { inner: aws(&world.ec2.url(), "first"), point: point.clone() };
    let stop = CancellationToken::new();
    world.run_operator(client, Arc::new(clouds), &[], stop.clone());
    world.resource("web", "web").await;
    let (start, end) = (soon(1_500), soon(6_000));
    world.book("b", "web", "ann", (start, end)).await;
    if at.is_some() {
        tokio::time::timeout(common::patience(), point.crashed.cancelled()).await.expect("reaches the crash");
        world.start_operator(&[]);
    }
    let finished = world.booking_when("b", "finished", |booking| state_word(booking) == "FINISHED").await;
    world.settled(&ids, InstanceState::Stopped).await;
    let resource = world
        .resource_when("web", "stopped and free", |resource| {
            let status = resource.status.clone().unwrap_or_default();
            status.holder.is_none() && common::resource_reason(resource) == "Stopped"
        })
        .await;
    assert_eq!(resource.status.unwrap().running, Some(0), "{at:?}");
    assert_eq!(common::reason(&finished), "Finished", "{at:?}: it held its group");
    for stopped in world.calls("StopInstances") {
        let early = end.as_microsecond() - stopped.arrived.wall.unix_micros();
        assert!(early <= 0, "{at:?}: stopped {early} us before its end");
    }
    for started in world.calls("StartInstances") {
        let early = start.as_microsecond() - started.arrived.wall.unix_micros();
        assert!(early <= 0, "{at:?}: started {early} us before its start");
    }
    stop.cancel();
    point.effects()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_before_or_after_any_write_or_call_of_a_life_costs_a_repeat_never_a_loss() {
    // given the number of effects in a life without a crash
    let effects = life_with_crash(None).await;
    assert!(effects >= 12, "a life has {effects} effects");
    // when the process crashes before or after each of them, then every life is completed
    let points = (0..effects).flat_map(|n| [(n, Side::Before), (n, Side::After)]);
    let survived = stream::iter(points)
        .map(|point| tokio::spawn(life_with_crash(Some(point))))
        .buffer_unordered(SIDE_BY_SIDE)
        .map(|life| life.expect("every life converges"))
        .count()
        .await;
    println!("{survived} of {} crash points survived", effects * 2);
    assert_eq!(survived, effects * 2);
}

/// A scheduler with a dozen missed occurrences, and a crash at one effect of the process that books them. Returns the
/// number of effects of that process.
async fn schedule_with_crash(at: Option<(usize, Side)>) -> usize {
    let world = World::without_operator("crash-schedule").await;
    let point = CrashPoint::new(at);
    let config = ControlPlane::shared().await.unwrap().client_config();
    let client = crashing_client(config, point.clone());
    let clouds = CrashingClouds { inner: aws(&world.ec2.url(), "first"), point: point.clone() };
    let stop = CancellationToken::new();
    // given a schedule that fires each minute, and whose next occurrence was twelve minutes ago
    let first = Timestamp::from_second(in_ms(-12 * 60_000 - 4_000).as_second()).unwrap();
    let schedulers: Api<BookingScheduler> = Api::namespaced(world.client.clone(), &world.namespace);
    let spec = json!({
        "schedule": "@every 1m", "duration": 60, "bookingTemplate": { "resource_name": "web", "user_id": "ann" },
    });
    let often = BookingScheduler::new("often", serde_json::from_value(spec).unwrap());
    schedulers.create(&PostParams::default(), &often).await.unwrap();
    let next = Patch::Merge(json!({ "status": { "next": first.to_string() } }));
    schedulers.patch_status("often", &PatchParams::default(), &next).await.unwrap();
    world.run_operator(client, Arc::new(clouds), &[], stop.clone());
    if at.is_some() {
        tokio::time::timeout(common::patience(), point.crashed.cancelled()).await.expect("reaches the crash");
        world.start_operator(&[]);
    }
    // when everything up to now is dealt with
    let now = first + SignedDuration::from_mins(12);
    let has_caught_up = |scheduler: Option<&BookingScheduler>| {
        let status = scheduler.and_then(|scheduler| scheduler.status.as_ref());
        let caught_up = status.and_then(|status| status.caught_up_to.as_ref());
        caught_up.is_some_and(|to| to.parse::<Timestamp>().unwrap() >= now)
    };
    let waits = await_condition(schedulers.clone(), "often", has_caught_up);
    tokio::time::timeout(common::patience(), waits).await.expect("catches up").unwrap();
    stop.cancel();
    // then each occurrence has one Booking
    let bookings = world.bookings().list(&ListParams::default()).await.unwrap().items;
    let mut starts: Vec<Timestamp> =
        bookings.iter().map(|booking| booking.spec.start_at.as_ref().unwrap().parse().unwrap()).collect();
    starts.sort();
    let expected: Vec<Timestamp> =
        (0..starts.len()).map(|n| first + SignedDuration::from_mins(1) * i32::try_from(n).unwrap()).collect();
    assert_eq!(starts, expected, "{at:?}");
    assert!(starts.len() >= 13, "{at:?}: {}", starts.len());
    point.effects()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_before_or_after_any_write_of_a_scheduler_neither_doubles_nor_loses_a_booking() {
    let effects = schedule_with_crash(None).await;
    assert!(effects >= 14, "{effects} effects");
    let points = (0..14).flat_map(|n| [(n, Side::Before), (n, Side::After)]);
    let survived = stream::iter(points)
        .map(|point| tokio::spawn(schedule_with_crash(Some(point))))
        .buffer_unordered(SIDE_BY_SIDE)
        .map(|life| life.expect("every one catches up"))
        .count()
        .await;
    println!("{survived} of 28 crash points of a scheduler survived");
    assert_eq!(survived, 28);
}
