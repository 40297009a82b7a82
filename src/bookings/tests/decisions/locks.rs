//! Rule 4: who owns a lock tag.

use std::time::Duration;

use bookings::{
    api::{ResourceStatus, WhenIdle},
    decide::groups::{
        attempts::{Action, Attempts},
        machine::{LockTag, MachineState},
        output::Call,
    },
};

use crate::{
    build::{at, booking, later, lock, locked, machine, owned, tag, text},
    stage::Stage,
};

#[test]
fn a_machine_with_a_foreign_lock_is_left_alone_and_named_and_the_others_go_on() {
    // given
    let foreign = lock("eve", "11:00");
    let mut stage = Stage::with([
        locked(machine("i-1", MachineState::Stopped), &foreign),
        machine("i-2", MachineState::Stopped),
    ]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    // when
    stage.until("09:30");
    // then
    assert_eq!(stage.machine("i-1"), locked(machine("i-1", MachineState::Stopped), &foreign));
    assert_eq!(stage.machine("i-2").lock, tag(&lock("ann", "10:00")));
    assert_eq!(stage.says("a", "Ready"), "False ForeignLock");
    assert_eq!(
        stage.message("a", "Ready"),
        "locked by others, left alone: i-1 by eve until 2027-03-01T11:00:00Z"
    );
    assert!(stage.event_reasons().contains(&"ForeignLock"));
    // and it is not stopped at the end either
    stage.until("10:30");
    assert_eq!(stage.calls_since(at("10:00")).len(), 2);
    assert!(stage.calls.iter().all(|(_, call)| call.ids() == ["i-2"]));
    let status = stage.resource_status();
    assert_eq!((status.locked_by, status.locked_until), (Some("eve".into()), Some(text("11:00"))));
}

#[test]
fn a_foreign_lock_that_expires_during_a_booking_gives_the_machine_free_to_the_second() {
    let mut stage = Stage::with([locked(machine("i-1", MachineState::Stopped), &lock("eve", "09:30"))]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:29:59");
    assert_eq!(stage.calls, []);
    stage.until("09:30");
    let ids = vec!["i-1".to_owned()];
    assert_eq!(
        stage.calls_since(at("09:30")),
        [Call::Start(ids.clone()), Call::Lock(lock("ann", "10:00"), ids)]
    );
}

#[test]
fn an_expired_foreign_lock_on_an_idle_group_is_removed_and_the_machine_stopped() {
    let mut stage = Stage::with([locked(machine("i-1", MachineState::Running), &lock("eve", "07:00"))]);
    stage.until("08:30");
    assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Stopped));
}

#[test]
fn a_malformed_lock_keeps_an_idle_machine_from_being_stopped_and_is_reported() {
    let half = LockTag::Malformed { by: Some("eve".into()), until: None };
    let mut stage =
        Stage::with([machine("i-1", MachineState::Running), machine("i-2", MachineState::Running)]);
    stage.cloud.meddle("i-1", at("08:00"), |machine| machine.lock = half.clone());
    stage.until("08:30");
    assert_eq!((stage.machine("i-1").state, stage.machine("i-1").lock), (MachineState::Running, half));
    assert_eq!(stage.machine("i-2").state, MachineState::Stopped);
    assert_eq!(stage.resource_says("Ready"), "False ForeignLock");
    assert_eq!(stage.resource_says("LockMalformed"), "True LockMalformed");
    assert!(stage.resource_message("Ready").ends_with("left alone: i-1"));
}

#[test]
fn a_malformed_lock_keeps_no_booking_out() {
    let mut stage = Stage::with([machine("i-1", MachineState::Stopped)]);
    stage.cloud.meddle("i-1", at("08:00"), |machine| machine.lock = tag(&crate::build::lock("eve", "25:00")));
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    assert_eq!(
        (stage.says("a", "Ready"), stage.machine("i-1").lock),
        ("True Held".into(), tag(&lock("ann", "10:00")))
    );
}

#[test]
fn a_lock_that_somebody_removed_or_altered_is_written_again() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    stage.edit("a", |spec| spec.end_at = Some(text("10:30")));
    stage.until("09:40");
    let half = LockTag::Malformed { by: None, until: Some(text("10:30")) };
    for meddled in [LockTag::Absent, tag(&lock("ann", "10:00")), tag(&lock("ann", "23:00")), half] {
        let now = stage.now;
        stage.cloud.meddle("i-1", now, |machine| machine.lock = meddled);
        stage.live_until(crate::build::later(now, 60), |_, _| ());
        assert_eq!(stage.machine("i-1").lock, tag(&lock("ann", "10:30")));
    }
}

#[test]
fn the_list_of_earlier_locks_is_bounded_and_keeps_those_that_last_longest() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "11:00"));
    stage.until("09:00");
    for minute in (10..=50).rev() {
        stage.edit("a", |spec| spec.end_at = Some(text(&format!("10:{minute}"))));
        stage.pass().unwrap();
        assert!(stage.resource_status().released_locks.len() <= 16);
    }
    let released = stage.resource_status().released_locks;
    assert_eq!(released.len(), 16);
    assert!(
        released.contains(&lock("ann", "11:00")) && !released.contains(&lock("ann", "10:11")),
        "{released:?}"
    );
}

#[test]
fn earlier_locks_are_remembered_until_they_expire_or_the_group_rests_without_them() {
    let mut stage = Stage::new(&["i-1"]);
    let status = ResourceStatus { released_locks: vec![lock("ann", "07:00")], ..Default::default() };
    stage.resource.as_mut().unwrap().status = Some(status);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:10");
    // an expired lock causes no write of its own
    assert_eq!(stage.resource_status().released_locks, [lock("ann", "07:00")]);
    // the next write drops expired locks
    stage.delete("a");
    stage.pass().unwrap();
    assert_eq!(stage.resource_status().released_locks, [lock("ann", "09:00")]);
    // and the lock itself is dropped when the group is at rest and no machine shows it
    stage.until("08:20");
    assert_eq!(stage.resource_status().released_locks, []);
}

#[test]
fn a_lock_of_ours_is_removed_even_from_members_of_a_scaling_group() {
    let mut stage = Stage::with([owned(
        locked(machine("i-1", MachineState::Running), &lock("ann", "09:00")),
        "Auto Scaling group web",
    )]);
    stage.until("09:00");
    assert_eq!(
        stage.calls,
        [(at("09:00"), Call::Unlock(lock("ann", "09:00"), vec!["i-1".into()]))],
        "at its expiry, to the second"
    );
}

#[test]
fn an_earlier_lock_whose_removal_is_put_off_is_remembered_while_the_group_rests() {
    // given an idle group with an earlier lock of ours
    let mine = lock("ann", "12:00");
    let mut stage = Stage::with([locked(machine("i-1", MachineState::Stopped), &mine)]);
    let status = ResourceStatus { released_locks: vec![mine.clone()], ..Default::default() };
    stage.resource.as_mut().unwrap().status = Some(status);
    // when its removal failed, and may not be tried again yet
    let later = booking_decision::Backoff { base: Duration::from_mins(5), cap: Duration::from_mins(5) };
    stage.attempts.failed("i-1", Action::Unlock(mine.clone()), stage.now, "refused".into(), later);
    let decision = stage.pass().unwrap();
    // then it still counts as ours
    assert!(decision.calls.is_empty());
    assert_eq!(stage.resource_status().released_locks, [mine]);
}

#[test]
fn an_earlier_lock_is_remembered_while_machines_are_on_their_way() {
    // given a machine that is stopping, and whose lock does not show any more
    let mine = lock("ann", "12:00");
    let mut stage = Stage::with([machine("i-1", MachineState::Stopping)]);
    let status = ResourceStatus { released_locks: vec![mine.clone()], ..Default::default() };
    stage.resource.as_mut().unwrap().status = Some(status);
    stage.pass().unwrap();
    assert_eq!(stage.resource_status().released_locks, [mine]);
}

#[test]
fn a_lock_that_does_not_show_yet_is_remembered_though_who_sent_it_has_crashed() {
    // given a group that is kept running, a process that locked it at nine and then died, and a cloud that lags
    let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
    stage.configure(|spec| spec.when_idle = Some(WhenIdle::Keep));
    stage.cloud.lag = Duration::from_secs(5);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:00");
    stage.attempts = Attempts::default();
    // when ann releases it at once, and bob books it
    stage.delete("a");
    stage.book(booking("b", "bob", "09:01", "09:30"));
    stage.until("09:00:59");
    // then ann's lock was removed when it showed, and bob's lock is there when his time comes
    assert_eq!(stage.machine("i-1").lock, LockTag::Absent);
    stage.until("09:02");
    assert_eq!(stage.says("b", "Ready"), "True Held");
}

#[test]
fn a_lock_written_ahead_that_does_not_show_yet_is_remembered_though_who_sent_it_has_crashed() {
    for other in [None, Some(booking("b", "bob", "08:59", "09:30"))] {
        // given a group that was held before, a process that prelocked it for ann before nine and then died, and a
        // cloud that lags
        let mut stage = Stage::new(&["i-1"]);
        stage.book(booking("before", "eve", "08:10", "08:20"));
        stage.cloud.lag = Duration::from_secs(5);
        stage.prelocks = true;
        stage.book(booking("a", "ann", "09:00", "10:00"));
        let sent = |stage: &Stage| matches!(stage.calls.last(), Some((_, Call::Lock(lock, _))) if lock.user == "ann");
        while !sent(&stage) {
            let next = later(stage.now, 1);
            stage.live_until(next, |_, _| ());
        }
        stage.attempts = Attempts::default();
        // when she releases it at once, whether or not another user has it before her
        stage.delete("a");
        let is_booked = other.is_some();
        if let Some(booking) = other {
            stage.book(booking);
        }
        stage.until("08:59:30");
        // then her lock is gone
        let expected = if is_booked { tag(&lock("bob", "09:30")) } else { LockTag::Absent };
        assert_eq!(stage.machine("i-1").lock, expected);
    }
}
