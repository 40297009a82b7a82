//! A booking's life and everything that can happen to it, on a real API server and a simulated EC2.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use booking_api::{OnDelete, ResourceSpec, WhenIdle};
use common::{World, ec2, for_ms, in_ms, message, reason, state_word, the_hour};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::{
    control_plane::{finalize_namespace, terminate_namespace},
    ec2::{FallsBack, InstanceState},
};

const TWO_SECONDS: i64 = 2_000_000;

#[tokio::test]
async fn a_booking_starts_locks_stops_and_frees_its_group_on_time() {
    // given a stopped group of three, booked for three seconds, soon
    let world = World::new("life").await;
    let ids = world.machines("web", 3, InstanceState::Stopped);
    world.resource("web", "web").await;
    let (start, end) = (in_ms(1_500), in_ms(4_500));
    world.book("b", "web", "ann", (start, end)).await;
    let scheduled = world.booking_with_reason("b", "Scheduled").await;
    assert_eq!(state_word(&scheduled), "SCHEDULED");
    // when it begins, then it gets ready, locked for its holder until its end
    let held = world.booking_with_reason("b", "Held").await;
    assert_eq!(state_word(&held), "IN PROGRESS");
    for id in &ids {
        assert_eq!(world.state(id), InstanceState::Running);
        assert_eq!(world.lock(id), Some(("ann".into(), end.to_string())));
    }
    let resource = world.resource_with_reason("web", "Held").await.status.unwrap();
    assert_eq!((resource.locked_by.as_deref(), resource.running), (Some("ann"), Some(3)));
    // when it ends, then the group is stopped and free
    let finished = world.booking_with_reason("b", "Finished").await;
    assert_eq!(state_word(&finished), "FINISHED");
    world.settled(&ids, InstanceState::Stopped).await;
    let resource = world.resource_with_reason("web", "Stopped").await.status.unwrap();
    assert_eq!((resource.locked_by.as_deref(), resource.status.as_deref()), (Some(""), Some("STOPPED")));
    // and the calls went out on time, one of each kind
    for (action, due) in [("StartInstances", start), ("StopInstances", end)] {
        let calls = world.calls(action);
        assert_eq!(calls.len(), 1, "{action}");
        let late = calls[0].arrived.wall.unix_micros() - due.as_microsecond();
        assert!((0..TWO_SECONDS).contains(&late), "{action} {late} us late");
    }
    assert_eq!(world.calls("CreateTags").len(), 1);
    assert_eq!(world.calls("DeleteTags").len(), 1);
}

#[tokio::test]
async fn a_booking_of_five_seconds_acts() {
    let world = World::new("short").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", for_ms(5_000)).await;
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
    // when it is released, then the group stops at once, though its lock had minutes to go
    world.edit_booking("b", json!({ "end_at": in_ms(0).to_string() })).await;
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn back_to_back_bookings_of_one_user_never_stop_in_between() {
    let world = World::new("backtoback").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let (middle, end) = (in_ms(2_500), in_ms(4_500));
    world.book("first", "web", "ann", (in_ms(0), middle)).await;
    world.book("second", "web", "ann", (middle, end)).await;
    world.booking_with_reason("first", "Held").await;
    world.booking_with_reason("second", "Held").await;
    assert!(world.calls("StopInstances").is_empty());
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
    // when ann extends past bob's start, then she gets the time up to it and is told
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
    let until = in_ms(4_000);
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
    world.booking_with_reason("ann", "Held").await;
    assert_eq!(world.lock(&ids[0]).unwrap().0, "ann");
    assert!(world.calls("StopInstances").is_empty());
}

#[tokio::test]
async fn a_machine_with_a_foreign_lock_is_left_alone_and_named_while_the_others_go_on() {
    let world = World::new("foreign").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let theirs = (String::from("mallory"), in_ms(4_000).to_string());
    world.set_lock(&ids[0], &theirs.0, &theirs.1);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    let blocked = world.booking_with_reason("b", "ForeignLock").await;
    assert!(message(&blocked, "Ready").contains(&ids[0]) && message(&blocked, "Ready").contains("mallory"));
    world.eventually("the other runs", || world.state(&ids[1]) == InstanceState::Running).await;
    assert_eq!((world.state(&ids[0]), world.lock(&ids[0])), (InstanceState::Stopped, Some(theirs)));
    // when the foreign lock expires, then the group gets whole
    world.booking_with_reason("b", "Held").await;
}

#[tokio::test]
async fn a_half_running_group_gets_whole_and_is_wholly_stopped() {
    let world = World::new("half").await;
    let mut ids = world.machines("web", 1, InstanceState::Running);
    ids.extend(world.machines("web", 1, InstanceState::Stopped));
    // given nobody holds it, then what runs is stopped
    world.resource("web", "web").await;
    world.settled(&ids, InstanceState::Stopped).await;
    assert_eq!(world.calls("StopInstances")[0].facts.instance_ids, ids[..1]);
    // when it is booked while one runs, then it gets whole, and is wholly stopped
    world.ec2.world().set_state(&ids[..1], InstanceState::Running, None).unwrap();
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    world.delete_booking("b").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn a_terminated_member_and_one_of_a_scaling_group_hold_nobody_up() {
    let world = World::new("members").await;
    let ids = world.machines("web", 3, InstanceState::Stopped);
    world.ec2.world().terminate(&ids[..1]).unwrap();
    let scaling = [("aws:autoscaling:groupName".to_owned(), "asg-1".to_owned())].into_iter().collect();
    world.ec2.world().set_tags(&ids[1..2], &scaling).unwrap();
    world.resource("web", "web").await;
    world.book("b", "web", "ann", for_ms(3_000)).await;
    world.booking_with_reason("b", "Held").await;
    assert_eq!(world.state(&ids[1]), InstanceState::Stopped);
    let resource = world.resource_with_reason("web", "Held").await.status.unwrap();
    assert_eq!(resource.instances, Some(2));
    let named = resource.conditions.iter().find(|condition| condition.type_ == "Unmanageable").unwrap();
    assert!(named.message.contains(&ids[1]) && named.message.contains("asg-1"), "{}", named.message);
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids[2..], InstanceState::Stopped).await;
    for action in ["StartInstances", "StopInstances"] {
        for call in world.calls(action) {
            assert_eq!(call.facts.instance_ids, ids[2..], "{action}");
        }
    }
}

#[tokio::test]
async fn of_two_resources_on_one_group_one_acts() {
    // given two Resources on one group
    let world = World::new("claimed").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("one", "web").await;
    world.resource("two", "web").await;
    let is_claimed = |resource: &booking_api::Resource| common::resource_reason(resource) == "GroupClaimed";
    let (acts, stands_by) = tokio::select! {
        _ = world.resource_when("two", "claimed", is_claimed) => ("one", "two"),
        _ = world.resource_when("one", "claimed", is_claimed) => ("two", "one"),
    };
    world.resource_with_reason(acts, "Stopped").await;
    // when the other is booked, then nothing happens but an answer
    world.book("late", stands_by, "bob", the_hour()).await;
    world.booking_with_reason("late", "GroupClaimed").await;
    assert!(world.calls("StartInstances").is_empty());
    // when the one that acts goes, then the other takes its place
    world.resources().delete(acts, &DeleteParams::default()).await.unwrap();
    world.booking_with_reason("late", "Held").await;
    assert_eq!(world.lock(&ids[0]).unwrap().0, "bob");
}

#[tokio::test]
async fn a_tag_of_an_asterisk_is_that_tag_and_no_wildcard() {
    let world = World::new("asterisk").await;
    let star = world.machines("*", 1, InstanceState::Stopped);
    let other = world.machines("web", 1, InstanceState::Running);
    world.resource("star", "*").await;
    world.book("b", "star", "ann", for_ms(2_500)).await;
    world.booking_with_reason("b", "Held").await;
    world.booking_with_reason("b", "Finished").await;
    world.settled(&star, InstanceState::Stopped).await;
    assert_eq!(world.state(&other[0]), InstanceState::Running);
}

#[tokio::test]
async fn a_machine_that_starts_and_falls_back_is_reported_with_its_reason_and_tried_again() {
    let world = World::new("fallback").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let falls =
        FallsBack { times: Some(1), ..FallsBack::always("Client.InternalError", "the key is disabled") };
    world.ec2.world().set_falls_back(&ids[..1], Some(&falls)).unwrap();
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    let failed = world.booking_with_reason("b", "CloudError").await;
    let text = message(&failed, "Ready");
    assert!(text.contains(&ids[0]) && text.contains("the key is disabled"), "{text}");
    world.booking_with_reason("b", "Held").await;
    assert!(world.calls("StartInstances").len() <= 3);
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
async fn a_resource_deleted_while_booked_frees_its_machines_and_leaves_or_stops_them() {
    for (on_delete, expected) in
        [(OnDelete::Release, InstanceState::Running), (OnDelete::Stop, InstanceState::Stopped)]
    {
        let world = World::new("gone").await;
        let ids = world.machines("web", 2, InstanceState::Stopped);
        world.resource_with("web", ResourceSpec { on_delete: Some(on_delete), ..ec2("web") }).await;
        world.book("b", "web", "ann", the_hour()).await;
        world.booking_with_reason("b", "Held").await;
        world.resources().delete("web", &DeleteParams::default()).await.unwrap();
        world.settled(&ids, expected).await;
        let left = world.booking_with_reason("b", "ResourceNotFound").await;
        assert_eq!(state_word(&left), "IN PROGRESS");
        let gone = |found: Option<&booking_api::Resource>| found.is_none();
        let wait = kube::runtime::wait::await_condition(world.resources(), "web", gone);
        tokio::time::timeout(common::PATIENCE, wait).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_deleted_namespace_goes_and_its_machines_are_free() {
    let world = World::new("namespace").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource_with("web", ec2("web")).await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    terminate_namespace(&world.client, &world.namespace).await.unwrap();
    let kinds = [
        kube::api::ApiResource::erase::<booking_api::Resource>(&()),
        kube::api::ApiResource::erase::<booking_api::Booking>(&()),
    ];
    finalize_namespace(&world.client, &world.namespace, &kinds).await.unwrap();
    assert_eq!(world.lock(&ids[0]), None);
}

#[tokio::test]
async fn an_invalid_booking_acts_on_nothing_says_why_and_does_not_trouble_the_others() {
    let world = World::new("invalid").await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.book("good", "web", "ann", the_hour()).await;
    world.booking_with_reason("good", "Held").await;
    // given a Booking for a Resource with an unsupported type, and one for an unknown region
    world.resource_with("rds", ResourceSpec { type_: Some("rds".into()), ..ec2("db") }).await;
    world.resource_with_reason("rds", "Unsupported").await;
    let abroad = ResourceSpec { region: Some("us-east-1".into()), ..ec2("db") };
    world.resource_with("abroad", abroad).await;
    world.book("b", "abroad", "bob", the_hour()).await;
    let refused = world.booking_with_reason("b", "ResourceInvalid").await;
    assert!(message(&refused, "Ready").contains("us-east-1"), "{}", message(&refused, "Ready"));
    assert_eq!(world.state(&ids[0]), InstanceState::Running);
}

#[tokio::test]
async fn what_runs_when_first_seen_is_left_running_for_the_grace_but_not_after_a_booking() {
    let world = World::with_args("grace", &["--adoption-grace=1h"]).await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource_with("web", ec2("web")).await;
    let resource = world.resource_with_reason("web", "Idle").await.status.unwrap();
    assert!(resource.conditions.iter().any(|condition| condition.type_ == "IdleStopPending"));
    world.book("b", "web", "ann", for_ms(2_000)).await;
    world.booking_with_reason("b", "Held").await;
    assert!(world.calls("StopInstances").is_empty());
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn the_trace_of_the_original_operator_becomes_a_recorded_hold_and_is_cleared() {
    // given a booking in the middle of its time, as the original left it
    let world = World::without_operator("trace").await;
    let ids = world.machines("web", 1, InstanceState::Running);
    let window = the_hour();
    let trace = ResourceSpec {
        booked_by: Some("ann".into()),
        booked_until: Some(window.1.to_string()),
        ..ec2("web")
    };
    world.resource_with("web", trace).await;
    world.book("b", "web", "ann", window).await;
    world.set_lock(&ids[0], "ann", &window.1.to_string());
    // when our operator takes over
    world.start_operator(&[]);
    world.booking_with_reason("b", "Held").await;
    let taken = world
        .resource_when("web", "cleared", |resource| resource.spec.booked_by.as_deref() == Some(""))
        .await;
    // then the hold is recorded and nothing was called but a describe
    assert_eq!(taken.status.unwrap().holder.unwrap().user, "ann");
    for action in ["StartInstances", "StopInstances", "CreateTags", "DeleteTags"] {
        assert!(world.calls(action).is_empty(), "{action}");
    }
    // and an early release stops the group at once
    world.delete_booking("b").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn a_dry_run_decides_and_reports_but_sends_no_mutation_and_leaves_specs_alone() {
    let world = World::with_args("dryrun", &["--dry-run"]).await;
    let ids = world.machines("web", 1, InstanceState::Stopped);
    let resource = world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    let shown = world.resource_with_reason("web", "Starting").await;
    assert!(shown.status.unwrap().conditions.iter().any(|condition| condition.type_ == "DryRun"));
    assert_eq!(shown.metadata.finalizers, resource.metadata.finalizers);
    assert_eq!(world.state(&ids[0]), InstanceState::Stopped);
    assert!(world.calls("StartInstances").is_empty());
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
