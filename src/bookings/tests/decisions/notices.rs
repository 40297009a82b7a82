//! Which recipient gets which notices, and how often.

use bookings::{
    api::{Booking, BookingStatus, Notification},
    decide::groups::{
        machine::MachineState,
        notices::{Delivery, Happening, text},
    },
};

use crate::{
    build::{at, booking, later, machine, text as instant},
    cloud::Temper,
    stage::Stage,
};

fn telling(mut booking: Booking, notifications: &[(&str, &[&str])]) -> Booking {
    let notification = |(recipient, on): &(&str, &[&str])| Notification {
        type_: Some("email".into()),
        recipient: Some((*recipient).into()),
        on: (!on.is_empty()).then(|| on.iter().map(ToString::to_string).collect()),
        ..Notification::default()
    };
    booking.spec.notifications = Some(notifications.iter().map(notification).collect());
    booking
}

/// Recipient, event, and minutes after 08:00.
fn told(stage: &Stage) -> Vec<(String, &'static str, i64)> {
    let minutes = |t: jiff::Timestamp| (t.as_second() - at("08:00").as_second()) / 60;
    stage.told.iter().map(|(t, it)| (it.id.recipient.clone(), it.id.happening.word(), minutes(*t))).collect()
}

#[test]
fn each_recipient_is_told_once_twenty_minutes_before_the_end() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(telling(booking("a", "ann", "09:00", "10:00"), &[("ann@x", &[]), ("bob@x", &[])]));
    stage.until("09:30");
    assert!(stage.told.is_empty() && stage.status("a").notification_sent != Some(true));
    stage.until("11:00");
    assert_eq!(told(&stage), [("ann@x".into(), "before_end", 100), ("bob@x".into(), "before_end", 100)]);
    let status = stage.status("a");
    assert_eq!((status.notification_sent, status.notified.len()), (Some(true), 2));
}

#[test]
fn an_extension_is_told_of_again_with_the_new_end() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(telling(booking("a", "ann", "09:00", "10:00"), &[("ann@x", &[])]));
    stage.until("09:45");
    assert_eq!(stage.status("a").notification_sent, Some(true));
    stage.edit("a", |spec| spec.end_at = Some(instant("11:00")));
    stage.until("09:50");
    assert_eq!(stage.status("a").notification_sent, Some(false));
    stage.until("11:30");
    assert_eq!(told(&stage).iter().map(|told| told.2).collect::<Vec<_>>(), [100, 160]);
}

#[test]
fn a_booking_shorter_than_the_notice_is_told_of_at_its_start_and_one_in_vain_never() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(telling(booking("a", "ann", "09:00", "09:10"), &[("ann@x", &[])]));
    // and a booking that waits for the first one until its own end has passed
    stage.book(telling(booking("b", "bob", "09:00", "09:05"), &[("bob@x", &[])]));
    stage.until("10:00");
    assert_eq!(told(&stage), [("ann@x".into(), "before_end", 60)]);
    assert!(stage.status("b").notified.is_empty());
}

#[test]
fn start_ready_and_failure_are_told_to_those_who_ask() {
    let mut stage = Stage::new(&["i-1"]);
    let all: &[&str] = &["start", "ready", "failure", "before_end"];
    stage.book(telling(booking("a", "ann", "09:00", "10:00"), &[("ann@x", all)]));
    stage.until("10:30");
    let events: Vec<&str> = told(&stage).into_iter().map(|told| told.1).collect();
    assert_eq!(events, ["start", "ready", "before_end"]);
    // given a machine for which the cloud has no capacity
    stage.cloud.temper("i-1", Temper::NoCapacity);
    stage.book(telling(booking("b", "ann", "11:00", "12:00"), &[("ann@x", all)]));
    stage.until("12:30");
    let events: Vec<&str> = told(&stage).into_iter().skip(3).map(|told| told.1).collect();
    assert_eq!(events, ["start", "failure", "before_end"]);
    let failure = stage.told.iter().find(|(_, it)| it.id.happening == Happening::Failure).unwrap();
    assert!(text::text(&failure.1, failure.0).body.contains("InsufficientInstanceCapacity"));
}

#[test]
fn one_who_cannot_be_reached_is_reported_and_keeps_nobody_else_from_being_told() {
    let mut stage = Stage::new(&["i-1"]);
    stage.unreachable.push("bob@x".into());
    stage.book(telling(booking("a", "ann", "09:00", "10:00"), &[("bob@x", &[]), ("ann@x", &[])]));
    stage.until("11:00");
    assert_eq!(told(&stage), [("ann@x".into(), "before_end", 100)]);
    let status = stage.status("a");
    let refused = status.notified.iter().find(|record| record.recipient == "bob@x").unwrap();
    assert_eq!(refused.problem.as_deref(), Some("550 no such user"));
    assert_eq!(status.notification_sent, Some(false));
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "NotificationFailed").count(), 1);
}

#[test]
fn what_the_original_has_told_is_not_told_again_but_another_end_is() {
    let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
    let mut taken_over = telling(booking("a", "ann", "07:00", "08:10"), &[("ann@x", &[])]);
    taken_over.status = Some(BookingStatus {
        status: Some("IN PROGRESS".into()),
        notification_sent: Some(true),
        ..BookingStatus::default()
    });
    stage.book(taken_over);
    stage.until("08:05");
    assert!(stage.told.is_empty());
    assert_eq!(stage.status("a").notification_sent, Some(true));
    stage.edit("a", |spec| spec.end_at = Some(instant("09:00")));
    stage.until("09:30");
    assert_eq!(told(&stage), [("ann@x".into(), "before_end", 40)]);
}

#[test]
fn what_was_sent_is_recorded_though_it_is_not_due_any_more() {
    // given a failure that was told and was over before that was recorded
    let mut stage = Stage::new(&["i-1"]);
    stage.book(telling(booking("a", "ann", "08:00", "10:00"), &[("ann@x", &["failure"])]));
    stage.blind = true;
    let told_of = stage.decide().notices;
    assert_eq!(told_of.len(), 1);
    let delivery = Delivery { at: stage.now, problem: None };
    stage.deliveries.insert(told_of[0].id.clone(), delivery);
    stage.blind = false;
    // when the next pass finds everything in order, then the notice is recorded, and the same failure is not told
    // again
    stage.until("08:30");
    assert_eq!(stage.status("a").notified.len(), 1);
    stage.blind = true;
    stage.until("08:40");
    assert!(stage.told.is_empty());
}

#[test]
fn a_dry_run_tells_nobody() {
    let mut stage = Stage::new(&["i-1"]);
    stage.settings.dry_run = true;
    stage.book(telling(booking("a", "ann", "09:00", "10:00"), &[("ann@x", &["start", "before_end"])]));
    stage.until("11:00");
    assert!(stage.told.is_empty());
}

#[test]
fn figures_are_those_of_the_moment_and_times_those_of_the_bookings_zone() {
    let mut stage = Stage::new(&["i-1"]);
    let mut booked = telling(booking("a", "ann", "09:00", "10:00"), &[("ann@x", &[])]);
    booked.spec.time_zone = Some("Europe/Berlin".into());
    stage.book(booked);
    stage.until("09:50");
    let (_, notice) = &stage.told[0];
    // when it is sent eight minutes late
    let said = text::text(notice, later(at("09:48"), 10));
    assert_eq!(said.subject, "web: the booking of ann ends in 12 minutes");
    assert!(said.body.contains("Monday, 1 March 2027, 11:00 (Europe/Berlin)"), "{}", said.body);
    // and without a zone, in the offset in which the end was written
    stage.edit("a", |spec| {
        spec.time_zone = None;
        spec.end_at = Some("2027-03-01T16:30:00+05:30".into());
    });
    stage.until("12:00");
    let body = text::text(&stage.told[1].1, at("10:40")).body;
    assert!(body.contains("in 20 minutes") && body.contains("16:30 (UTC+05:30)"), "{body}");
}
