//! Which requests go when, by the documented buckets.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::{
    bucket::ARRIVES_WITHIN,
    limits::{Action, limits},
    priority::Rank,
};

const SECOND: Duration = Duration::from_secs(1);

fn ask(asker: &str, machines: usize) -> Ask {
    of_kind(asker, machines, 0)
}

fn of_kind(asker: &str, machines: usize, kind: usize) -> Ask {
    let priority = Priority { rank: Rank::Due, due: UNIX_EPOCH, user: "ann".into() };
    Ask { asker: asker.into(), priority, machines, kind }
}

fn ec2(action: Action) -> (ActionBudget, Instant) {
    let now = Instant::now();
    (ActionBudget::new(limits("ec2", action), now), now)
}

#[test]
fn a_thousand_starts_share_one_call() {
    let (mut budget, now) = ec2(Action::Start);
    let asks: Vec<Ask> = (0..1000).map(|n| ask(&format!("b-{n}"), 1)).collect();
    assert!(budget.admit(&asks, now).iter().all(|verdict| *verdict == Verdict::Go(1)));
    // four calls are left, but no machine
    assert_eq!(budget.admit(&[ask("late", 1)], now), [Verdict::Wait(ARRIVES_WITHIN + SECOND / 2)]);
    let later = now + ARRIVES_WITHIN + SECOND / 2;
    assert_eq!(budget.admit(&[ask("late", 1)], later), [Verdict::Go(1)]);
}

#[test]
fn calls_run_out_before_machines_do_if_each_request_comes_alone() {
    let (mut budget, now) = ec2(Action::Start);
    let verdicts: Vec<Verdict> =
        (0..7).flat_map(|n| budget.admit(&[ask(&format!("b-{n}"), 1)], now)).collect();
    assert!(verdicts[..5].iter().all(|verdict| *verdict == Verdict::Go(1)));
    // the requests that wait share the next call
    assert_eq!(verdicts[5..], [Verdict::Wait(ARRIVES_WITHIN + SECOND / 2); 2]);
}

#[test]
fn a_request_that_waits_is_told_when_it_can_go_and_is_not_overtaken() {
    // given a hundred and ten groups of ten machines, and tokens for a hundred of them
    let (mut budget, now) = ec2(Action::Start);
    let asks: Vec<Ask> = (0..110).map(|n| ask(&format!("g-{n:03}"), 10)).collect();
    let verdicts = budget.admit(&asks, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(10)).count(), 100);
    let waits: Vec<Verdict> = (1..=10).map(|n| Verdict::Wait(ARRIVES_WITHIN + SECOND * 5 * n)).collect();
    assert_eq!(verdicts[100..], waits);
    // when a request comes that is not due sooner, then it goes after them
    let later = now + ARRIVES_WITHIN + SECOND * 5;
    assert_eq!(budget.admit(&[ask("new", 1)], later), [Verdict::Wait(SECOND / 2 * 91)]);
    // and the first of them gets the tokens that were reserved
    assert_eq!(budget.admit(&[ask("g-100", 10)], later), [Verdict::Go(10)]);
    assert_eq!(budget.demand(later), 91);
}

#[test]
fn a_group_larger_than_the_bucket_goes_in_parts() {
    let (mut budget, now) = ec2(Action::Start);
    budget.set_share(0.4, 1.0, now);
    assert_eq!(budget.admit(&[ask("huge", 560)], now), [Verdict::Go(400)]);
    let Verdict::Wait(wait) = budget.admit(&[ask("huge", 160)], now)[0] else { panic!() };
    // four tenths of two tokens a second
    assert!(wait.abs_diff(SECOND * 200) < SECOND, "{wait:?}");
}

#[test]
fn tags_of_the_same_kind_share_a_call_and_others_cost_one_each() {
    let (mut budget, now) = ec2(Action::Tag);
    let same: Vec<Ask> = (0..500).map(|n| ask(&format!("b-{n}"), 3)).collect();
    assert!(budget.admit(&same, now).iter().all(|verdict| *verdict == Verdict::Go(3)));
    // fifteen hundred machines took two calls: 96 of 98 are left
    let others: Vec<Ask> = (0..120).map(|n| of_kind(&format!("c-{n}"), 3, n + 1)).collect();
    let verdicts = budget.admit(&others, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(3)).count(), 96);
    assert_eq!(verdicts[96], Verdict::Wait(ARRIVES_WITHIN + SECOND / 10));
    assert_eq!(verdicts[119], Verdict::Wait(ARRIVES_WITHIN + SECOND / 10 * 24));
}

#[test]
fn databases_cost_a_call_each() {
    let now = Instant::now();
    let mut budget = ActionBudget::new(limits("rds", Action::Start), now);
    let asks: Vec<Ask> = (0..60).map(|n| ask(&format!("db-{n}"), 1)).collect();
    let verdicts = budget.admit(&asks, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(1)).count(), 50);
    assert_eq!(verdicts[59], Verdict::Wait(ARRIVES_WITHIN + SECOND * 2));
}

#[test]
fn throttling_makes_requests_wait_longer_than_planned() {
    let (mut budget, now) = ec2(Action::Stop);
    budget.throttled(now);
    let Verdict::Wait(wait) = budget.admit(&[ask("a", 1)], now)[0] else { panic!("nothing is left") };
    assert!(wait > SECOND / 5, "{wait:?}");
}

#[test]
fn a_request_that_does_not_come_again_does_not_hold_up_others_for_long() {
    let (mut budget, now) = ec2(Action::Start);
    assert_eq!(budget.admit(&[ask("all", 1000)], now), [Verdict::Go(1000)]);
    assert_eq!(budget.admit(&[ask("gone", 10)], now), [Verdict::Wait(ARRIVES_WITHIN + SECOND * 5)]);
    let now = now + ARRIVES_WITHIN;
    assert_eq!(budget.admit(&[ask("b", 10)], now + SECOND * 9), [Verdict::Wait(SECOND)]);
    assert_eq!(budget.admit(&[ask("b", 10)], now + SECOND * 21), [Verdict::Go(10)]);
}

fn expected(machines: usize, kind: &str, until: Instant) -> Expected {
    Expected { machines, kind: kind.into(), until }
}

#[test]
fn many_calls_are_expected_if_the_announced_kinds_are_more_than_a_full_bucket_has_tokens() {
    // given a bucket of a hundred calls, of which two are never used
    let now = Instant::now();
    let mut budget = ActionBudget::new(limits("ec2", Action::Tag), now);
    let later = now + SECOND * 10;
    for asker in 0..200 {
        budget.expect(&asker.to_string().into(), expected(1, "the same", later));
    }
    assert!(!budget.expects_many(now), "they share a call");
    for asker in 0..98 {
        budget.expect(&asker.to_string().into(), expected(1, &asker.to_string(), later));
    }
    assert!(budget.expects_many(now));
    assert_eq!(budget.demand(now), 0, "there is time");
    // when their time is over, then they are no longer expected
    assert!(!budget.expects_many(later));
}

#[test]
fn an_announced_request_counts_until_it_comes_or_its_time_is_over() {
    let (mut budget, now) = ec2(Action::Start);
    budget.expect(&"a".into(), expected(10, "", now + SECOND * 10));
    budget.expect(&"b".into(), expected(5, "", now + SECOND * 10));
    budget.expect(&"c".into(), expected(1, "", now + SECOND));
    assert_eq!(budget.demand(now), 16);
    assert_eq!(budget.admit(&[ask("a", 10)], now), [Verdict::Go(10)]);
    assert_eq!(budget.demand(now + SECOND), 5);
    budget.withdraw("b");
    assert_eq!(budget.demand(now), 0);
}

#[test]
fn throttled_calls_of_one_moment_count_once_and_empty_the_machines_only_if_they_go_on() {
    let (mut budget, now) = ec2(Action::Start);
    budget.throttled(now);
    budget.throttled(now + SECOND / 2);
    assert!(
        budget.admit(&[ask("all", 1000)], now + SECOND * 2) == [Verdict::Go(1000)],
        "no machine was throttled"
    );
    let (mut budget, now) = ec2(Action::Start);
    budget.throttled(now);
    budget.throttled(now + SECOND * 3);
    assert!(matches!(budget.admit(&[ask("all", 1000)], now + SECOND * 6)[0], Verdict::Wait(_)));
}
