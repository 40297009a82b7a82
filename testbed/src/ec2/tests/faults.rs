//! Which calls a fault rule picks, and what it plans for them.

use super::super::call_log::CallFacts;
use super::super::error::ApiError;
use super::super::faults::{FaultEffect, FaultMatch, FaultRule, Faults, Spoiled};
use super::super::model::AddInstances;
use super::*;

/// Instance 1 of group a in zone a, instance 2 of group b in zone b.
fn two_zones() -> World {
    let mut world = world();
    for (n, name) in [(1, "a"), (2, "b")] {
        let zone = Some(format!("eu-central-1{name}"));
        let add = AddInstances { zone, ..AddInstances::ids([id(n)]).tag("group", name) };
        world.add(at(0), &add).unwrap();
    }
    world
}

fn call(action: &str, ids: &[String]) -> CallFacts {
    CallFacts {
        action: action.to_owned(),
        caller: "operator-1".to_owned(),
        access_key_id: "AK".to_owned(),
        signed: None,
        scope: scope(),
        instance_ids: ids.to_vec(),
        filters: Vec::new(),
        tags: Vec::new(),
        paged: false,
        dry_run: false,
    }
}

fn capacity(when: FaultMatch) -> FaultRule {
    let then = FaultEffect::error("InsufficientInstanceCapacity", "no room for {ids}");
    FaultRule { when, then, after_effect: false, times: None }
}

#[test]
fn a_rule_picks_the_calls_that_it_describes() {
    let any = FaultMatch::default;
    let start = call("StartInstances", &[id(1), id(2)]);
    let describe =
        CallFacts { filters: vec![filter("tag:group", &["a", "c"])], ..call("DescribeInstances", &[]) };
    for (when, call, named) in [
        (any(), &start, Some(vec![1, 2])),
        (FaultMatch { action: Some("StartInstances".into()), ..any() }, &start, Some(vec![1, 2])),
        (FaultMatch { action: Some("StopInstances".into()), ..any() }, &start, None),
        (FaultMatch { instance_id: Some(id(2)), ..any() }, &start, Some(vec![2])),
        (FaultMatch { instance_id: Some(id(3)), ..any() }, &start, None),
        (FaultMatch { zone: Some("eu-central-1b".into()), ..any() }, &start, Some(vec![2])),
        (FaultMatch { zone: Some("eu-central-1c".into()), ..any() }, &start, None),
        (FaultMatch { caller: Some("operator-1".into()), ..any() }, &start, Some(vec![1, 2])),
        (FaultMatch { caller: Some("operator-2".into()), ..any() }, &start, None),
        (FaultMatch { region: Some("us-west-2".into()), ..any() }, &start, None),
        (FaultMatch { tag_key: Some("group".into()), ..any() }, &start, Some(vec![1, 2])),
        (
            FaultMatch { tag_key: Some("group".into()), tag_value: Some("a".into()), ..any() },
            &start,
            Some(vec![1]),
        ),
        (
            FaultMatch { tag_key: Some("group".into()), tag_value: Some("a".into()), ..any() },
            &describe,
            Some(vec![]),
        ),
        (FaultMatch { tag_key: Some("group".into()), tag_value: Some("b".into()), ..any() }, &describe, None),
        (
            FaultMatch { zone: Some("eu-central-1b".into()), tag_key: Some("group".into()), ..any() },
            &start,
            Some(vec![2]),
        ),
    ] {
        let mut faults = Faults::default();
        faults.add(capacity(when.clone()));

        let plan = faults.plan(at(0), call, &two_zones());

        let expected = named.map(|named| {
            let ids: Vec<String> = named.into_iter().map(id).collect();
            let message = format!("no room for {}", ids.join(", "));
            Spoiled::Error(ApiError::new("InsufficientInstanceCapacity", message))
        });
        assert_eq!(plan.spoiled_before, expected, "{when:?}");
    }
}

#[test]
fn a_rule_with_a_count_ends_when_it_is_used_up() {
    let mut faults = Faults::default();
    faults.add(FaultRule::on("StartInstances", FaultEffect::Reset).times(2));
    let (world, start) = (two_zones(), call("StartInstances", &[id(1)]));
    let spoiled: Vec<bool> =
        (0..4).map(|_| faults.plan(at(0), &start, &world).spoiled_before.is_some()).collect();
    assert_eq!(spoiled, [true, true, false, false]);
    assert!(faults.views().is_empty());
}

#[test]
fn latencies_add_up_and_the_oldest_other_rule_decides() {
    let mut faults = Faults::default();
    let slow = |ms| FaultRule::on("StartInstances", FaultEffect::Latency { ms });
    faults.add(slow(10));
    faults.add(FaultRule::on("StartInstances", FaultEffect::Hang).after_effect());
    let unused = faults.add(FaultRule::on("StartInstances", FaultEffect::Reset).times(1));
    faults.add(slow(5));
    faults.add(slow(7).after_effect());

    let plan = faults.plan(at(0), &call("StartInstances", &[id(1)]), &two_zones());

    assert_eq!((plan.delay_before_ms, plan.delay_after_ms), (15, 7));
    assert_eq!((plan.spoiled_before, plan.spoiled_after), (None, Some(Spoiled::Hang)));
    assert!(faults.views().iter().any(|view| view.id == unused && view.hits == 0));
}

#[test]
fn a_rule_can_be_removed() {
    let mut faults = Faults::default();
    let rule = faults.add(capacity(FaultMatch::default()));
    assert!(faults.remove(rule));
    assert!(!faults.remove(rule));
    let plan = faults.plan(at(0), &call("StartInstances", &[id(1)]), &two_zones());
    assert_eq!(plan.spoiled_before, None);
}
