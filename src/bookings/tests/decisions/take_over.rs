//! Rules 2 and 3: the trace that the predecessor left.

use bookings::decide::groups::machine::MachineState;

use crate::{
    build::{at, booking, lock, locked, machine, text},
    stage::{Fault, Stage},
};

/// A group as the predecessor leaves it in the middle of ann's booking. Bob's booking is older and waits.
fn left_behind() -> Stage {
    let mut stage = Stage::with([locked(machine("i-1", MachineState::Running), &lock("ann", "10:00"))]);
    stage.configure(|spec| {
        spec.booked_by = Some("ann".into());
        spec.booked_until = Some(text("10:00"));
        spec.when_idle = None;
    });
    stage.book(booking("b", "bob", "07:30", "11:00"));
    stage.book(booking("a", "ann", "07:00", "10:00"));
    stage
}

#[test]
fn the_trace_is_recorded_as_holder_and_then_cleared_with_an_event() {
    let mut stage = left_behind();
    let decision = stage.pass().unwrap();
    assert_eq!(decision.clear_trace, Some(lock("ann", "10:00")));
    let holder = stage.resource_status().holder.unwrap();
    assert_eq!((holder.user, holder.booking_uid), ("ann".into(), Some("a".into())));
    assert_eq!(stage.resource.as_ref().unwrap().spec.booked_by.as_deref(), Some(""));
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "TakenOver").count(), 1);
    // and only once
    stage.until("08:10");
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "TakenOver").count(), 1);
}

#[test]
fn the_holder_of_the_trace_goes_before_an_older_booking() {
    let mut stage = left_behind();
    stage.until("08:10");
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("IN PROGRESS".into(), "True Held".into()));
    assert_eq!((stage.state("b"), stage.says("b", "Ready")), ("SCHEDULED".into(), "False Waiting".into()));
    assert_eq!(stage.calls, [], "running and locked as it should be");
    stage.until("10:01");
    assert_eq!((stage.holder().as_deref(), stage.stops()), (Some("bob"), 0));
}

#[test]
fn a_trace_whose_booking_is_over_lets_the_group_go_without_grace() {
    let mut stage = left_behind();
    stage.delete("b");
    stage.now = at("10:05");
    stage.until("10:06");
    assert_eq!((stage.stops(), stage.holder()), (1, None));
    assert_eq!(stage.machine("i-1").lock, bookings::decide::groups::machine::LockTag::Absent);
    assert_eq!(stage.resource.as_ref().unwrap().spec.booked_until.as_deref(), Some(""));
}

#[test]
fn a_pair_for_a_booking_that_has_not_begun_is_a_persons_hold_until_then() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| {
        spec.booked_by = Some("ann".into());
        spec.booked_until = Some(text("10:00"));
    });
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:30");
    assert_eq!((stage.holder().as_deref(), stage.state("a")), (Some("ann"), "SCHEDULED".into()));
    stage.until("09:00");
    assert_eq!((stage.state("a"), stage.stops()), ("IN PROGRESS".into(), 0));
    assert_eq!(stage.resource.as_ref().unwrap().spec.booked_by.as_deref(), Some(""));
}

#[test]
fn a_trace_is_recognised_whatever_the_offset_it_is_written_with() {
    let mut stage = left_behind();
    stage.configure(|spec| spec.booked_until = Some("2027-03-01T11:00:00+01:00".into()));
    let decision = stage.pass().unwrap();
    assert_eq!(decision.clear_trace.unwrap().until, "2027-03-01T11:00:00+01:00");
}

#[test]
fn the_lock_of_a_trace_is_ours_even_if_its_booking_does_not_hold() {
    // given a trace of a booking that has been shortened since, so that the tags have a later end than any hold
    let mut stage = left_behind();
    stage.delete("b");
    stage.delete("a");
    stage.book(booking("c", "ann", "07:00", "10:00"));
    stage.bookings[0].metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("08:00")));
    stage.until("08:01");
    assert_eq!(
        (stage.stops(), stage.machine("i-1").lock),
        (1, bookings::decide::groups::machine::LockTag::Absent)
    );
}

#[test]
fn a_crash_at_any_point_of_the_take_over_loses_nothing() {
    for point in 0..6 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::Fails, Fault::AnswerLost] {
            let mut stage = left_behind();
            stage.faults = std::iter::repeat_n(Fault::None, point).chain([fault]).collect();
            stage.until("08:10");
            assert_eq!((stage.holder().as_deref(), stage.stops()), (Some("ann"), 0), "{point} {fault:?}");
            assert_eq!(stage.says("a", "Ready"), "True Held");
            assert_eq!(stage.resource.as_ref().unwrap().spec.booked_by.as_deref(), Some(""));
        }
    }
}
