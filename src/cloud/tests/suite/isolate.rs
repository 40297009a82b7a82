//! One machine that cannot follow does not fail the others.

use std::collections::BTreeMap;

use booking_cloud::{ErrorClass, InstanceState, Mutation, Provider, Tag};
use booking_decision::permit::Unlimited;
use testbed::ec2::InstanceState as Ec2State;

use super::backend::{Backend, Kind, all_ok, classes, find, member, members, state, tag};

const UNKNOWN: &str = "i-0123456789abcdef0";
const MALFORMED: &str = "i-nonsense";

on_both![
    an_unknown_or_malformed_id_fails_alone_in_each_mutation,
    several_bad_ids_of_several_kinds_fail_alone,
    a_terminated_machine_does_not_keep_the_others_from_a_start,
    a_machine_that_takes_no_more_tags_fails_alone,
];

async fn an_unknown_or_malformed_id_fails_alone_in_each_mutation(cloud: &impl Backend) {
    let ec2 = cloud.ec2();
    let lock = [tag("lock", "operator-1")];
    let good = members(cloud, "a", 5, Ec2State::Running).await;
    for bad in [UNKNOWN, MALFORMED] {
        // given ids of machines, and among them an id of no machine
        let mut ids = good.clone();
        ids.insert(2, bad.to_owned());
        // when they are changed in each way
        let all = [
            ("stop", ec2.mutate(&Unlimited, &Mutation::Stop, &ids).await),
            ("tag", ec2.mutate(&Unlimited, &Mutation::Tag(lock.to_vec()), &ids).await),
            ("untag", ec2.mutate(&Unlimited, &Mutation::Untag(lock.to_vec()), &ids).await),
        ];
        cloud.settle();
        let started = ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
        cloud.settle();
        for (mutation, results) in all.into_iter().chain([("start", started)]) {
            // then the others succeed
            let mut expected: BTreeMap<&str, Option<ErrorClass>> =
                good.iter().map(|id| (id.as_str(), None)).collect();
            // and the id fails as bad; EC2 agrees with the simulator: moto tags machines that do not exist
            let tags = matches!(mutation, "tag" | "untag");
            let forgiven = tags && bad == UNKNOWN && cloud.kind() == Kind::Moto;
            expected.insert(bad, (!forgiven).then_some(ErrorClass::BadInstance));
            assert_eq!(classes(&results), expected, "{mutation} with {bad}: {results:?}");
        }
    }
    let found = find(cloud, &["a"]).await;
    assert!(found.values().all(|instance| instance.state == InstanceState::Running));
}

async fn several_bad_ids_of_several_kinds_fail_alone(cloud: &impl Backend) {
    // given ids of thirty machines, and three ids of no machine
    let good = members(cloud, "a", 30, Ec2State::Stopped).await;
    let bad = [UNKNOWN, "i-0fedcba9876543210", MALFORMED];
    let mut ids = good.clone();
    for (at, id) in [0, 10, 20].into_iter().zip(bad) {
        ids.insert(at, id.to_owned());
    }
    // when all are started
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then only those three fail
    let failed: Vec<&String> = results.iter().filter(|(_, r)| r.is_err()).map(|(id, _)| id).collect();
    let mut expected = bad.to_vec();
    expected.sort_unstable();
    assert_eq!(failed, expected, "{results:?}");
    assert_eq!(results.len(), ids.len());
    cloud.settle();
    let found = find(cloud, &["a"]).await;
    assert!(good.iter().all(|id| found[id].state == InstanceState::Running));
}

async fn a_terminated_machine_does_not_keep_the_others_from_a_start(cloud: &impl Backend) {
    // given a stopped and a terminated machine
    let stopped = member(cloud, "a", Ec2State::Stopped).await;
    let terminated = member(cloud, "a", Ec2State::Terminated).await;
    // when both are started
    let results =
        cloud.ec2().mutate(&Unlimited, &Mutation::Start, &[terminated.clone(), stopped.clone()]).await;
    cloud.settle();
    // then the stopped one is; EC2 agrees with the simulator: moto starts terminated machines
    let refused = (cloud.kind() == Kind::Simulator).then_some(ErrorClass::Reobserve);
    let expected = BTreeMap::from([(stopped.as_str(), None), (terminated.as_str(), refused)]);
    assert_eq!(classes(&results), expected);
    assert_eq!(state(cloud, "a", &stopped).await, InstanceState::Running);
}

async fn a_machine_that_takes_no_more_tags_fails_alone(cloud: &impl Backend) {
    // given a machine that has as many tags as EC2 allows, and others
    let full: Vec<Tag> = (1..50).map(|n| tag(&format!("key-{n}"), "")).collect();
    let mut ids = members(cloud, "a", 4, Ec2State::Running).await;
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(full.clone()), &ids[..1]).await, &ids[..1]);
    let lock = [tag("lock", "operator-1")];
    // when all are locked
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Tag(lock.to_vec()), &ids).await;
    // then only that one is not locked, although no message names it
    let full = ids.remove(0);
    let classes = classes(&results);
    assert_eq!(classes[full.as_str()], Some(ErrorClass::BadInstance), "{results:?}");
    let found = find(cloud, &["a"]).await;
    assert!(!found[&full].tags.contains_key("lock"));
    for id in &ids {
        assert_eq!(classes[id.as_str()], None, "{results:?}");
        assert_eq!(found[id].tags.get("lock").map(String::as_str), Some("operator-1"));
    }
}
