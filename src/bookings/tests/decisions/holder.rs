//! Rules 3, 5, 9: who holds the group, and for how long.

use bookings::decide::groups::{machine::MachineState, output::Call};

use crate::{
    build::{at, booking, lock, locked, machine, tag, text},
    stage::Stage,
};

#[test]
fn a_booking_has_its_group_started_and_locked_at_its_start_and_stopped_and_freed_at_its_end() {
    // given
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:59:59");
    assert_eq!((stage.state("a"), stage.calls.len()), ("SCHEDULED".into(), 0));
    // when it starts
    stage.until("09:00");
    let ids = || vec!["i-1".to_owned(), "i-2".to_owned()];
    assert_eq!(stage.calls_since(at("09:00")), [Call::Start(ids()), Call::Lock(lock("ann", "10:00"), ids())]);
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("IN PROGRESS".into(), "False Starting".into()));
    stage.until("09:01");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    assert_eq!((stage.resource_says("Ready"), stage.holder()), ("True Held".into(), Some("ann".into())));
    let status = stage.resource_status();
    assert_eq!((status.locked_by, status.locked_until), (Some("ann".into()), Some(text("10:00"))));
    assert_eq!((status.instances, status.running, status.status), (Some(2), Some(2), Some("RUNNING".into())));
    // when it ends
    stage.until("10:00");
    assert_eq!(
        stage.calls_since(at("10:00")),
        [Call::Stop(ids()), Call::Unlock(lock("ann", "10:00"), ids())]
    );
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("FINISHED".into(), "False Finished".into()));
    stage.until("10:01");
    let status = stage.resource_status();
    assert_eq!(status.released_locks, [], "it expired with the booking");
    assert_eq!(
        (status.holder, status.locked_by, status.locked_until),
        (None, Some(String::new()), Some(String::new()))
    );
    assert_eq!((stage.resource_says("Ready"), status.running), ("True Stopped".into(), Some(0)));
    assert_eq!(
        stage.event_reasons().iter().filter(|r| **r != "Stopped").copied().collect::<Vec<_>>(),
        ["Started", "Ready", "Finished"]
    );
}

#[test]
fn the_holder_is_recorded_before_the_first_lock_is_sent() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.now = at("09:00");
    let decision = stage.decide();
    let holder = decision.resource_status.unwrap().holder.unwrap();
    assert_eq!((holder.user, holder.until), ("ann".into(), text("10:00")));
    assert_eq!((holder.booking, holder.booking_uid), (Some("a".into()), Some("a".into())));
    assert!(decision.calls.contains(&Call::Lock(lock("ann", "10:00"), vec!["i-1".into()])));
}

#[test]
fn a_booking_of_five_seconds_acts() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00:00", "09:00:05"));
    stage.until("09:10");
    let calls: Vec<_> = stage.calls.iter().map(|(_, call)| call.clone()).collect();
    assert_eq!(calls[0], Call::Start(vec!["i-1".into()]));
    assert_eq!(stage.calls[0].0, at("09:00"));
    assert_eq!((stage.stops(), stage.machine("i-1").state), (1, MachineState::Stopped));
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("FINISHED".into(), "False Finished".into()));
}

#[test]
fn an_extension_moves_the_lock_and_stops_nothing() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.edit("a", |spec| spec.end_at = Some(text("11:00")));
    stage.until("09:31");
    assert_eq!(stage.machine("i-1").lock, tag(&lock("ann", "11:00")));
    stage.until("10:59:59");
    assert_eq!((stage.stops(), stage.says("a", "Ready")), (0, "True Held".into()));
}

#[test]
fn an_early_release_by_edit_stops_and_unlocks_at_once() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.edit("a", |spec| spec.end_at = Some(text("09:30")));
    stage.until("09:30");
    assert_eq!(
        stage.calls_since(at("09:30")),
        [Call::Stop(vec!["i-1".into()]), Call::Unlock(lock("ann", "10:00"), vec!["i-1".into()])]
    );
    assert_eq!(stage.state("a"), "FINISHED");
}

#[test]
fn an_early_release_by_deletion_stops_and_unlocks_at_once() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.delete("a");
    // when the process dies between the status and the calls
    let recorded = stage.decide().resource_status.unwrap();
    assert_eq!(recorded.released_locks, [lock("ann", "10:00")]);
    stage.resource.as_mut().unwrap().status = Some(recorded);
    stage.attempts = bookings::decide::groups::attempts::Attempts::default();
    // then the lock still counts as ours
    stage.until("09:31");
    assert_eq!(stage.machine("i-1").lock, bookings::decide::groups::machine::LockTag::Absent);
    assert_eq!((stage.stops(), stage.holder()), (1, None));
}

#[test]
fn a_booking_that_is_being_deleted_acts_no_more() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.bookings[0].metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("09:30")));
    stage.until("09:31");
    assert_eq!((stage.stops(), stage.holder()), (1, None));
    // and it is finished in time, if it still exists
    stage.until("10:00");
    assert_eq!(stage.state("a"), "FINISHED");
}

#[test]
fn a_retargeted_booking_frees_its_group() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.edit("a", |spec| spec.resource_name = Some("other".into()));
    stage.until("09:31");
    assert_eq!((stage.stops(), stage.holder()), (1, None));
}

#[test]
fn a_finished_booking_stays_finished_when_the_clock_goes_back() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("10:00");
    stage.now = at("09:59:58");
    stage.until("09:59:59");
    assert_eq!((stage.state("a"), stage.holder()), ("FINISHED".into(), None));
}

#[test]
fn a_finished_booking_lives_again_when_it_is_extended() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("10:30");
    stage.edit("a", |spec| spec.end_at = Some(text("11:00")));
    stage.until("10:31");
    assert_eq!((stage.state("a"), stage.holder().as_deref()), ("IN PROGRESS".into(), Some("ann")));
}

#[test]
fn a_finished_booking_never_touches_the_hold_of_another() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "10:00", "11:00"));
    stage.until("10:30");
    let writes = stage.writes;
    // when the operator restarts
    stage.attempts = bookings::decide::groups::attempts::Attempts::default();
    stage.until("10:40");
    assert_eq!((stage.holder().as_deref(), stage.writes, stage.stops()), (Some("bob"), writes, 0));
}

#[test]
fn a_manual_hold_starts_and_locks_goes_before_bookings_and_ends_to_the_second() {
    // given a booking in progress
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:10");
    // when a user takes the group by hand
    stage.configure(|spec| {
        spec.booked_by = Some("bob".into());
        spec.booked_until = Some(text("09:40"));
    });
    stage.until("09:11");
    // then
    assert_eq!((stage.holder().as_deref(), stage.stops()), (Some("bob"), 0));
    assert_eq!(stage.machine("i-1").lock, tag(&lock("bob", "09:40")));
    assert_eq!(stage.resource_status().holder.unwrap().booking_uid, None);
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("IN PROGRESS".into(), "False Waiting".into()));
    assert_eq!(
        stage.message("a", "Ready"),
        "waits for bob until 2027-03-01T09:40:00Z, who holds the group; place 1 in the queue"
    );
    // and the booking has it again afterwards
    stage.until("09:40");
    assert_eq!((stage.holder().as_deref(), stage.stops()), (Some("ann"), 0));
}

#[test]
fn a_manual_hold_of_an_idle_group_starts_it() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| {
        spec.booked_by = Some("bob".into());
        spec.booked_until = Some(text("09:00"));
    });
    stage.until("08:30");
    assert_eq!(stage.machine("i-1").state, MachineState::Running);
    stage.until("09:01");
    assert_eq!(stage.machine("i-1").state, MachineState::Stopped);
    // and the pair is in the past and has no effect
    assert_eq!(stage.resource_says("Ready"), "True Stopped");
}

#[test]
fn a_manual_hold_by_the_bookings_own_user_serves_the_booking() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| {
        spec.booked_by = Some("ann".into());
        spec.booked_until = Some(text("09:30"));
    });
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:10");
    assert_eq!(
        (stage.says("a", "Ready"), stage.resource_status().locked_until),
        ("True Held".into(), Some(text("10:00")))
    );
    stage.until("09:59:59");
    assert_eq!(stage.stops(), 0);
}

#[test]
fn a_malformed_manual_hold_starts_and_stops_nothing_and_says_so() {
    let long = "x".repeat(257);
    let table = [
        (Some("bob"), None, "spec.booked_until is empty"),
        (None, Some("2027-03-01T12:00:00Z"), "spec.booked_by is empty"),
        (Some("bob"), Some("tomorrow"), "\"tomorrow\" is no RFC 3339 instant"),
        (Some("bob\r\n"), Some("2027-03-01T12:00:00Z"), "control characters"),
        (Some(long.as_str()), Some("2027-03-01T12:00:00Z"), "longer than 256"),
    ];
    for (by, until, problem) in table {
        // given a machine that runs and one that does not
        let mut stage =
            Stage::with([machine("i-1", MachineState::Running), machine("i-2", MachineState::Stopped)]);
        stage.configure(|spec| {
            spec.booked_by = by.map(Into::into);
            spec.booked_until = until.map(Into::into);
        });
        // when
        stage.until("09:00");
        // then
        assert_eq!(stage.calls, [], "{by:?} {until:?}");
        assert_eq!(stage.resource_says("Ready"), "False ManualHoldMalformed");
        assert!(stage.resource_message("Ready").contains(problem), "{}", stage.resource_message("Ready"));
        // and a Booking is served all the same, and its condition shows the group's progress
        stage.book(booking("a", "ann", "09:10", "09:30"));
        stage.until("09:20");
        assert_eq!(stage.says("a", "Ready"), "True Held");
        assert_eq!(stage.resource_says("Ready"), "False ManualHoldMalformed");
    }
}

#[test]
fn a_half_running_group_is_completed_for_a_holder() {
    let mut stage =
        Stage::with([machine("i-1", MachineState::Running), machine("i-2", MachineState::Stopped)]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:00");
    assert_eq!(stage.calls[0].1, Call::Start(vec!["i-2".into()]));
    assert_eq!(stage.calls.len(), 2);
}

#[test]
fn a_machine_with_the_right_lock_written_otherwise_is_not_locked_again() {
    let mut written = lock("ann", "09:00");
    written.until = "2027-03-01T10:00:00.0+01:00".into();
    let mut stage = Stage::with([locked(machine("i-1", MachineState::Running), &written)]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:30");
    assert_eq!((stage.calls.len(), stage.says("a", "Ready")), (0, "True Held".into()));
}

#[test]
fn should_granted_windows_overlap_the_present_holder_keeps_the_group() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.book(booking("b", "bob", "08:00", "09:00"));
    for booking in &mut stage.bookings {
        booking.status = Some(bookings::api::BookingStatus {
            granted_resource: Some("web".into()),
            granted_from: Some(text("08:00")),
            granted_until: Some(text("09:00")),
            ..Default::default()
        });
    }
    let mut other = stage.clone();
    // given no holder, the first booking gets the group
    stage.until("08:10");
    assert_eq!(stage.holder().as_deref(), Some("ann"));
    // given that bob is the holder, he keeps it
    let holder =
        bookings::api::ResourceHolder { user: "bob".into(), until: text("09:00"), ..Default::default() };
    other.resource.as_mut().unwrap().status =
        Some(bookings::api::ResourceStatus { holder: Some(holder), ..Default::default() });
    other.until("08:10");
    assert_eq!(other.holder().as_deref(), Some("bob"));
}
