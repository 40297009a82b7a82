//! Start and stop.

use std::slice::from_ref;

use booking_cloud::{ErrorClass, InstanceState, Mutation, Provider};
use booking_decision::permit::Unlimited;
use testbed::ec2::InstanceState as Ec2State;

use super::backend::{Backend, Kind, all_ok, classes, find, member, members, state, states};

on_both![
    a_stopped_machine_is_started_and_a_running_one_stopped,
    starting_again_and_stopping_again_succeed_and_change_nothing,
    start_answers_to_each_state_as_ec2_does,
    stop_answers_to_each_state_as_ec2_does,
    a_stopped_machine_says_why,
    a_machine_named_twice_has_one_result,
    no_machines_cost_no_call,
    machines_beyond_the_largest_call_go_into_the_next,
];

async fn a_stopped_machine_is_started_and_a_running_one_stopped(cloud: &impl Backend) {
    // given a stopped machine
    let id = member(cloud, "a", Ec2State::Stopped).await;
    let ids = [id.clone()];
    // when it is started
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Start, &ids).await, &ids);
    cloud.settle();
    // then it runs
    assert_eq!(state(cloud, "a", &id).await, InstanceState::Running);
    // and when it is stopped
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Stop, &ids).await, &ids);
    cloud.settle();
    // then it is stopped
    assert_eq!(state(cloud, "a", &id).await, InstanceState::Stopped);
}

async fn starting_again_and_stopping_again_succeed_and_change_nothing(cloud: &impl Backend) {
    // given machines that run and that are stopped
    let up = members(cloud, "up", 2, Ec2State::Running).await;
    let down = members(cloud, "down", 2, Ec2State::Stopped).await;
    for _ in 0..2 {
        // when those that run are started, and those that are stopped are stopped
        all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Start, &up).await, &up);
        all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Stop, &down).await, &down);
    }
    // then nothing changes, not even for a moment
    let found = find(cloud, &["up", "down"]).await;
    assert!(up.iter().all(|id| found[id].state == InstanceState::Running));
    assert!(down.iter().all(|id| found[id].state == InstanceState::Stopped));
}

async fn start_answers_to_each_state_as_ec2_does(cloud: &impl Backend) {
    for from in states(cloud) {
        // given a machine in a state
        let id = member(cloud, from.name(), *from).await;
        // when it is started
        let results = cloud.ec2().mutate(&Unlimited, &Mutation::Start, from_ref(&id)).await;
        // then EC2 agrees with the simulator: moto starts terminated machines
        let refused = match from {
            Ec2State::Pending | Ec2State::Running | Ec2State::Stopped => None,
            Ec2State::Stopping | Ec2State::ShuttingDown => Some(ErrorClass::Reobserve),
            Ec2State::Terminated => (cloud.kind() == Kind::Simulator).then_some(ErrorClass::Reobserve),
        };
        assert_eq!(classes(&results)[id.as_str()], refused, "{}: {results:?}", from.name());
    }
}

async fn stop_answers_to_each_state_as_ec2_does(cloud: &impl Backend) {
    for from in states(cloud) {
        // given a machine in a state
        let id = member(cloud, from.name(), *from).await;
        // when it is stopped
        let results = cloud.ec2().mutate(&Unlimited, &Mutation::Stop, from_ref(&id)).await;
        // then EC2 agrees with the simulator (it may accept a pending machine, too): moto stops terminated machines
        let refused = match from {
            Ec2State::Running | Ec2State::Stopping | Ec2State::Stopped => None,
            Ec2State::Pending | Ec2State::ShuttingDown => Some(ErrorClass::Reobserve),
            Ec2State::Terminated => (cloud.kind() == Kind::Simulator).then_some(ErrorClass::Reobserve),
        };
        assert_eq!(classes(&results)[id.as_str()], refused, "{}: {results:?}", from.name());
    }
}

async fn a_stopped_machine_says_why(cloud: &impl Backend) {
    // given a machine that was stopped by a call
    let id = member(cloud, "a", Ec2State::Running).await;
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Stop, from_ref(&id)).await, from_ref(&id));
    cloud.settle();
    // when it is described
    let reason = find(cloud, &["a"]).await[&id].state_reason.clone();
    // then its reason begins with the code
    let reason = reason.unwrap();
    assert!(reason.starts_with("Client.UserInitiatedShutdown: "), "{reason}");
}

async fn a_machine_named_twice_has_one_result(cloud: &impl Backend) {
    // given a machine
    let id = member(cloud, "a", Ec2State::Stopped).await;
    // when it is named twice
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Start, &[id.clone(), id.clone()]).await;
    // then it is started
    all_ok(&results, &[id]);
}

async fn no_machines_cost_no_call(cloud: &impl Backend) {
    // given a cloud
    let (before, ec2) = (cloud.calls(), cloud.ec2());
    // when no machine is to be changed; moto does not count calls, but refuses a call without ids
    let results = [
        ec2.mutate(&Unlimited, &Mutation::Start, &[]).await,
        ec2.mutate(&Unlimited, &Mutation::Stop, &[]).await,
        ec2.mutate(&Unlimited, &Mutation::Tag(vec![]), &[]).await,
        ec2.mutate(&Unlimited, &Mutation::Untag(vec![]), &[]).await,
    ];
    // then there are no results, and no call was made
    assert!(results.iter().all(std::collections::BTreeMap::is_empty));
    assert_eq!(cloud.calls(), before);
}

async fn machines_beyond_the_largest_call_go_into_the_next(cloud: &impl Backend) {
    // given more machines than one call takes; moto has no limit, and takes a minute to add so many
    let (count, calls) = match cloud.kind() {
        Kind::Simulator => (2_001, Some(3)),
        Kind::Moto => (30, None),
    };
    let ids = members(cloud, "big", count, Ec2State::Stopped).await;
    // when they are started
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then all are started, a thousand per call
    all_ok(&results, &ids);
    assert_eq!(cloud.calls(), calls);
}
