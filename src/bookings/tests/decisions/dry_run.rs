//! Rule 11: deciding and reporting without touching anything.

use bookings::decide::groups::{machine::MachineState, output::Finalizer};

use crate::{
    build::{booking, machine, text},
    stage::Stage,
};

fn dry(machines: [bookings::decide::groups::machine::Machine; 1]) -> Stage {
    let mut stage = Stage::with(machines);
    stage.settings.dry_run = true;
    stage
}

#[test]
fn a_dry_run_sends_nothing_and_says_what_it_would() {
    let mut stage = dry([machine("i-1", MachineState::Stopped)]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    assert_eq!((stage.calls.len(), stage.state("a")), (0, "IN PROGRESS".into()));
    assert_eq!(stage.says("a", "Ready"), "False Starting");
    assert_eq!(stage.resource_says("DryRun"), "True DryRun");
    assert_eq!(stage.resource_message("DryRun"), "decided, but not sent: calls of 2 kinds");
    assert!(stage.resource.as_ref().unwrap().metadata.finalizers.is_none());
    // and it does not observe more often than necessary
    assert_eq!(stage.decide().next(), Some(crate::build::later(stage.now, 300)));
    assert!(stage.decide().is_empty());
}

#[test]
fn a_dry_run_leaves_the_originals_trace_in_the_spec() {
    let mut stage = dry([machine("i-1", MachineState::Running)]);
    stage.configure(|spec| {
        spec.booked_by = Some("ann".into());
        spec.booked_until = Some(text("10:00"));
    });
    stage.book(booking("a", "ann", "07:00", "10:00"));
    stage.until("09:00");
    assert_eq!(stage.resource.as_ref().unwrap().spec.booked_by.as_deref(), Some("ann"));
    assert_eq!(
        (stage.holder().as_deref(), stage.event_reasons().contains(&"TakenOver")),
        (Some("ann"), false)
    );
    assert!(stage.decide().is_empty());
}

#[test]
fn a_dry_run_leaves_finalizers_alone_even_past_the_time_limit() {
    for blind in [false, true] {
        let mut stage = dry([machine("i-1", MachineState::Running)]);
        stage.resource.as_mut().unwrap().metadata.finalizers = Some(vec![bookings::api::FINALIZER.into()]);
        stage.blind = blind;
        stage.delete_resource();
        stage.until("09:00");
        assert!(stage.resource.is_some());
        assert_eq!((stage.decide().finalizer, stage.calls.len()), (Finalizer::Keep, 0));
    }
}
