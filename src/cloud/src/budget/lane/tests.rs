//! Who goes when, by the documented buckets.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::budget::{
    limits::{Action, limits},
    turns::{Rank, Turn},
};

const SECOND: Duration = Duration::from_secs(1);
const ARRIVES_WITHIN: Duration = crate::budget::bucket::ARRIVES_WITHIN;

fn ask(asker: &str, machines: usize) -> Ask {
    of_kind(asker, machines, 0)
}

fn of_kind(asker: &str, machines: usize, kind: usize) -> Ask {
    let (due, user) = (UNIX_EPOCH, "ann".into());
    Ask { turn: Turn { rank: Rank::Due, due, user, asker: asker.into() }, machines, kind }
}

fn ec2(action: Action) -> (Lane, Instant) {
    let now = Instant::now();
    (Lane::new(limits("ec2", action), now), now)
}

#[test]
fn a_thousand_starts_share_one_call() {
    let (mut lane, now) = ec2(Action::Start);
    let asks: Vec<Ask> = (0..1000).map(|n| ask(&format!("b-{n}"), 1)).collect();
    assert!(lane.admit(&asks, now).iter().all(|verdict| *verdict == Verdict::Go(1)));
    // four calls are left, but no machine
    assert_eq!(lane.admit(&[ask("late", 1)], now), [Verdict::Wait(ARRIVES_WITHIN + SECOND / 2)]);
    let later = now + ARRIVES_WITHIN + SECOND / 2;
    assert_eq!(lane.admit(&[ask("late", 1)], later), [Verdict::Go(1)]);
}

#[test]
fn calls_run_out_before_machines_do_where_each_comes_alone() {
    let (mut lane, now) = ec2(Action::Start);
    let verdicts: Vec<Verdict> = (0..7).flat_map(|n| lane.admit(&[ask(&format!("b-{n}"), 1)], now)).collect();
    assert!(verdicts[..5].iter().all(|verdict| *verdict == Verdict::Go(1)));
    // those that wait share the call that comes next
    assert_eq!(verdicts[5..], [Verdict::Wait(ARRIVES_WITHIN + SECOND / 2); 2]);
}

#[test]
fn who_waits_is_told_when_in_the_order_of_turns_and_is_not_overtaken() {
    // given ten groups of ten more than there are tokens for
    let (mut lane, now) = ec2(Action::Start);
    let asks: Vec<Ask> = (0..110).map(|n| ask(&format!("g-{n:03}"), 10)).collect();
    let verdicts = lane.admit(&asks, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(10)).count(), 100);
    let waits: Vec<Verdict> = (1..=10).map(|n| Verdict::Wait(ARRIVES_WITHIN + SECOND * 5 * n)).collect();
    assert_eq!(verdicts[100..], waits);
    // when somebody comes who is no sooner due, then after them
    let later = now + ARRIVES_WITHIN + SECOND * 5;
    assert_eq!(lane.admit(&[ask("new", 1)], later), [Verdict::Wait(SECOND / 2 * 91)]);
    // and the first of them gets what was kept
    assert_eq!(lane.admit(&[ask("g-100", 10)], later), [Verdict::Go(10)]);
    assert_eq!(lane.demand(later), 91);
}

#[test]
fn a_group_larger_than_the_bucket_goes_in_parts() {
    let (mut lane, now) = ec2(Action::Start);
    lane.set_share(0.4, 1.0, now);
    assert_eq!(lane.admit(&[ask("huge", 560)], now), [Verdict::Go(400)]);
    let Verdict::Wait(wait) = lane.admit(&[ask("huge", 160)], now)[0] else { panic!() };
    // four tenths of two tokens a second
    assert!(wait.abs_diff(SECOND * 200) < SECOND, "{wait:?}");
}

#[test]
fn tags_of_the_same_kind_share_a_call_and_others_cost_one_each() {
    let (mut lane, now) = ec2(Action::Tag);
    let same: Vec<Ask> = (0..500).map(|n| ask(&format!("b-{n}"), 3)).collect();
    assert!(lane.admit(&same, now).iter().all(|verdict| *verdict == Verdict::Go(3)));
    // fifteen hundred machines took two calls: 96 of 98 are left
    let others: Vec<Ask> = (0..120).map(|n| of_kind(&format!("c-{n}"), 3, n + 1)).collect();
    let verdicts = lane.admit(&others, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(3)).count(), 96);
    assert_eq!(verdicts[96], Verdict::Wait(ARRIVES_WITHIN + SECOND / 10));
    assert_eq!(verdicts[119], Verdict::Wait(ARRIVES_WITHIN + SECOND / 10 * 24));
}

#[test]
fn databases_cost_a_call_each() {
    let now = Instant::now();
    let mut lane = Lane::new(limits("rds", Action::Start), now);
    let asks: Vec<Ask> = (0..60).map(|n| ask(&format!("db-{n}"), 1)).collect();
    let verdicts = lane.admit(&asks, now);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go(1)).count(), 50);
    assert_eq!(verdicts[59], Verdict::Wait(ARRIVES_WITHIN + SECOND * 2));
}

#[test]
fn throttling_makes_everybody_wait_longer_than_planned() {
    let (mut lane, now) = ec2(Action::Stop);
    lane.throttled(now);
    let Verdict::Wait(wait) = lane.admit(&[ask("a", 1)], now)[0] else { panic!("nothing is left") };
    assert!(wait > SECOND / 5, "{wait:?}");
}

#[test]
fn who_does_not_come_again_holds_nobody_up_for_long() {
    let (mut lane, now) = ec2(Action::Start);
    assert_eq!(lane.admit(&[ask("all", 1000)], now), [Verdict::Go(1000)]);
    assert_eq!(lane.admit(&[ask("gone", 10)], now), [Verdict::Wait(ARRIVES_WITHIN + SECOND * 5)]);
    let now = now + ARRIVES_WITHIN;
    assert_eq!(lane.admit(&[ask("b", 10)], now + SECOND * 9), [Verdict::Wait(SECOND)]);
    assert_eq!(lane.admit(&[ask("b", 10)], now + SECOND * 21), [Verdict::Go(10)]);
}

fn expected(machines: usize, kind: &str, until: Instant) -> Expected {
    Expected { machines, kind: kind.into(), until }
}

#[test]
fn many_calls_are_expected_if_a_full_bucket_could_not_pay_for_those_of_different_kinds() {
    // given a bucket of a hundred calls, less what is left alone
    let now = Instant::now();
    let mut lane = Lane::new(limits("ec2", Action::Tag), now);
    let later = now + SECOND * 10;
    for asker in 0..200 {
        lane.expect(&asker.to_string().into(), expected(1, "the same", later));
    }
    assert!(!lane.expects_many(now), "they share a call");
    for asker in 0..98 {
        lane.expect(&asker.to_string().into(), expected(1, &asker.to_string(), later));
    }
    assert!(lane.expects_many(now));
    assert_eq!(lane.demand(now), 0, "there is time");
    // when their time is over, then they are not
    assert!(!lane.expects_many(later));
}

#[test]
fn what_is_expected_counts_until_it_is_asked_for_or_its_time_is_over() {
    let (mut lane, now) = ec2(Action::Start);
    lane.expect(&"a".into(), expected(10, "", now + SECOND * 10));
    lane.expect(&"b".into(), expected(5, "", now + SECOND * 10));
    lane.expect(&"c".into(), expected(1, "", now + SECOND));
    assert_eq!(lane.demand(now), 16);
    assert_eq!(lane.admit(&[ask("a", 10)], now), [Verdict::Go(10)]);
    assert_eq!(lane.demand(now + SECOND), 5);
    lane.withdraw("b");
    assert_eq!(lane.demand(now), 0);
}

#[test]
fn refusals_of_one_moment_count_once_and_machines_only_if_they_go_on() {
    let (mut lane, now) = ec2(Action::Start);
    lane.throttled(now);
    lane.throttled(now + SECOND / 2);
    assert!(
        lane.admit(&[ask("all", 1000)], now + SECOND * 2) == [Verdict::Go(1000)],
        "no machine was refused"
    );
    let (mut lane, now) = ec2(Action::Start);
    lane.throttled(now);
    lane.throttled(now + SECOND * 3);
    assert!(matches!(lane.admit(&[ask("all", 1000)], now + SECOND * 6)[0], Verdict::Wait(_)));
}
