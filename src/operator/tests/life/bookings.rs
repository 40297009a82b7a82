//! What can happen to a Booking.

use bookings::api::{Booking, ResourceSpec, WhenIdle};
use kube::{
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use testbed::ec2::InstanceState;

use crate::common::{
    World, arrived, ec2, for_ms, in_ms, message, patience, reason, soon, state_word, the_hour,
};

#[tokio::test]
async fn a_booking_starts_locks_stops_and_frees_its_group_and_is_never_early() {
    // given a stopped group of three, booked for a few seconds, soon
    let world = World::new("life").await;
    let ids = world.machines("web", 3, InstanceState::Stopped);
    world.resource("web", "web").await;
    let (start, end) = (soon(2_500), soon(7_000));
    world.book("b", "web", "ann", (start, end)).await;
    let scheduled = world.booking_with_reason("b", "Scheduled").await;
    assert_eq!(state_word(&scheduled), "SCHEDULED");
    // when it begins, then it becomes ready and is locked for its holder until its end
    let held = world.booking_with_reason("b", "Held").await;
    assert_eq!(state_word(&held), "IN PROGRESS");
    for id in &ids {
        assert_eq!(world.state(id), InstanceState::Running);
        assert_eq!(world.lock(id), Some(("ann".into(), end.to_string())));
    }
    let resource = world.resource_with_reason("web", "Held").await.status.unwrap();
    assert_eq!((resource.locked_by.as_deref(), resource.running), (Some("ann"), Some(3)));
    // when it ends, then the group is stopped and unlocked
    let finished = world.booking_with_reason("b", "Finished").await;
    assert_eq!(state_word(&finished), "FINISHED");
    world.settled(&ids, InstanceState::Stopped).await;
    let resource = world.resource_with_reason("web", "Stopped").await.status.unwrap();
    assert_eq!((resource.locked_by.as_deref(), resource.status.as_deref()), (Some(""), Some("STOPPED")));
    // and the calls were sent when they were due, one of each kind
    for (action, due) in [("StartInstances", start), ("StopInstances", end)] {
        let calls = world.calls(action);
        assert_eq!(calls.len(), 1, "{action}");
        assert!(arrived(&calls[0]) >= due, "{action} at {}, due at {due}", arrived(&calls[0]));
    }
    assert_eq!(world.calls("CreateTags").len(), 1);
    assert_eq!(world.calls("DeleteTags").len(), 1);
}

#[tokio::test]
async fn a_booking_of_a_few_seconds_acts() {
    let world = World::new("short").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", (in_ms(0), soon(5_000))).await;
    world.booking_with_reason("b", "Held").await;
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn deleting_an_active_booking_stops_and_frees_its_group_at_once() {
    let world = World::new("delete").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    world.delete_booking("b").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn retargeting_an_active_booking_moves_the_hold_to_the_other_group() {
    let world = World::new("retarget").await;
    let web = world.machines("web", 1, InstanceState::Stopped);
    let db = world.machines("db", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.resource("db", "db").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    world.edit_booking("b", json!({ "resource_name": "db" })).await;
    world.settled(&web, InstanceState::Stopped).await;
    world
        .eventually("db is held", || {
            world.state(&db[0]) == InstanceState::Running && world.lock(&db[0]).is_some()
        })
        .await;
}

#[tokio::test]
async fn shortening_extending_and_early_release_take_effect_at_once() {
    let world = World::new("times").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", (in_ms(-1_000), in_ms(600_000))).await;
    world.booking_with_reason("b", "Held").await;
    // when it is extended, then the lock tags follow, without a stop
    let later = in_ms(1_200_000);
    world.edit_booking("b", json!({ "end_at": later.to_string() })).await;
    let locked_until = |until: String| world.lock(&ids[0]) == Some(("ann".into(), until));
    world.eventually("extended", || locked_until(later.to_string())).await;
    // when it is shortened, then again
    let sooner = in_ms(300_000);
    world.edit_booking("b", json!({ "end_at": sooner.to_string() })).await;
    world.eventually("shortened", || locked_until(sooner.to_string())).await;
    assert!(world.calls("StopInstances").is_empty());
    // when it is released, then the group stops at once, although its lock lasts for minutes
    world.release("b").await;
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn back_to_back_bookings_of_one_user_never_stop_in_between() {
    let world = World::new("backtoback").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let middle = soon(4_000);
    world.book("first", "web", "ann", (in_ms(0), middle)).await;
    world.book("second", "web", "ann", (middle, in_ms(3_600_000))).await;
    world.booking_with_reason("first", "Held").await;
    world.booking_with_reason("second", "Held").await;
    assert!(world.calls("StopInstances").is_empty());
    world.release("second").await;
    world.booking_with_reason("second", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
    assert_eq!((world.calls("StartInstances").len(), world.calls("StopInstances").len()), (1, 1));
}

#[tokio::test]
async fn a_second_user_waits_says_for_whom_and_gets_the_group_without_a_stop_in_between() {
    let world = World::new("second").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("ann", "web", "ann", the_hour()).await;
    world.booking_with_reason("ann", "Held").await;
    // when bob books the same time, then he waits
    world.book("bob", "web", "bob", the_hour()).await;
    let waiting = world.booking_with_reason("bob", "Waiting").await;
    let text = message(&waiting, "Ready");
    assert!(text.contains("waits for ann until") && text.contains("place 1"), "{text}");
    assert_eq!(state_word(&waiting), "SCHEDULED");
    assert_eq!(world.lock(&ids[0]).unwrap().0, "ann");
    // when ann releases, then bob holds it
    world.delete_booking("ann").await;
    world.booking_with_reason("bob", "Held").await;
    assert_eq!(world.lock(&ids[0]).unwrap().0, "bob");
    assert!(world.calls("StopInstances").is_empty());
}

#[tokio::test]
async fn an_extension_into_somebodys_window_is_granted_up_to_it() {
    let world = World::new("extension").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let border = in_ms(1_800_000);
    world.book("ann", "web", "ann", (in_ms(-1_000), in_ms(900_000))).await;
    world.booking_with_reason("ann", "Held").await;
    world.book("bob", "web", "bob", (border, in_ms(3_600_000))).await;
    world.booking_with_reason("bob", "Scheduled").await;
    // when ann extends past bob's start, then she gets the time up to it, and a condition says so
    world.edit_booking("ann", json!({ "end_at": in_ms(2_700_000).to_string() })).await;
    let cut = world
        .booking_when("ann", "granted in part", |booking| {
            let status = booking.status.clone().unwrap_or_default();
            status.granted_until == Some(border.to_string())
        })
        .await;
    let text = message(&cut, "Accepted");
    assert!(text.contains("granted until") && text.contains("bob"), "{text}");
    world
        .eventually("locked until bob's start", || {
            world.lock(&ids[0]) == Some(("ann".into(), border.to_string()))
        })
        .await;
}

#[tokio::test]
async fn a_manual_hold_goes_before_bookings_and_ends_by_itself() {
    let world = World::new("manual").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    let until = the_hour().1;
    let hold = ResourceSpec {
        booked_by: Some("carol".into()),
        booked_until: Some(until.to_string()),
        when_idle: Some(WhenIdle::Stop),
        ..ec2("web")
    };
    world.resource_with("web", hold).await;
    world
        .eventually("held by carol", || {
            world.state(&ids[0]) == InstanceState::Running
                && world.lock(&ids[0]) == Some(("carol".into(), until.to_string()))
        })
        .await;
    world.book("ann", "web", "ann", the_hour()).await;
    let waiting = world.booking_with_reason("ann", "Waiting").await;
    assert!(message(&waiting, "Ready").contains("carol"));
    // when its time is over, then the group goes to the booking without a stop
    let shorter = Patch::Merge(json!({ "spec": { "booked_until": in_ms(1_500).to_string() } }));
    world.resources().patch("web", &PatchParams::default(), &shorter).await.unwrap();
    world.booking_with_reason("ann", "Held").await;
    assert_eq!(world.lock(&ids[0]).unwrap().0, "ann");
    assert!(world.calls("StopInstances").is_empty());
}

#[tokio::test]
async fn a_booking_applied_before_its_resource_comes_alive_with_it() {
    let world = World::new("before").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "ResourceNotFound").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.booking_with_reason("b", "Held").await;
    assert_eq!(world.state(&ids[0]), InstanceState::Running);
}

#[tokio::test]
async fn an_invalid_booking_acts_on_nothing_says_why_and_does_not_trouble_the_others() {
    let world = World::new("invalid").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("good", "web", "ann", the_hour()).await;
    world.booking_with_reason("good", "Held").await;
    // given a Booking for a Resource in a region that is not allowed
    let abroad = ResourceSpec { region: Some("us-east-1".into()), ..ec2("db") };
    world.resource_with("abroad", abroad).await;
    world.resource_with_reason("abroad", "NotAllowed").await;
    world.book("b", "abroad", "bob", the_hour()).await;
    let refused = world.booking_with_reason("b", "ResourceInvalid").await;
    assert!(message(&refused, "Ready").contains("us-east-1"), "{}", message(&refused, "Ready"));
    assert_eq!(world.state(&ids[0]), InstanceState::Running);
}

#[tokio::test]
async fn a_status_that_somebody_wipes_is_written_again() {
    let world = World::new("wiped").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    let wipe = Patch::Merge(json!({ "status": null }));
    world.bookings().patch_status("b", &PatchParams::default(), &wipe).await.unwrap();
    let again = world.booking_with_reason("b", "Held").await;
    assert_eq!(reason(&again), "Held");
}

#[tokio::test]
async fn a_finished_booking_goes_when_its_time_to_stay_is_over() {
    let world = World::new("expires").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", for_ms(2_000)).await;
    world.edit_booking("b", json!({ "ttl_minutes_after_finished": 0 })).await;
    let is_gone = |booking: Option<&Booking>| booking.is_none();
    let gone = await_condition(world.bookings(), "b", is_gone);
    tokio::time::timeout(patience(), gone).await.expect("it goes").unwrap();
    let resource = world.resource_with_reason("web", "Stopped").await;
    assert_eq!(resource.status.unwrap().holder, None);
}
