use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::history::{Owned, Pause, Span};

const KEY: KeyId = KeyId(0);
const SLOT: u16 = 7;

fn at(ms: i64) -> At {
    At(ms * 1000)
}

/// A key booked from 10 s to 20 s and from 40 s to 50 s, owned by pod `a`; looked at for 100 s.
fn history() -> History {
    let windows = [(10_000, 20_000), (40_000, 50_000)];
    History {
        slots: [(KEY, SLOT)].into(),
        windows: [(KEY, windows.map(|(from, to)| Window { from: at(from), to: at(to) }).to_vec())].into(),
        calls: [(10_000, Verb::Start), (20_000, Verb::Stop), (40_000, Verb::Start), (50_000, Verb::Stop)]
            .map(|(ms, verb)| call("a", ms, verb))
            .to_vec(),
        owned: vec![owned("a", 0)],
        end: Some(at(100_000)),
        ..History::default()
    }
}

fn call(pod: &str, ms: i64, verb: Verb) -> Call {
    Call {
        key: KEY,
        process: Arc::from(pod),
        pod: Arc::from(pod),
        verb,
        signed: Some(at(ms / 1000 * 1000)),
        arrived: at(ms),
        completed: Some(at(ms + 5)),
        took_effect: true,
    }
}

fn owned(pod: &str, ms: i64) -> Owned {
    Owned { seen: at(ms), slot: SLOT, pod: Arc::from(pod) }
}

fn span(from: i64, until: i64) -> Span {
    Span { kind: Kind::Sigkill, from: at(from), until: at(until), keys: None }
}

fn add(history: &mut History, call: Call) {
    history.calls.push(call);
    history.calls.sort_by_key(|call| call.arrived);
}

fn breaches(history: &History) -> Vec<Breach> {
    check(history).findings.into_iter().map(|finding| finding.breach).collect()
}

#[test]
fn a_history_in_which_all_is_done_on_time_by_its_owner_is_clean() {
    let verdict = check(&history());
    assert!(verdict.findings.is_empty(), "{verdict:?}");
    assert_eq!(verdict.lateness, [Duration::ZERO; 4]);
}

#[test]
fn a_call_of_the_old_owner_after_the_new_one_was_named_is_double() {
    let mut history = history();
    history.owned.push(owned("b", 45_000));
    assert_eq!(breaches(&history), [Breach::DoubleOwner]);
    // and by the new one it is not
    history.calls[3] = call("b", 50_000, Verb::Stop);
    assert_eq!(breaches(&history), []);
}

#[test]
fn a_new_owner_may_act_before_its_naming_was_seen_but_not_long_before() {
    for (seen, expected) in [(50_900, vec![]), (51_100, vec![Breach::DoubleOwner])] {
        let mut history = history();
        history.calls[3] = call("b", 50_000, Verb::Stop);
        history.owned.push(owned("b", seen));
        assert_eq!(breaches(&history), expected, "{seen}");
    }
}

#[test]
fn while_nobody_could_look_a_naming_may_be_seen_later() {
    let mut history = history();
    history.calls[3] = call("b", 50_000, Verb::Stop);
    history.owned.push(owned("b", 58_000));
    history.blind.push((at(49_000), at(60_000)));
    assert_eq!(breaches(&history), []);
}

#[test]
fn calls_of_two_processes_that_overlap_are_double_even_without_a_ring() {
    let mut history = history();
    history.slots.clear();
    add(&mut history, call("b", 50_003, Verb::Tag));
    assert_eq!(breaches(&history), [Breach::DoubleOwner]);
    history.calls[4].arrived = at(50_005);
    assert_eq!(breaches(&history), []);
    // also if a call of its own came between
    history.calls[3].completed = Some(at(51_000));
    add(&mut history, call("a", 50_001, Verb::Tag));
    assert_eq!(breaches(&history), [Breach::DoubleOwner]);
}

#[test]
fn a_strange_call_after_a_pause_is_counted_apart_if_it_was_signed_before() {
    let mut history = history();
    history.owned.push(owned("b", 60_000));
    history.pauses.push(Pause { process: "a".into(), paused: at(43_500), resumed: at(61_900) });
    for (signed, expected) in [(61_000, Breach::DoubleOwner), (43_000, Breach::LateInFlight)] {
        let mut history = history.clone();
        add(&mut history, Call { signed: Some(at(signed)), ..call("a", 62_000, Verb::Tag) });
        assert_eq!(breaches(&history), [expected], "{signed}");
    }
    // and not before the process went on
    add(&mut history, Call { signed: Some(at(43_000)), ..call("a", 61_000, Verb::Tag) });
    assert_eq!(breaches(&history), [Breach::DoubleOwner]);
}

#[test]
fn a_start_without_a_booking_is_early() {
    for (ms, early) in [(9_999, true), (10_001, false), (23_999, false), (24_001, true)] {
        let mut history = history();
        add(&mut history, call("a", ms, Verb::Start));
        assert_eq!(breaches(&history).contains(&Breach::Early), early, "{ms}");
    }
}

#[test]
fn a_stop_of_what_is_booked_is_early_unless_it_crossed_the_start() {
    for (ms, early) in [(10_100, false), (10_300, true), (19_999, true), (20_001, false), (39_999, false)] {
        let mut history = history();
        add(&mut history, call("a", ms, Verb::Stop));
        assert_eq!(breaches(&history).contains(&Breach::Early), early, "{ms}");
    }
}

#[test]
fn what_is_due_and_does_not_happen_within_its_bound_is_missed() {
    for index in 0..4 {
        let mut history = history();
        history.calls[index].arrived = history.calls[index].arrived.plus(Duration::from_millis(5_001));
        history.calls[index].completed = None;
        assert!(breaches(&history).contains(&Breach::Missed), "{index}");
    }
}

#[test]
fn a_fault_excuses_what_is_late_until_it_and_the_bound_are_over() {
    for (until, expected) in [(50_000, vec![Breach::Missed]), (50_001, vec![])] {
        let mut history = history();
        history.calls[3] = call("a", 55_001, Verb::Stop);
        history.spans.push(span(45_000, until));
        assert_eq!(breaches(&history), expected, "{until}");
    }
}

#[test]
fn a_fault_excuses_only_the_keys_that_it_hits() {
    let mut history = history();
    history.calls[3] = call("a", 58_000, Verb::Stop);
    history.spans.push(Span { keys: Some(BTreeSet::from([KeyId(1)])), ..span(45_000, 60_000) });
    assert_eq!(breaches(&history), [Breach::Missed]);
}

#[test]
fn a_window_that_passes_within_a_fault_owes_nothing() {
    let mut history = history();
    history.calls.truncate(2);
    history.spans.push(span(39_000, 51_000));
    assert_eq!(breaches(&history), []);
}

#[test]
fn what_has_not_had_its_time_is_not_missed_yet() {
    let mut history = history();
    history.calls.truncate(3);
    history.end = Some(at(54_999));
    assert_eq!(breaches(&history), []);
    history.end = Some(at(55_000));
    assert_eq!(breaches(&history), [Breach::Missed]);
}

#[test]
fn a_finding_belongs_to_the_last_fault_before_it() {
    let mut history = history();
    history.spans.push(span(5_000, 6_000));
    history.spans.push(Span { kind: Kind::Graceful, ..span(12_000, 13_000) });
    history.spans.push(Span { kind: Kind::Rollout, ..span(60_000, 61_000) });
    add(&mut history, call("b", 45_000, Verb::Tag));
    assert_eq!(check(&history).findings[0].kind, Some(Kind::Graceful));
}
