//! When a pass is due again.

use crate::{
    build::{at, booking, later, text},
    stage::Stage,
};

#[test]
fn the_next_pass_is_due_at_the_next_edge_of_any_window() {
    let mut stage = Stage::new(&["i-1"]);
    stage.settings.observe_interval = std::time::Duration::from_hours(24);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "09:30", "11:00"));
    stage.pass().unwrap();
    assert_eq!(stage.decide().next(), Some(at("08:58")), "it tells which lock it will want");
    stage.until("08:58:15");
    assert_eq!(stage.decide().next(), Some(at("08:59:50")), "its group is looked at before");
    stage.until("08:59:55");
    assert_eq!(stage.decide().next(), Some(at("09:00")));
    stage.until("09:20");
    assert_eq!(stage.decide().next(), Some(at("09:30")), "the waiter's own start");
    stage.until("09:40");
    assert_eq!(stage.decide().next(), Some(at("10:00")));
    stage.until("10:40");
    assert_eq!(stage.decide().next(), Some(at("11:00")));
}

#[test]
fn a_settled_group_is_looked_at_each_observe_interval() {
    let mut stage = Stage::new(&["i-1"]);
    stage.pass().unwrap();
    assert_eq!(stage.decide().next(), Some(later(stage.now, 300)));
}

#[test]
fn machines_on_their_way_are_looked_at_ever_more_rarely() {
    let mut stage = Stage::new(&["i-1"]);
    stage.cloud.turn = std::time::Duration::from_mins(2);
    stage.book(booking("a", "ann", "09:00", "12:00"));
    stage.until("08:59");
    let mut looks = Vec::new();
    stage.live_until(at("09:05"), |before, _| looks.push(before.now.as_second() - at("09:00").as_second()));
    let looks: Vec<i64> = looks.into_iter().filter(|look| (0..=130).contains(look)).collect();
    assert_eq!(looks[..4], [0, 1, 2, 3]);
    assert!(looks.len() < 30, "{looks:?}");
}

#[test]
fn so_they_are_after_a_restart() {
    let mut stage = Stage::with([crate::build::machine(
        "i-1",
        bookings::decide::groups::machine::MachineState::Stopping,
    )]);
    let mut looks = 0;
    stage.live_until(at("08:05"), |_, _| looks += 1);
    assert!((30..50).contains(&looks), "{looks}");
}

#[test]
fn a_manual_hold_is_due_at_its_end() {
    let mut stage = Stage::new(&["i-1"]);
    stage.settings.observe_interval = std::time::Duration::from_hours(24);
    stage.configure(|spec| {
        spec.booked_by = Some("ann".into());
        spec.booked_until = Some(text("09:00"));
    });
    stage.until("08:30");
    assert_eq!(stage.decide().next(), Some(at("09:00")));
}

#[test]
fn without_a_resource_only_the_windows_are_waited_for() {
    let mut stage = Stage::new(&["i-1"]);
    stage.resource = None;
    assert_eq!(stage.decide().next(), None);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.pass().unwrap();
    assert_eq!(stage.decide().next(), Some(at("09:00")));
}

#[test]
fn a_deletion_that_hangs_is_due_at_its_time_limit() {
    let mut stage = Stage::new(&["i-1"]);
    stage.settings.observe_interval = std::time::Duration::from_hours(24);
    stage.pass().unwrap();
    stage.blind = true;
    stage.delete_resource();
    stage.settings.release_timeout = std::time::Duration::from_secs(3);
    assert_eq!(stage.decide().next(), Some(later(stage.now, 3)));
}

#[test]
fn machines_on_their_way_are_looked_at_soon_by_a_process_that_remembers_nothing() {
    let stage = Stage::with([crate::build::machine(
        "i-1",
        bookings::decide::groups::machine::MachineState::Stopping,
    )]);
    assert_eq!(stage.decide().next(), Some(later(stage.now, 1)));
}
