//! Rule 10: what stays after a Resource was deleted.

use booking_decision::EventType;
use bookings::{
    api::{FINALIZER, OnDelete},
    decide::groups::{
        machine::{LockTag, MachineState},
        output::Call,
    },
};

use crate::{
    build::{at, booking, lock, machine, tag},
    stage::{Fault, Stage},
};

/// A running group that ann has booked until 10:00, with a finalizer. It is deleted at 08:30.
fn deleted(on_delete: Option<OnDelete>, spoil: impl FnOnce(&mut Stage)) -> Stage {
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.configure(|spec| spec.on_delete = on_delete);
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:30");
    assert_eq!(stage.resource.as_ref().unwrap().metadata.finalizers, Some(vec![FINALIZER.into()]));
    spoil(&mut stage);
    stage.delete_resource();
    stage
}

fn released(stage: &Stage) -> (EventType, String) {
    let note = stage.events.iter().find(|note| note.reason == "Released").unwrap();
    (note.type_, note.message.clone())
}

#[test]
fn release_unlocks_and_leaves_the_machines_running_and_names_how_many() {
    for on_delete in [None, Some(OnDelete::Release)] {
        let mut stage = deleted(on_delete, |_| ());
        stage.until("08:31");
        assert!(stage.resource.is_none());
        assert_eq!(stage.stops(), 0);
        assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Running));
        assert_eq!(released(&stage), (EventType::Normal, "locks are removed; 2 machines run on".into()));
        assert_eq!(stage.says("a", "Ready"), "False ResourceNotFound");
    }
}

#[test]
fn stop_unlocks_and_stops_and_waits_for_it() {
    let mut stage = deleted(Some(OnDelete::Stop), |_| ());
    stage.pass().unwrap();
    assert_eq!(stage.resource_says("Ready"), "False Deleting");
    stage.until("08:31");
    assert!(stage.resource.is_none());
    assert_eq!((stage.stops(), stage.machine("i-1")), (1, machine("i-1", MachineState::Stopped)));
    assert_eq!(released(&stage).1, "locks are removed; 0 machines run on");
}

#[test]
fn stop_waits_for_a_machine_that_is_still_starting() {
    let mut stage = Stage::with([machine("i-1", MachineState::Stopped)]);
    stage.configure(|spec| spec.on_delete = Some(OnDelete::Stop));
    stage.book(booking("a", "ann", "08:30", "10:00"));
    stage.until("08:30");
    stage.delete_resource();
    stage.until("08:40");
    assert!(stage.resource.is_none());
    assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Stopped));
}

#[test]
fn foreign_locks_and_members_of_other_controllers_hold_nothing_up() {
    let mut stage = deleted(Some(OnDelete::Stop), |stage| {
        let now = stage.now;
        stage.cloud.meddle("i-1", now, |machine| machine.lock = tag(&lock("eve", "12:00")));
        stage.cloud.meddle("i-2", now, |machine| machine.owner = Some("Auto Scaling group web".into()));
    });
    stage.until("08:31");
    assert!(stage.resource.is_none());
    assert_eq!((stage.stops(), stage.machine("i-1").lock), (0, tag(&lock("eve", "12:00"))));
    assert_eq!(stage.machine("i-2").lock, LockTag::Absent);
    assert_eq!(released(&stage).1, "locks are removed; 2 machines run on");
}

#[test]
fn a_half_lock_and_a_terminated_machine_hold_nothing_up() {
    let mut stage = deleted(Some(OnDelete::Stop), |stage| {
        let now = stage.now;
        stage.cloud.meddle("i-1", now, |machine| {
            machine.lock = LockTag::Malformed { by: Some("eve".into()), until: None };
        });
        stage.cloud.meddle("i-2", now, |machine| machine.state = MachineState::Terminated);
    });
    stage.until("08:31");
    assert!(stage.resource.is_none());
}

#[test]
fn a_cloud_that_does_not_answer_holds_it_up_for_the_stated_time_only() {
    let mut stage = deleted(None, |stage| stage.blind = true);
    stage.until("08:39:59");
    assert!(stage.resource.is_some());
    assert_eq!(stage.resource_says("Ready"), "False Deleting");
    stage.until("08:40");
    assert!(stage.resource.is_none());
    assert_eq!(released(&stage).0, EventType::Warning);
}

#[test]
fn a_cloud_that_refuses_to_unlock_holds_it_up_for_the_stated_time_only() {
    let mut stage = deleted(None, |stage| stage.faults = vec![Fault::None; 2].into());
    // the first two effects are the writes of the statuses; after them every call fails
    stage.faults.extend([Fault::Fails; 200]);
    let mut released_at = None;
    for _ in 0..200 {
        let wake = stage.pass().map(|decision| decision.next()).unwrap_or_default();
        if stage.resource.is_none() {
            released_at = Some(stage.now);
            break;
        }
        if stage.now >= at("08:40") {
            stage.faults.clear();
        }
        stage.now = wake.unwrap_or(crate::build::later(stage.now, 1));
    }
    assert_eq!(released_at.map(|t| t >= at("08:40") && t <= at("08:42")), Some(true), "{released_at:?}");
}

#[test]
fn a_deletion_of_which_only_our_part_is_done_goes_on_unlocking_and_no_more() {
    // given a finalizer of another program
    let mut stage = deleted(None, |_| ());
    stage.resource.as_mut().unwrap().metadata.finalizers = Some(vec!["example.org/other".into()]);
    let decision = stage.decide();
    assert_eq!(decision.finalizer, bookings::decide::groups::output::Finalizer::Keep);
    assert_eq!(decision.calls, [Call::Unlock(lock("ann", "10:00"), vec!["i-1".into(), "i-2".into()])]);
}

#[test]
fn a_resource_that_is_being_deleted_gets_no_finalizer() {
    let mut stage = Stage::new(&["i-1"]);
    stage.resource.as_mut().unwrap().metadata.finalizers = Some(vec!["example.org/other".into()]);
    stage.delete_resource();
    assert_eq!(stage.decide().finalizer, bookings::decide::groups::output::Finalizer::Keep);
}

#[test]
fn a_deletion_survives_a_crash_at_any_point() {
    for point in 0..8 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::Fails, Fault::AnswerLost] {
            let mut stage = deleted(Some(OnDelete::Stop), |_| ());
            stage.faults = std::iter::repeat_n(Fault::None, point).chain([fault]).collect();
            stage.until("08:39");
            assert!(stage.resource.is_none(), "{point} {fault:?}");
            assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Stopped));
        }
    }
}

#[test]
fn a_lock_that_does_not_show_yet_is_waited_for_even_after_a_crash() {
    for crash in [false, true] {
        // given a deletion directly after the start of a booking, and a describe that lags
        let mut stage = Stage::new(&["i-1"]);
        stage.cloud.lag = std::time::Duration::from_secs(4);
        stage.configure(|spec| spec.on_delete = Some(OnDelete::Stop));
        stage.book(booking("a", "ann", "08:30", "10:00"));
        stage.until("08:30");
        if crash {
            stage.attempts = bookings::decide::groups::attempts::Attempts::default();
        }
        stage.delete_resource();
        stage.until("08:35");
        assert!(stage.resource.is_none());
        assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Stopped));
    }
}

#[test]
fn a_resource_that_nobody_held_goes_at_once() {
    let mut stage = Stage::new(&["i-1"]);
    stage.until("08:10");
    stage.delete_resource();
    stage.pass().unwrap();
    assert!(stage.resource.is_none());
}
