//! Errors that concern some machines: the others go ahead.

use booking_cloud::{ErrorClass, Mutation, Provider, isolate::CALLS_MAX};
use booking_decision::permit::Unlimited;
use testbed::ec2::{FaultEffect, FaultMatch, FaultRule, InstanceQuery, InstanceState};

use super::cloud::{Cloud, failed};

fn rule(when: FaultMatch, code: &str, message: &str) -> FaultRule {
    FaultRule { when, then: FaultEffect::error(code, message), after_effect: false, times: None }
}

fn no_room_in_zone_b() -> FaultRule {
    let action = Some("StartInstances".into());
    let when = FaultMatch { action, zone: Some("eu-central-1b".into()), ..FaultMatch::default() };
    rule(when, "InsufficientInstanceCapacity", "We do not have sufficient capacity in zone b.")
}

fn sorted(ids: &[String]) -> Vec<&str> {
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_zone_without_capacity_keeps_back_only_its_own_machines() {
    // given machines in two zones, one of which has no room
    let cloud = Cloud::start().await;
    let lucky = cloud.stopped_in("eu-central-1a", 40);
    let unlucky = cloud.stopped_in("eu-central-1b", 8);
    cloud.spoil(no_room_in_zone_b());
    // when all are started
    let ids = [lucky.clone(), unlucky.clone()].concat();
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then those with room are started, and the others say why not
    assert_eq!(failed(&results), sorted(&unlucky));
    for id in &unlucky {
        assert_eq!(results[id].as_ref().unwrap_err().class, ErrorClass::Capacity);
        assert_eq!(cloud.state(id), InstanceState::Stopped);
    }
    assert!(lucky.iter().all(|id| cloud.state(id) == InstanceState::Pending));
}

#[tokio::test]
async fn a_zone_without_capacity_is_found_however_many_machines_it_has() {
    // given many machines in three zones, one of which has no room
    let cloud = Cloud::start().await;
    let mut lucky = cloud.stopped_in("eu-central-1a", 300);
    let unlucky = cloud.stopped_in("eu-central-1b", 300);
    lucky.extend(cloud.stopped_in("eu-central-1c", 300));
    cloud.spoil(no_room_in_zone_b());
    // when all are started
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &[lucky, unlucky.clone()].concat()).await;
    // then those with room are started, by a bounded number of starts and one lookup of their zones
    assert_eq!(failed(&results), sorted(&unlucky));
    let calls = cloud.calls();
    let (looks, starts): (Vec<_>, Vec<_>) =
        calls.iter().partition(|call| call.facts.action == "DescribeInstances");
    assert!(starts.len() <= CALLS_MAX, "{}", starts.len());
    assert_eq!(looks.len(), 1);
}

#[tokio::test]
async fn a_lack_of_capacity_is_bisected_when_nobody_can_say_where_the_machines_are() {
    // given a few machines in two zones, one of which has no room, and describes that fail
    let cloud = Cloud::start().await;
    cloud.stopped_in("eu-central-1a", 3);
    let unlucky = cloud.stopped_in("eu-central-1b", 2);
    let when = FaultMatch { zone: Some("eu-central-1b".into()), ..FaultMatch::default() };
    cloud.spoil(FaultRule::on("DescribeInstances", FaultEffect::error("RequestLimitExceeded", "Later.")));
    cloud.spoil(rule(when, "InsufficientInstanceCapacity", "We do not have sufficient capacity in zone b."));
    let all: Vec<String> =
        cloud.simulator.world().instances(&InstanceQuery::default()).into_iter().map(|i| i.id).collect();
    // when all are started
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &all).await;
    // then only those without room are not
    assert_eq!(failed(&results), sorted(&unlucky));
}

#[tokio::test]
async fn a_refusal_of_one_machine_is_found_by_halving() {
    // given a hundred machines; a policy refuses one of them, and the message does not name it
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(100);
    let when = FaultMatch { instance_id: Some(ids[70].clone()), ..FaultMatch::default() };
    cloud.spoil(rule(when, "UnauthorizedOperation", "You are not authorized to perform this operation."));
    // when all are started
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then only that one is not started, and each halving costs two calls
    assert_eq!(failed(&results), [&ids[70]]);
    assert_eq!(results[&ids[70]].as_ref().unwrap_err().class, ErrorClass::Configuration);
    assert!(cloud.calls().len() <= 1 + 2 * 7, "{}", cloud.calls().len());
}

#[tokio::test]
async fn a_machine_that_the_message_names_costs_one_more_call() {
    // given a hundred machines, two of which are protected, as the message says
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(100);
    let bad = [&ids[3], &ids[70]];
    for id in bad {
        let when = FaultMatch { instance_id: Some(id.clone()), ..FaultMatch::default() };
        cloud.spoil(rule(when, "OperationNotPermitted", "The instance '{ids}' may not be stopped."));
    }
    // when all are stopped
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Stop, &ids).await;
    // then those two are separated, by one call each
    assert_eq!(failed(&results), sorted(&bad.map(Clone::clone)));
    assert_eq!(cloud.calls().len(), 3);
}

#[tokio::test]
async fn a_refusal_of_all_machines_costs_a_bounded_number_of_calls() {
    // given a thousand machines that nobody may touch
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1_000);
    cloud.spoil(rule(FaultMatch::default(), "UnauthorizedOperation", "You are not authorized."));
    // when they are started
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then each fails, and the number of calls is bounded
    assert_eq!(failed(&results).len(), 1_000);
    assert!(cloud.calls().len() <= CALLS_MAX, "{}", cloud.calls().len());
}
