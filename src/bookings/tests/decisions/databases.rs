//! What only databases do: they are busy, they break, some cannot be stopped, and RDS starts them by itself.

use bookings::decide::groups::{
    machine::{Machine, MachineState},
    output::Call,
};

use crate::{
    build::{at, booking, machine, text},
    stage::Stage,
};

fn in_state(id: &str, state: MachineState, status: &str) -> Machine {
    Machine { state_reason: Some(status.into()), ..machine(id, state) }
}

fn replica(id: &str, state: MachineState) -> Machine {
    Machine { unstoppable: Some("it is a read replica of orders".into()), ..machine(id, state) }
}

fn stops(stage: &Stage) -> Vec<&Call> {
    stage.calls.iter().map(|(_, call)| call).filter(|call| matches!(call, Call::Stop(_))).collect()
}

#[test]
fn a_busy_database_serves_its_holder_and_is_stopped_once_it_can_be() {
    // given a database in a backup, booked
    let mut stage = Stage::with([in_state("orders", MachineState::Busy, "backing-up")]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:30");
    assert_eq!((stage.says("a", "Ready"), stage.resource_status().running), ("True Held".into(), Some(1)));
    // when the booking ends during the backup
    stage.until("09:10");
    // then no stop is sent, and the wait is explained
    assert!(stops(&stage).is_empty());
    assert_eq!(stage.resource_says("Ready"), "False Stopping");
    assert_eq!(stage.resource_message("Ready"), "stopped once they can be: orders (backing-up)");
    // when the backup is over, then it is stopped
    let now = stage.now;
    stage.cloud.meddle("orders", now, |it| {
        it.state = MachineState::Running;
        it.state_reason = None;
    });
    stage.until("09:20");
    assert_eq!((stops(&stage).len(), stage.resource_says("Ready")), (1, "True Stopped".into()));
}

#[test]
fn a_database_of_no_use_is_told_with_its_status_and_left_alone() {
    let mut stage = Stage::with([
        in_state("orders", MachineState::Broken, "storage-full"),
        machine("users", MachineState::Stopped),
    ]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("09:30");
    assert_eq!(stage.resource_says("Ready"), "False CloudError");
    assert_eq!(
        stage.resource_message("Ready"),
        "orders: storage-full: of no use before somebody has mended it"
    );
    assert_eq!(stage.resource_status().status.as_deref(), Some("PENDING"));
    let power = |call: &&Call| matches!(call, Call::Start(_) | Call::Stop(_));
    let powered: Vec<&Call> = stage.calls.iter().map(|(_, call)| call).filter(power).collect();
    assert!(powered.iter().all(|call| call.ids() == ["users"]) && powered.len() == 2, "{powered:?}");
}

#[test]
fn what_cannot_be_stopped_is_told_and_never_tried() {
    // given a database and its read replica, idle
    let mut stage =
        Stage::with([machine("orders", MachineState::Running), replica("copy", MachineState::Running)]);
    stage.until("09:00");
    // then one is stopped, and a condition names the other
    assert_eq!(stops(&stage), [&Call::Stop(vec!["orders".into()])]);
    assert_eq!(stage.resource_says("Unmanageable"), "True CannotBeStopped");
    let told = "left running, for they cannot be stopped: copy (it is a read replica of orders)";
    assert_eq!(stage.resource_message("Unmanageable"), told);
    assert_eq!(stage.resource_says("Ready"), "True Idle");
    // when the group is deleted with on_delete: Stop, then the deletion does not wait for the replica
    stage.configure(|spec| spec.on_delete = Some(bookings::api::OnDelete::Stop));
    stage.until("09:10");
    stage.delete_resource();
    stage.until("09:11");
    assert!(stage.resource.is_none());
}

#[test]
fn what_cannot_be_stopped_is_locked_and_serves_its_holder_all_the_same() {
    let mut stage = Stage::with([replica("copy", MachineState::Running)]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:30");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    stage.until("09:30");
    assert_eq!((stops(&stage).len(), stage.resource_says("Ready")), (0, "True Idle".into()));
}

#[test]
fn the_automatic_restart_is_foretold_and_undone_unless_somebody_holds_the_group() {
    // given a stopped database that RDS will start at 10:00
    let stopped = Machine { restarts_at: Some(at("10:00")), ..machine("orders", MachineState::Stopped) };
    let mut stage = Stage::with([stopped]);
    stage.until("09:00");
    assert_eq!(stage.resource_status().automatic_restart_at.as_deref(), Some(text("10:00").as_str()));
    // when RDS starts it
    stage.until("10:00");
    let now = stage.now;
    stage.cloud.meddle("orders", now, |it| {
        it.state = MachineState::Running;
        it.restarts_at = None;
    });
    stage.until("10:05");
    // then it is stopped again, and users are told
    assert_eq!((stops(&stage).len(), stage.resource_says("Ready")), (1, "True Stopped".into()));
    assert_eq!(stage.resource_status().automatic_restart_at, None);
    assert!(stage.event_reasons().contains(&"RestartedByCloud"));
}

#[test]
fn the_automatic_restart_of_a_booked_database_is_welcome() {
    let stopped = Machine { restarts_at: Some(at("10:00")), ..machine("orders", MachineState::Stopped) };
    let mut stage = Stage::with([stopped]);
    stage.book(booking("a", "ann", "09:59", "11:00"));
    stage.until("10:30");
    assert!(stops(&stage).is_empty());
    assert!(!stage.event_reasons().contains(&"RestartedByCloud"));
}
