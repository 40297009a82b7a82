//! Rule 6: what happens to machines that run while nobody holds the group.

use bookings::{api::WhenIdle, decide::groups::machine::MachineState};

use crate::{
    build::{at, booking, lock, locked, machine, owned, text},
    stage::Stage,
};

fn running(when_idle: Option<WhenIdle>) -> Stage {
    let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
    stage.configure(|spec| spec.when_idle = when_idle);
    stage
}

#[test]
fn an_explicit_stop_waives_the_grace() {
    let mut stage = running(Some(WhenIdle::Stop));
    stage.until("08:00");
    assert_eq!((stage.stops(), stage.resource_says("IdleStopPending")), (1, String::new()));
}

#[test]
fn keep_never_stops_not_even_after_a_booking() {
    let mut stage = running(Some(WhenIdle::Keep));
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("12:00");
    assert_eq!((stage.stops(), stage.machine("i-1").state), (0, MachineState::Running));
    assert_eq!(
        (stage.resource_says("Ready"), stage.machine("i-1").lock),
        ("True Idle".into(), bookings::decide::groups::machine::LockTag::Absent)
    );
}

#[test]
fn what_runs_when_first_seen_is_stopped_when_the_grace_ends_to_the_second() {
    let mut stage = running(None);
    stage.until("08:29:59");
    assert_eq!((stage.stops(), stage.resource_says("Ready")), (0, "True Idle".into()));
    assert_eq!(stage.resource_says("IdleStopPending"), "True AdoptionGrace");
    assert_eq!(
        stage.resource_message("IdleStopPending"),
        "runs unbooked; stopped at 2027-03-01T08:30:00Z unless booked, or when_idle is Keep"
    );
    assert_eq!(stage.resource_status().first_seen_at, Some(text("08:00")));
    stage.until("08:30");
    assert_eq!((stage.stops(), stage.resource_says("IdleStopPending")), (1, String::new()));
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "IdleStopPending").count(), 1);
}

#[test]
fn a_start_by_hand_within_the_grace_is_kept_until_its_end() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| spec.when_idle = None);
    stage.until("08:10");
    stage.cloud.meddle("i-1", at("08:10"), |machine| machine.state = MachineState::Running);
    stage.until("08:29:59");
    assert_eq!((stage.stops(), stage.resource_says("IdleStopPending")), (0, "True AdoptionGrace".into()));
    stage.until("08:30");
    assert_eq!(stage.stops(), 1);
}

#[test]
fn a_stopped_group_has_nothing_pending_and_its_grace_ends_in_silence() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| spec.when_idle = None);
    stage.until("08:10");
    assert_eq!(
        (stage.resource_says("Ready"), stage.resource_says("IdleStopPending")),
        ("True Stopped".into(), String::new())
    );
    let writes = stage.writes;
    stage.until("09:00");
    assert_eq!(stage.writes, writes);
}

#[test]
fn the_grace_is_not_for_machines_that_are_not_ours_to_stop() {
    let mut stage = Stage::with([
        owned(machine("i-1", MachineState::Running), "Auto Scaling group web"),
        locked(machine("i-2", MachineState::Running), &lock("eve", "12:00")),
        machine("i-3", MachineState::Stopped),
    ]);
    stage.configure(|spec| spec.when_idle = None);
    stage.until("09:00");
    assert_eq!((stage.stops(), stage.event_reasons().contains(&"IdleStopPending")), (0, false));
}

#[test]
fn the_end_of_a_booking_never_waits_for_the_grace() {
    let mut stage = running(None);
    stage.book(booking("a", "ann", "08:05", "08:10"));
    stage.until("08:10");
    assert_eq!((stage.stops(), stage.resource_status().idle_since), (1, Some(text("08:10"))));
    assert_eq!(stage.resource_says("IdleStopPending"), "");
}

#[test]
fn what_is_started_by_hand_after_the_first_hold_is_stopped_at_the_next_look() {
    let mut stage = running(None);
    stage.book(booking("a", "ann", "08:05", "08:10"));
    stage.until("08:12");
    stage.cloud.meddle("i-1", at("08:12"), |machine| machine.state = MachineState::Running);
    stage.until("08:20");
    assert_eq!(stage.stops(), 2);
}

#[test]
fn a_first_sight_that_is_no_instant_or_not_yet_counts_as_now() {
    for odd in ["soon", "9999-12-31T00:00:00Z", ""] {
        let mut stage = running(None);
        let status = bookings::api::ResourceStatus { first_seen_at: Some(odd.into()), ..Default::default() };
        stage.resource.as_mut().unwrap().status = Some(status);
        stage.until("08:30");
        assert_eq!((stage.stops(), stage.resource_status().first_seen_at), (1, Some(text("08:00"))), "{odd}");
    }
}

#[test]
fn fractions_of_a_second_cost_no_second_write() {
    let mut stage = running(None);
    stage.settings.adoption_grace = std::time::Duration::from_millis(90_500);
    stage.now = at("08:00:00.6");
    stage.pass().unwrap();
    assert!(stage.decide().is_empty());
    stage.until("08:01:30");
    assert_eq!(stage.stops(), 0);
    stage.until("08:01:30.5");
    assert_eq!(stage.stops(), 1);
}

#[test]
fn the_grace_does_not_begin_before_the_group_could_be_looked_at() {
    // given running machines, and a cloud that does not answer for an hour
    let mut stage = running(None);
    stage.blind = true;
    stage.until("09:00");
    assert_eq!(stage.resource_status().first_seen_at, None);
    // when it answers, then the grace begins
    stage.blind = false;
    stage.until("09:10");
    assert_ne!(stage.resource_says("IdleStopPending"), "");
    assert_eq!(stage.stops(), 0);
}

#[test]
fn the_first_sight_stays_as_it_was_written() {
    let mut stage = running(None);
    let written = "2027-03-01T08:30:00+01:00".to_owned();
    let status = bookings::api::ResourceStatus { first_seen_at: Some(written.clone()), ..Default::default() };
    stage.resource.as_mut().unwrap().status = Some(status);
    stage.pass().unwrap();
    assert_eq!(stage.resource_status().first_seen_at, Some(written));
}
