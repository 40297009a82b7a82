//! What BookingSchedulers do.

use bookings::api::{Booking, BookingScheduler, BookingSchedulerSpec, BookingTemplate};
use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use testbed::ec2::InstanceState;

use crate::common::{World, arrived, in_ms, patience, soon};

/// Books the group `web` every hour for half an hour.
fn hourly() -> BookingSchedulerSpec {
    BookingSchedulerSpec {
        schedule: Some("@every 1h".into()),
        duration: Some(30),
        booking_template: Some(BookingTemplate {
            resource_name: Some("web".into()),
            user_id: Some("ann".into()),
            ..BookingTemplate::default()
        }),
        ..BookingSchedulerSpec::default()
    }
}

fn schedulers(world: &World) -> Api<BookingScheduler> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

/// A scheduler for which another operator was going to book `next`.
async fn scheduler(
    world: &World,
    name: &str,
    spec: BookingSchedulerSpec,
    next: Timestamp,
) -> BookingScheduler {
    let api = schedulers(world);
    api.create(&PostParams::default(), &BookingScheduler::new(name, spec)).await.unwrap();
    let patch = Patch::Merge(json!({ "status": { "next": next.to_string() } }));
    api.patch_status(name, &PatchParams::default(), &patch).await.unwrap()
}

async fn when(world: &World, name: &str, is: impl Fn(&BookingScheduler) -> bool) -> BookingScheduler {
    let condition = |scheduler: Option<&BookingScheduler>| scheduler.is_some_and(&is);
    let waits = await_condition(schedulers(world), name, condition);
    tokio::time::timeout(patience(), waits).await.expect("looks as wanted in time").unwrap().unwrap()
}

fn ready(scheduler: &BookingScheduler) -> &str {
    let conditions = scheduler.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == "Ready")
        .map(|ready| ready.reason.as_str())
        .next()
        .unwrap_or_default()
}

/// Whether all occurrences up to `instant` are dealt with.
fn has_caught_up(scheduler: &BookingScheduler, instant: Timestamp) -> bool {
    let caught_up = scheduler.status.as_ref().and_then(|status| status.caught_up_to.as_deref());
    caught_up.is_some_and(|caught_up| caught_up.parse::<Timestamp>().unwrap() >= instant)
}

/// An instant, rounded down to a whole second.
fn second(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap()
}

fn name(scheduler: &str, start: Timestamp) -> String {
    format!("{scheduler}-{}", start.as_second())
}

#[tokio::test]
async fn an_occurrence_is_booked_ahead_owned_and_held_from_its_start() {
    let world = World::without_operator("occurrence").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let start = second(soon(6_000));
    let made = scheduler(&world, "hourly", hourly(), start).await;
    world.start_operator(&[]);
    let booking = world.booking_with_reason(&name("hourly", start), "Scheduled").await;
    assert_eq!(booking.owner_references()[0].uid, made.uid().unwrap());
    world.booking_with_reason(&name("hourly", start), "Held").await;
    let started = arrived(&world.calls("StartInstances")[0]);
    assert!(started >= start, "{started}");
    // and the next one is an hour later
    let scheduler = when(&world, "hourly", |scheduler| ready(scheduler) == "Scheduled").await;
    let next = (start + SignedDuration::from_hours(1)).to_string();
    assert_eq!(scheduler.status.unwrap().next, Some(next));
}

#[tokio::test]
async fn a_deleted_booking_of_a_schedule_stays_deleted_whatever_happens_to_the_scheduler() {
    let world = World::without_operator("deleted-occurrence").await;
    let start = second(in_ms(20_000));
    scheduler(&world, "hourly", hourly(), start).await;
    world.start_operator(&[]);
    when(&world, "hourly", |scheduler| has_caught_up(scheduler, start)).await;
    world.delete_booking(&name("hourly", start)).await;
    // when a pass decides about its scheduler again
    let edit = Patch::Merge(json!({ "spec": { "suspend": true } }));
    schedulers(&world).patch("hourly", &PatchParams::default(), &edit).await.unwrap();
    when(&world, "hourly", |scheduler| ready(scheduler) == "Suspended").await;
    let edit = Patch::Merge(json!({ "spec": { "suspend": false } }));
    schedulers(&world).patch("hourly", &PatchParams::default(), &edit).await.unwrap();
    when(&world, "hourly", |scheduler| ready(scheduler) == "Scheduled").await;
    assert!(world.bookings().get_opt(&name("hourly", start)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_told_so_and_stops_nobody_else() {
    let world = World::without_operator("bad-schedule").await;
    let bad = BookingSchedulerSpec { schedule: Some("0 8 * * MOON".into()), ..hourly() };
    let start = second(in_ms(20_000));
    scheduler(&world, "bad", bad, start).await;
    scheduler(&world, "good", hourly(), start).await;
    world.start_operator(&[]);
    world.booking_with_reason(&name("good", start), "ResourceNotFound").await;
    let bad = when(&world, "bad", |scheduler| ready(scheduler) == "Invalid").await;
    let status = bad.status.unwrap();
    assert!(status.conditions[0].message.contains("MOON"), "{status:?}");
    assert_eq!(world.bookings().list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_name_that_somebody_elses_booking_has_is_told_and_left_alone() {
    let world = World::without_operator("taken").await;
    let start = second(in_ms(20_000));
    let theirs = world.book(&name("hourly", start), "other", "mallory", (in_ms(0), in_ms(60_000))).await;
    scheduler(&world, "hourly", hourly(), start).await;
    world.start_operator(&[]);
    when(&world, "hourly", |scheduler| has_caught_up(scheduler, start)).await;
    let found = world.bookings().get(&name("hourly", start)).await.unwrap();
    assert_eq!((&found.spec, found.uid()), (&theirs.spec, theirs.uid()));
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let is_told = |event: WatchEvent<Event>| match event {
        WatchEvent::Added(event) => event.reason.as_deref() == Some("NameTaken"),
        _ => false,
    };
    let mut seen = events.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let told = async { while !is_told(seen.try_next().await.unwrap().expect("the watch goes on")) {} };
    tokio::time::timeout(patience(), told).await.expect("people are told");
}

#[tokio::test]
async fn finished_bookings_of_a_schedule_go_when_there_are_too_many() {
    let world = World::without_operator("history").await;
    let every = SignedDuration::from_hours(1);
    let spec = BookingSchedulerSpec { duration: Some(60), finished_bookings_limit: Some(0), ..hourly() };
    // given occurrences of an hour each, of which the first is over soon
    let first = second(soon(5_000)) - every;
    scheduler(&world, "often", spec, first).await;
    world.start_operator(&[]);
    for start in [first, first + every] {
        world.booking_when(&name("often", start), "there", |_| true).await;
    }
    let is_gone = |booking: Option<&Booking>| booking.is_none();
    let first_name = name("often", first);
    let gone = await_condition(world.bookings(), &first_name, is_gone);
    tokio::time::timeout(patience(), gone).await.expect("the first goes").unwrap();
    // then the next one exists while it is not over
    assert!(world.bookings().get_opt(&name("often", first + every)).await.unwrap().is_some());
}
