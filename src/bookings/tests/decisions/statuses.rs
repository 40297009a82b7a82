//! What the statuses, conditions and Events say, and how rarely they change.

use booking_decision::EventType;
use bookings::{api::BookingStatus, decide::subject::Subject};

use crate::{
    build::{at, booking, condition, text},
    stage::Stage,
};

#[test]
fn a_settled_world_is_never_written_to() {
    // given bookings past, present, waiting, invalid and future
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.book(booking("past", "ann", "06:00", "07:00"));
    stage.book(booking("present", "ann", "08:00", "12:00"));
    stage.book(booking("waiting", "bob", "08:30", "12:00"));
    stage.book(booking("invalid", "bob", "10:00", "09:00"));
    stage.book(booking("future", "eve", "13:00", "14:00"));
    stage.until("09:00");
    let (writes, calls, events) = (stage.writes, stage.calls.len(), stage.events.len());
    // when two hours pass, with a restart in between
    stage.until("10:00");
    stage.attempts = bookings::decide::groups::attempts::Attempts::default();
    stage.until("11:00");
    // then
    assert_eq!((stage.writes, stage.calls.len(), stage.events.len()), (writes, calls, events));
}

#[test]
fn a_booking_that_waited_to_its_end_has_never_held_its_group() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "11:00"));
    stage.book(booking("b", "bob", "09:30", "10:00"));
    stage.until("09:59:59");
    assert_eq!((stage.state("b"), stage.says("b", "Ready")), ("SCHEDULED".into(), "False Waiting".into()));
    stage.until("10:00");
    assert_eq!((stage.state("b"), stage.says("b", "Ready")), ("FINISHED".into(), "False NeverHeld".into()));
    let note = stage.events.iter().find(|note| note.reason == "NeverHeld").unwrap();
    assert_eq!((note.type_, &note.subject), (EventType::Warning, &Subject::Booking("b".into())));
    // and it stays so
    stage.until("12:00");
    assert_eq!(stage.says("b", "Ready"), "False NeverHeld");
    assert_eq!(stage.says("a", "Ready"), "False Finished");
}

#[test]
fn a_booking_first_seen_after_its_end_is_finished_and_never_held() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "06:00", "07:00"));
    stage.until("08:10");
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("FINISHED".into(), "False NeverHeld".into()));
    assert_eq!((stage.says("a", "Accepted"), stage.calls.len()), ("True Valid".into(), 0));
}

#[test]
fn a_booking_in_progress_stays_so_unless_its_spec_changes() {
    // given a booking in progress whose window another user has, because of a hand-edited status
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:10");
    stage.configure(|spec| {
        spec.booked_by = Some("bob".into());
        spec.booked_until = Some(text("12:00"));
    });
    stage.until("08:20");
    assert_eq!(stage.state("a"), "IN PROGRESS");
    // when it is moved to a later time, then it is scheduled
    stage.edit("a", |spec| spec.start_at = Some(text("09:00")));
    stage.until("08:30");
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("SCHEDULED".into(), "False Scheduled".into()));
}

#[test]
fn the_originals_statuses_are_carried_on() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "07:00", "10:00"));
    stage.bookings[0].status = Some(BookingStatus {
        status: Some("IN PROGRESS".into()),
        notification_sent: Some(true),
        ..BookingStatus::default()
    });
    stage.until("08:10");
    assert_eq!((stage.state("a"), stage.status("a").notification_sent), ("IN PROGRESS".into(), Some(true)));
    assert!(!stage.event_reasons().contains(&"Started"), "it was before us");
    // if the predecessor called a booking finished although its window is not over, the booking acts
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "07:00", "10:00"));
    stage.bookings[0].status =
        Some(BookingStatus { status: Some("FINISHED".into()), ..BookingStatus::default() });
    stage.until("08:10");
    assert_eq!(stage.state("a"), "IN PROGRESS");
}

#[test]
fn every_condition_carries_its_generation_and_the_time_of_its_last_turn() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.edit("a", |spec| spec.notifications = Some(vec![]));
    stage.until("09:40");
    let status = stage.status("a");
    assert_eq!(status.observed_generation, Some(2));
    let ready = condition(&status.conditions, "Ready").unwrap();
    assert_eq!(ready.observed_generation, Some(2));
    assert!(ready.last_transition_time.0 > at("09:00") && ready.last_transition_time.0 < at("09:01"));
    assert_eq!(condition(&status.conditions, "Accepted").unwrap().last_transition_time.0, at("08:00"));
    assert_eq!(stage.resource_status().observed_generation, Some(1));
}

#[test]
fn events_tell_each_turn_once_and_on_whom() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "09:30", "10:30"));
    stage.until("11:00");
    let told: Vec<_> = stage
        .events
        .iter()
        .map(|note| {
            let on = match &note.subject {
                Subject::Resource => "resource",
                Subject::Booking(uid) => uid,
                other => panic!("{other:?}"),
            };
            format!("{on} {}", note.reason)
        })
        .collect();
    assert_eq!(
        told,
        [
            "b Waiting",
            "resource Stopped",
            "a Started",
            "a Ready",
            "a Finished",
            "b Started",
            "b Ready",
            "b Finished",
            "resource Stopped"
        ]
    );
    let started = stage.events.iter().find(|note| note.reason == "Started").unwrap();
    assert_eq!(started.message, "holds its group until 2027-03-01T10:00:00Z");
}

#[test]
fn the_word_for_a_group_is_pending_while_it_is_on_its_way_or_half_up() {
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.cloud.temper("i-2", crate::cloud::Temper::NoCapacity);
    let word = |stage: &Stage| stage.resource_status().status.unwrap();
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:30");
    assert_eq!(word(&stage), "STOPPED");
    stage.until("09:00:10");
    assert_eq!(word(&stage), "PENDING");
    stage.until("09:30");
    assert_eq!((word(&stage).as_str(), stage.resource_status().running), ("PENDING", Some(1)));
}

#[test]
fn a_resource_never_observed_has_figures_all_the_same() {
    let mut stage = Stage::new(&["i-1"]);
    stage.blind = true;
    stage.until("08:10");
    let status = stage.resource_status();
    assert_eq!(
        (status.instances, status.running, status.status.as_deref()),
        (Some(0), Some(0), Some("PENDING"))
    );
    assert_eq!((status.locked_by, status.locked_until), (Some(String::new()), Some(String::new())));
    assert_eq!(stage.resource_says("Ready"), "False CloudError");
}

#[test]
fn a_group_that_was_not_looked_at_is_reported_not_guessed() {
    let stage = Stage::new(&["i-1"]);
    let decision = stage.decide_on(&bookings::decide::groups::input::Observation::NotNeeded, stage.now);
    let status = decision.resource_status.unwrap();
    assert_eq!(condition(&status.conditions, "Ready").unwrap().message, "the group has not been observed");
    assert!(decision.calls.is_empty());
}

#[test]
fn a_finished_booking_goes_when_its_time_to_stay_is_over_and_any_other_stays() {
    for (ttl, goes) in [(Some(30), Some("10:30")), (Some(0), Some("10:00")), (None, None)] {
        let mut stage = Stage::new(&["i-1"]);
        let mut short = booking("short", "ann", "09:00", "10:00");
        short.spec.ttl_minutes_after_finished = ttl;
        stage.book(short);
        let mut running = booking("running", "ann", "09:00", "12:00");
        running.spec.ttl_minutes_after_finished = Some(0);
        stage.book(running);
        stage.until("09:59:59");
        assert_eq!(stage.bookings.len(), 2);
        if let Some(goes) = goes {
            stage.until(goes);
        }
        stage.until("11:59:59");
        assert_eq!(stage.bookings.len(), if goes.is_some() { 1 } else { 2 }, "{ttl:?}");
        assert_eq!(stage.state("running"), "IN PROGRESS");
    }
}

#[test]
fn a_booking_says_that_it_is_finished_before_it_goes() {
    let mut stage = Stage::new(&["i-1"]);
    let mut late = booking("late", "ann", "05:00", "06:00");
    late.spec.ttl_minutes_after_finished = Some(0);
    stage.book(late);
    // when it is first seen long after its end, then its end is reported, and the next pass deletes it
    let first = stage.pass().unwrap();
    assert_eq!((first.expired.len(), stage.state("late").as_str()), (0, "FINISHED"));
    let second = stage.pass().unwrap();
    assert_eq!(second.expired, ["late"]);
    assert!(stage.bookings.is_empty());
}

#[test]
fn a_dry_run_deletes_nothing() {
    let mut stage = Stage::new(&["i-1"]);
    stage.settings.dry_run = true;
    let mut short = booking("short", "ann", "09:00", "10:00");
    short.spec.ttl_minutes_after_finished = Some(0);
    stage.book(short);
    stage.until("11:00");
    assert_eq!((stage.bookings.len(), stage.state("short").as_str()), (1, "FINISHED"));
}

#[test]
fn a_time_to_stay_that_makes_no_sense_is_refused_with_its_field() {
    for ttl in [-1, 527_041, i64::MAX] {
        let mut stage = Stage::new(&["i-1"]);
        let mut bad = booking("bad", "ann", "09:00", "10:00");
        bad.spec.ttl_minutes_after_finished = Some(ttl);
        stage.book(bad);
        stage.until("09:00");
        let says =
            format!("spec.ttl_minutes_after_finished: {ttl} is not allowed; it is minutes, 0 to 527040");
        assert_eq!(stage.message("bad", "Stalled"), says);
    }
}

#[test]
fn a_status_names_who_holds_the_group_and_how_long_it_took_to_get_ready() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "09:30", "11:00"));
    stage.until("08:59:59");
    assert_eq!((stage.status("a").holder, stage.status("a").ready_after_seconds), (None, None));
    stage.until("09:45");
    let [a, b] = ["a", "b"].map(|name| stage.status(name));
    assert_eq!((a.holder.as_deref(), b.holder.as_deref()), (Some("ann"), Some("ann")));
    assert!(a.ready_after_seconds.is_some_and(|seconds| (1..120).contains(&seconds)), "{a:?}");
    let before = a.ready_after_seconds;
    stage.until("10:30");
    let [a, b] = ["a", "b"].map(|name| stage.status(name));
    assert_eq!((a.holder, a.ready_after_seconds), (None, before), "it is over, and the figure stays");
    assert_eq!(b.holder.as_deref(), Some("bob"));
    assert!(b.ready_after_seconds.is_some());
}

#[test]
fn a_finished_booking_goes_though_its_resource_does_not_exist() {
    let mut stage = Stage::new(&[]);
    stage.resource = None;
    let mut short = booking("short", "ann", "09:00", "10:00");
    short.spec.ttl_minutes_after_finished = Some(0);
    stage.book(short);
    stage.until("10:00:02");
    assert!(stage.bookings.is_empty());
}
