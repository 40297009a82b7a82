//! Prelocks.

use bookings::{
    api::WhenIdle,
    decide::groups::{
        machine::{LockTag, MachineState},
        output::Call,
    },
};

use crate::{
    build::{at, booking, lock, locked, machine, tag},
    stage::Stage,
};

/// A group at rest that ann has booked from nine to ten, among many booked groups.
fn crowded() -> Stage {
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.prelocks = true;
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage
}

fn locks(stage: &Stage, clock: &str) -> Vec<Call> {
    let mut calls = stage.calls_since(at(clock));
    calls.retain(|call| matches!(call, Call::Lock(..) | Call::Unlock(..)));
    calls
}

#[test]
fn where_many_begin_at_once_a_group_at_rest_is_locked_before_its_window() {
    // given such a group
    let mut stage = crowded();
    stage.until("08:57:59");
    assert_eq!(locks(&stage, "08:00"), []);
    assert_eq!(stage.decide().hints.locks_soon, None);
    // when its window begins in two minutes
    stage.until("08:59");
    // then the status records the lock, the lock is written after that, and users do not see it
    let ids = ["i-1", "i-2"].map(ToOwned::to_owned).to_vec();
    assert_eq!(locks(&stage, "08:00"), [Call::Lock(lock("ann", "10:00"), ids)]);
    assert_eq!(stage.holder().as_deref(), Some("ann"));
    assert_eq!(stage.resource_status().locked_by.as_deref(), Some(""));
    assert_eq!(stage.resource_says("Ready"), "True Stopped");
    assert_eq!(stage.says("a", "Ready"), "False Scheduled");
    assert_eq!(stage.decide().hints.locks_soon, None, "it is there");
    // and when its window begins, then the machines start at that instant, users see the holder, and no other lock is
    // written
    stage.until("09:00");
    assert_eq!(stage.resource_status().locked_by.as_deref(), Some("ann"));
    stage.until("09:02");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    assert_eq!(locks(&stage, "08:59"), []);
    assert_eq!(stage.calls_since(at("08:59")).len(), 1, "the start");
    stage.until("10:05");
    assert_eq!(stage.machine("i-1").lock, LockTag::Absent);
    assert_eq!(stage.resource_says("Ready"), "True Stopped");
}

#[test]
fn where_few_do_it_is_locked_when_its_window_begins() {
    let mut stage = crowded();
    stage.prelocks = false;
    stage.until("08:59:59");
    assert_eq!((locks(&stage, "08:00"), stage.holder()), (vec![], None));
    stage.until("09:02");
    assert_eq!(locks(&stage, "09:00").len(), 1);
}

#[test]
fn it_tells_which_lock_it_will_want() {
    let mut stage = crowded();
    stage.prelocks = false;
    stage.until("08:58");
    assert_eq!(stage.decide().hints.locks_soon, Some((lock("ann", "10:00"), at("09:00"))));
    assert_eq!(stage.decide().next(), Some(at("08:58:15")), "once others have told");
}

#[test]
fn right_before_the_window_nothing_is_written_ahead_any_more() {
    let mut stage = crowded();
    stage.prelocks = false;
    stage.until("08:59:46");
    stage.prelocks = true;
    stage.until("08:59:59");
    assert_eq!((locks(&stage, "08:00"), stage.holder()), (vec![], None));
}

#[test]
fn a_lock_written_ahead_goes_with_its_booking_and_follows_its_end() {
    // given a prelocked group
    let mut stage = crowded();
    stage.until("08:59");
    let mut edited = stage.clone();
    // when its booking is deleted, then so are the locks
    stage.delete("a");
    stage.until("08:59:30");
    assert_eq!((stage.machine("i-1").lock, stage.holder()), (LockTag::Absent, None));
    // when its end moves, then the locks show the new end
    edited.edit("a", |spec| spec.end_at = Some(crate::build::text("11:00")));
    edited.until("08:59:30");
    assert_eq!(edited.machine("i-1").lock, tag(&lock("ann", "11:00")));
}

#[test]
fn once_recorded_it_stays_though_the_crowd_is_gone() {
    let mut stage = crowded();
    stage.until("08:59");
    stage.prelocks = false;
    stage.until("08:59:59");
    assert_eq!(stage.machine("i-1").lock, tag(&lock("ann", "10:00")));
    assert_eq!(locks(&stage, "08:59"), []);
}

#[test]
fn a_look_that_fails_leaves_what_was_written_ahead() {
    // given a prelocked group
    let mut stage = crowded();
    stage.until("08:59");
    // when it cannot be observed for a while
    stage.blind = true;
    stage.prelocks = false;
    stage.until("08:59:52");
    assert_eq!(stage.holder().as_deref(), Some("ann"));
    stage.blind = false;
    stage.until("08:59:59");
    // then its lock is neither removed nor written again
    assert_eq!(locks(&stage, "08:59"), []);
    assert_eq!(stage.machine("i-1").lock, tag(&lock("ann", "10:00")));
}

#[test]
fn of_two_bookings_of_one_user_from_the_same_instant_on_the_lock_is_that_of_the_longer() {
    let mut stage = crowded();
    stage.book(booking("b", "ann", "09:00", "11:00"));
    stage.until("08:59");
    assert_eq!(stage.machine("i-1").lock, tag(&lock("ann", "11:00")));
    stage.until("09:05");
    assert_eq!(locks(&stage, "08:59"), [], "it is the holder's");
}

#[test]
fn nothing_is_locked_ahead_that_runs_or_is_held_or_is_locked_by_others() {
    // given a group that another user holds until then
    let mut stage = crowded();
    stage.book(booking("b", "bob", "08:30", "09:00"));
    stage.until("08:59:59");
    assert_eq!(stage.holder().as_deref(), Some("bob"));
    assert_eq!(stage.machine("i-1").lock, tag(&lock("bob", "09:00")));
    // given a group that is kept running
    let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
    stage.configure(|spec| spec.when_idle = Some(WhenIdle::Keep));
    stage.prelocks = true;
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:59:59");
    assert_eq!(locks(&stage, "08:00"), []);
    // given a group of which somebody else has locked one machine
    let mut stage = Stage::with([
        machine("i-1", MachineState::Stopped),
        locked(machine("i-2", MachineState::Stopped), &lock("eve", "12:00")),
    ]);
    stage.prelocks = true;
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:59:59");
    assert_eq!(locks(&stage, "08:00"), [Call::Lock(lock("ann", "10:00"), vec!["i-1".into()])]);
}
