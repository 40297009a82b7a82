//! What can happen to a group and its Resource.

use std::{sync::Arc, time::Duration};

use bookings::api::{OnDelete, ResourceSpec};
use kube::api::DeleteParams;
use testbed::{
    control_plane::{finalize_namespace, terminate_namespace},
    ec2::{Ec2Config, FallsBack, FaultEffect, FaultRule, InstanceState, TokenBuckets},
    patience::patient,
};

use crate::common::{self, World, ec2, message, soon, state_word, the_hour};

#[tokio::test]
async fn a_machine_with_a_foreign_lock_is_left_alone_and_named_while_the_others_go_on() {
    let world = World::new("foreign").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let theirs = (String::from("mallory"), soon(8_000).to_string());
    world.set_lock(&ids[0], &theirs.0, &theirs.1);
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    let blocked = world.booking_with_reason("b", "ForeignLock").await;
    assert!(message(&blocked, "Ready").contains(&ids[0]) && message(&blocked, "Ready").contains("mallory"));
    world.eventually("the other runs", || world.state(&ids[1]) == InstanceState::Running).await;
    assert_eq!((world.state(&ids[0]), world.lock(&ids[0])), (InstanceState::Stopped, Some(theirs)));
    // when the foreign lock expires, then the whole group is ready
    world.booking_with_reason("b", "Held").await;
}

#[tokio::test]
async fn a_half_running_group_gets_whole_and_is_wholly_stopped() {
    let world = World::new("half").await;
    let mut ids = world.machines("web", 1, InstanceState::Running);
    ids.extend(world.machines("web", 1, InstanceState::Stopped));
    // given that nobody holds it, then the running machines are stopped
    world.resource("web", "web").await;
    world.settled(&ids, InstanceState::Stopped).await;
    assert_eq!(world.calls("StopInstances")[0].facts.instance_ids, ids[..1]);
    // when it is booked while one machine runs, then all machines run, and later all are stopped
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
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    assert_eq!(world.state(&ids[1]), InstanceState::Stopped);
    let resource = world.resource_with_reason("web", "Held").await.status.unwrap();
    assert_eq!(resource.instances, Some(2));
    let named = resource.conditions.iter().find(|condition| condition.type_ == "Unmanageable").unwrap();
    assert!(named.message.contains(&ids[1]) && named.message.contains("asg-1"), "{}", named.message);
    world.release("b").await;
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
    let is_claimed = |resource: &bookings::api::Resource| common::resource_reason(resource) == "GroupClaimed";
    let (acts, stands_by) = tokio::select! {
        _ = world.resource_when("two", "claimed", is_claimed) => ("one", "two"),
        _ = world.resource_when("one", "claimed", is_claimed) => ("two", "one"),
    };
    world.resource_with_reason(acts, "Stopped").await;
    // when the other one is booked, then only its condition changes
    world.book("late", stands_by, "bob", the_hour()).await;
    world.booking_with_reason("late", "GroupClaimed").await;
    assert!(world.calls("StartInstances").is_empty());
    // when the Resource that acts is deleted, then the other takes its place
    world.resources().delete(acts, &DeleteParams::default()).await.unwrap();
    world.booking_with_reason("late", "Held").await;
    assert_eq!(world.lock(&ids[0]).unwrap().0, "bob");
}

#[tokio::test]
async fn a_held_resource_that_is_deleted_lets_go_before_another_on_its_group_acts() {
    // given a held Resource, another Resource on its group with a waiting Booking, and a cloud that refuses to remove
    // tags for a while
    let world = World::new("handover").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    world.resource("first", "web").await;
    world.book("ann", "first", "ann", the_hour()).await;
    world.booking_with_reason("ann", "Held").await;
    world.resource("second", "web").await;
    world.book("bob", "second", "bob", the_hour()).await;
    world.booking_with_reason("bob", "GroupClaimed").await;
    let refuses = FaultRule::on("DeleteTags", FaultEffect::error("InternalError", "not now")).times(2);
    world.ec2.world().add_fault(refuses);
    // when the first is deleted, then its locks are removed, and only then the other takes the group
    world.resources().delete("first", &DeleteParams::default()).await.unwrap();
    world.booking_with_reason("bob", "Held").await;
    for id in &ids {
        assert_eq!(world.lock(id).unwrap().0, "bob");
    }
    let last_untag = world.calls("DeleteTags").last().unwrap().number;
    let first_tag_for_bob = world.calls("CreateTags").last().unwrap().number;
    assert!(world.calls("DeleteTags").len() == 3 && last_untag < first_tag_for_bob);
}

#[tokio::test]
async fn a_tag_of_an_asterisk_is_that_tag_and_no_wildcard() {
    let world = World::new("asterisk").await;
    let star = world.machines("*", 1, InstanceState::Stopped);
    let other = world.machines("web", 1, InstanceState::Running);
    world.resource("star", "*").await;
    world.book("b", "star", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    world.release("b").await;
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
        let gone = |found: Option<&bookings::api::Resource>| found.is_none();
        let wait = kube::runtime::wait::await_condition(world.resources(), "web", gone);
        tokio::time::timeout(common::patience(), wait).await.unwrap().unwrap();
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
        kube::api::ApiResource::erase::<bookings::api::Resource>(&()),
        kube::api::ApiResource::erase::<bookings::api::Booking>(&()),
    ];
    finalize_namespace(&world.client, &world.namespace, &kinds).await.unwrap();
    assert_eq!(world.lock(&ids[0]), None);
}

#[tokio::test]
async fn what_runs_when_first_seen_is_left_running_for_the_grace_but_not_after_a_booking() {
    let world = World::with_args("grace", &["--adoption-grace=1h"]).await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource_with("web", ec2("web")).await;
    let resource = world.resource_with_reason("web", "Idle").await.status.unwrap();
    assert!(resource.conditions.iter().any(|condition| condition.type_ == "IdleStopPending"));
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    assert!(world.calls("StopInstances").is_empty());
    world.release("b").await;
    world.booking_with_reason("b", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
}

#[tokio::test]
async fn the_trace_of_the_original_operator_becomes_a_recorded_hold_and_is_cleared() {
    // given a booking in the middle of its time, as the predecessor left it
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
    // then the hold is recorded and the only calls are describes
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
async fn a_group_beyond_the_accounts_budget_says_when_its_turn_comes_and_gets_it() {
    // given an EC2 with its documented limits, a group whose start uses up all tokens, and another group that has to
    // wait for a while, at two machines a second
    let limited = Ec2Config { admission: Arc::new(TokenBuckets::default()), ..Ec2Config::default() };
    let world = World::with_cloud(common::client().await, "budget", limited).await;
    world.start_operator(&[]);
    world.machines("large", 1000, InstanceState::Stopped);
    let count = usize::try_from(2 * patient(Duration::from_secs(15)).as_secs()).unwrap().min(900);
    let small = world.machines("small", count, InstanceState::Stopped);
    world.resource("large", "large").await;
    world.resource("small", "small").await;
    world.book("first", "large", "ann", the_hour()).await;
    world.eventually("the large one is started", || !world.calls("StartInstances").is_empty()).await;
    // when another group is booked, then its Booking says why it waits, and until when
    world.book("second", "small", "bob", the_hour()).await;
    let waits = world.booking_with_reason("second", "QueuedForCloudBudget").await;
    let says = message(&waits, "Ready");
    assert!(says.contains("its turn is expected by 20"), "{says}");
    // and its turn comes, but not before EC2 has the tokens, so EC2 never throttles
    world.booking_with_reason("second", "Held").await;
    let calls = world.calls("StartInstances");
    assert_eq!((calls.len(), calls[1].facts.instance_ids.len()), (2, small.len()));
    assert!(calls.iter().all(|call| call.outcome.as_deref() == Some("OK")), "{calls:?}");
}
