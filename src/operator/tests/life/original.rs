//! The operator together with its predecessor.

use std::time::Duration;

use bookings::api::ResourceSpec;
use bookings::run::predecessor::LEASE;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use testbed::{
    ec2::{CallRecord, InstanceState},
    patience::patient,
};

use crate::common::{World, arrived, ec2, in_ms, soon, the_hour};

/// A number of renewals that takes longer than a lease lasts.
const LONG: usize = 20;

/// Renews the predecessor's Lease `times` times, as its leader does.
async fn renew(world: &World, times: usize) {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let lease = patient(Duration::from_secs(3));
    let mut ticks = tokio::time::interval(lease / 15);
    for _ in 0..times {
        ticks.tick().await;
        let spec = LeaseSpec {
            holder_identity: Some("original-5d4_1".into()),
            lease_duration_seconds: Some(lease.as_secs().try_into().unwrap()),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        leases.patch(LEASE, &PatchParams::apply("original").force(), &Patch::Apply(&lease)).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_done_while_the_original_operator_renews_its_lease_and_everything_when_it_does_no_more() {
    // given machines that run for nobody, and the predecessor at work
    let world = World::without_operator("original").await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource("web", "web").await;
    renew(&world, 1).await;
    world.start_operator(&[]);
    renew(&world, LONG).await;
    assert!(world.resources().get("web").await.unwrap().status.is_none());
    assert_eq!(world.calls("DescribeInstances").len(), 0);
    // when it stops renewing, then the operator takes over its work
    world.settled(&ids, InstanceState::Stopped).await;
    // when it comes back, and the operator has had time to see that, then the operator does nothing again
    renew(&world, 5).await;
    world.book("b", "web", "ann", the_hour()).await;
    renew(&world, LONG).await;
    assert!(world.bookings().get("b").await.unwrap().status.is_none());
    world.booking_with_reason("b", "Held").await;
}

#[tokio::test]
async fn a_flag_has_the_original_ignored() {
    let world = World::without_operator("original-ignored").await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource("web", "web").await;
    renew(&world, 1).await;
    world.start_operator(&["--ignore-original"]);
    tokio::join!(renew(&world, 10), world.settled(&ids, InstanceState::Stopped));
}

/// A Resource as the predecessor leaves it while a user holds it: the hold is in its spec, and its machines are
/// locked.
async fn held_by_original(world: &World, tag: &str, user: &str, until: &str) -> Vec<String> {
    let ids = world.machines(tag, 2, InstanceState::Running);
    for id in &ids {
        world.set_lock(id, user, until);
    }
    let spec = ResourceSpec { booked_by: Some(user.into()), booked_until: Some(until.into()), ..ec2(tag) };
    let name = format!("ec2.{tag}");
    world.resource_with(&name, spec).await;
    let status = json!({ "status": {
        "instances": 2, "running": 2, "status": "RUNNING", "locked_by": user, "locked_until": until,
    } });
    world.resources().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    ids
}

/// A Booking as the predecessor leaves it in the middle of its time.
async fn in_progress(world: &World, name: &str, tag: &str, user: &str, end: Timestamp) {
    world.book(name, &format!("ec2.{tag}"), user, (in_ms(-60_000), end)).await;
    let status = json!({ "status": { "status": "IN PROGRESS", "notification_sent": false } });
    world.bookings().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// A whole second `seconds` from now, as users write it, or later on a busy machine.
fn in_seconds(seconds: u64) -> Timestamp {
    Timestamp::from_second(soon(seconds * 1_000).as_second()).unwrap()
}

/// Calls that start and stop machines.
fn power(world: &World) -> Vec<CallRecord> {
    [world.calls("StartInstances"), world.calls("StopInstances")].concat()
}

#[tokio::test]
async fn a_booking_in_the_middle_of_its_time_is_taken_over_untouched_and_ends_when_it_is_over() {
    let world = World::without_operator("swap").await;
    let end = in_seconds(12);
    let ids = held_by_original(&world, "web", "ann", &end.to_string()).await;
    in_progress(&world, "b", "web", "ann", end).await;
    renew(&world, 2).await;
    world.start_operator(&[]);
    // when the predecessor is away
    world.booking_with_reason("b", "Held").await;
    let resource = world.resource_with_reason("ec2.web", "Held").await;
    assert_eq!(resource.status.unwrap().holder.unwrap().user, "ann");
    // then it is stopped and unlocked at the end. Before that, nothing stops, restarts or is locked again.
    world.settled(&ids, InstanceState::Stopped).await;
    let locks = [world.calls("CreateTags"), world.calls("DeleteTags")].concat();
    for call in [power(&world), locks].concat() {
        let ends = ["StopInstances", "DeleteTags"].contains(&call.facts.action.as_str());
        assert!(ends && arrived(&call) >= end, "{call:?}");
    }
}

#[tokio::test]
async fn what_was_taken_over_is_released_at_once_by_edit_and_by_deletion() {
    let world = World::without_operator("swap-release").await;
    let end = in_seconds(3_600);
    let edited = held_by_original(&world, "one", "ann", &end.to_string()).await;
    let deleted = held_by_original(&world, "two", "bob", &end.to_string()).await;
    in_progress(&world, "one", "one", "ann", end).await;
    in_progress(&world, "two", "two", "bob", end).await;
    world.start_operator(&[]);
    world.booking_with_reason("one", "Held").await;
    world.booking_with_reason("two", "Held").await;
    world.release("one").await;
    world.delete_booking("two").await;
    world.settled(&edited, InstanceState::Stopped).await;
    world.settled(&deleted, InstanceState::Stopped).await;
}

#[tokio::test]
async fn a_hold_that_the_original_leaked_holds_nothing_and_a_malformed_one_keeps_what_is() {
    let world = World::without_operator("swap-leaked").await;
    let leaked = held_by_original(&world, "leaked", "ann", "2024-01-01T00:00:00Z").await;
    let malformed = held_by_original(&world, "odd", "ann", "2024-01-01T00:00:00Z").await;
    // Admission refuses the empty word today. The object was stored before there was a rule.
    let spec = json!({ "spec": { "booked_until": "" } });
    world.resources().patch("ec2.odd", &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
    world.start_operator(&["--adoption-grace=1s"]);
    world.settled(&leaked, InstanceState::Stopped).await;
    world.resource_with_reason("ec2.odd", "ManualHoldMalformed").await;
    assert!(malformed.iter().all(|id| world.state(id) == InstanceState::Running));
}

#[tokio::test]
async fn an_extension_that_the_original_did_not_write_to_the_locks_is_written() {
    let world = World::without_operator("swap-extended").await;
    // given a hold that ends before its Booking does, because the Booking was extended
    let (before, after) = (in_seconds(4), in_seconds(3_600));
    let ids = held_by_original(&world, "web", "ann", &before.to_string()).await;
    in_progress(&world, "b", "web", "ann", after).await;
    world.start_operator(&[]);
    world.booking_with_reason("b", "Held").await;
    // when the hold ends, then the Booking keeps the group
    let lock = Some(("ann".to_owned(), after.to_string()));
    world.eventually("locked to the new end", || ids.iter().all(|id| world.lock(id) == lock)).await;
    assert!(power(&world).is_empty());
}

#[tokio::test]
async fn of_two_bookings_in_progress_the_holder_goes_on_and_the_other_waits() {
    let world = World::without_operator("swap-two").await;
    let end = in_seconds(15);
    held_by_original(&world, "web", "ann", &end.to_string()).await;
    in_progress(&world, "bob", "web", "bob", in_seconds(3_600)).await;
    in_progress(&world, "ann", "web", "ann", end).await;
    world.start_operator(&[]);
    world.booking_with_reason("ann", "Held").await;
    world.booking_with_reason("bob", "Waiting").await;
    // when the holder's time is over, then the next user gets the group without a stop
    world.booking_with_reason("bob", "Held").await;
    assert!(power(&world).is_empty());
}
