//! Rules 5, 6, 7: which calls each machine gets, and which it does not.

use bookings::decide::groups::{machine::MachineState, output::Call};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    build::{at, booking, later, lock, machine, owned},
    cloud::Temper,
    stage::Stage,
};

fn starts(stage: &Stage, id: &str) -> Vec<i64> {
    let begin = at("09:00");
    let of = |call: &Call| matches!(call, Call::Start(ids) if ids.iter().any(|known| known == id));
    stage.calls.iter().filter(|(_, call)| of(call)).map(|(t, _)| t.as_second() - begin.as_second()).collect()
}

#[test]
fn machines_on_their_way_are_waited_for_not_struggled_with() {
    // given a holder, and machines that are starting and stopping
    let mut stage =
        Stage::with([machine("i-1", MachineState::Pending), machine("i-2", MachineState::Stopping)]);
    stage.book(booking("a", "ann", "08:00", "09:00"));
    stage.until("08:10");
    // then they are only locked and observed
    assert_eq!(stage.calls.len(), 1);
    assert!(matches!(&stage.calls[0].1, Call::Lock(_, ids) if ids.len() == 2));
    assert_eq!(stage.resource_status().status.as_deref(), Some("PENDING"));
    // given no holder, then they are not even locked
    let mut idle =
        Stage::with([machine("i-1", MachineState::Pending), machine("i-2", MachineState::Stopping)]);
    idle.until("08:10");
    assert_eq!((idle.calls.len(), idle.resource_says("Ready")), (0, "False Stopping".into()));
}

#[test]
fn a_call_is_due_since_its_window_began_but_not_before_somebody_asked_for_it() {
    // given a booking made in time, and one made an hour after it begins
    let due = |made: &str| {
        let mut stage = Stage::new(&["i-1"]);
        stage.until("10:00");
        stage.book(booking("a", "ann", "09:00", "12:00"));
        stage.bookings[0].metadata.creation_timestamp = Some(Time(at(made)));
        stage.decide().hints.priority.due
    };
    // then the first is due since it began, the second since it was made
    assert_eq!((due("08:00"), due("09:59:50")), (at("09:00"), at("09:59:50")));
}

#[test]
fn terminated_machines_do_not_exist() {
    let mut stage =
        Stage::with([machine("i-1", MachineState::Terminated), machine("i-2", MachineState::Stopped)]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    assert!(stage.calls.iter().all(|(_, call)| call.ids() == ["i-2"]));
    assert_eq!(stage.resource_status().instances, Some(1));
}

#[test]
fn a_group_without_machines_says_so() {
    let mut stage = Stage::with([machine("i-1", MachineState::Terminated)]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    assert_eq!(
        (stage.says("a", "Ready"), stage.resource_says("Ready")),
        ("False NoInstances".into(), "False NoInstances".into())
    );
    assert_eq!(
        stage.resource_message("Ready"),
        "no machine in eu-central-1 is tagged resource-booking-application=web"
    );
    assert_eq!(stage.resource_status().status.as_deref(), Some("STOPPED"));
}

#[test]
fn members_of_other_controllers_are_neither_started_nor_stopped_nor_waited_for() {
    // given a stopped machine of an Auto Scaling group, a running one of a node group, and one of ours
    let mut stage = Stage::with([
        owned(machine("i-1", MachineState::Stopped), "Auto Scaling group web"),
        owned(machine("i-2", MachineState::Running), "Karpenter node pool spot"),
        machine("i-3", MachineState::Stopped),
    ]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    // when
    stage.until("09:30");
    // then
    assert_eq!(stage.says("a", "Ready"), "True Held");
    assert_eq!(stage.resource_says("Unmanageable"), "True OwnedByOthers");
    assert_eq!(
        stage.resource_message("Unmanageable"),
        "neither started nor stopped, nor waited for: i-1 (Auto Scaling group web), i-2 (Karpenter node pool spot)"
    );
    let status = stage.resource_status();
    assert_eq!((status.instances, status.running), (Some(3), Some(2)));
    stage.until("10:30");
    assert!(stage.calls.iter().all(|(_, call)| call.ids() == ["i-3"]));
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "Unmanageable").count(), 1);
}

#[test]
fn a_group_that_other_controllers_own_altogether_is_never_ready() {
    let mut stage =
        Stage::with([owned(machine("i-1", MachineState::Running), "EKS node group of cluster prod")]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:30");
    assert_eq!((stage.says("a", "Ready"), stage.calls.len()), ("False Unmanageable".into(), 0));
}

#[test]
fn a_half_running_group_is_stopped_machine_by_machine() {
    let mut stage =
        Stage::with([machine("i-1", MachineState::Running), machine("i-2", MachineState::Stopped)]);
    stage.until("08:30");
    assert_eq!(stage.calls, [(at("08:00"), Call::Stop(vec!["i-1".into()]))]);
}

#[test]
fn a_machine_that_starts_and_falls_back_is_started_ever_more_rarely_and_shows_why() {
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.cloud.temper("i-1", Temper::FallsBack);
    stage.book(booking("a", "ann", "09:00", "13:00"));
    stage.until("12:00");
    // then the other machine is not affected
    assert_eq!((stage.machine("i-2").state, starts(&stage, "i-2").len()), (MachineState::Running, 1));
    assert_eq!(stage.says("a", "Ready"), "False CloudError");
    assert_eq!(stage.message("a", "Ready"), "i-1: was started but does not run: Client.VolumeLimitExceeded");
    let sent = starts(&stage, "i-1");
    let gaps: Vec<i64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= 300) && gaps.ends_with(&[300, 300]), "{gaps:?}");
    assert!(gaps.is_sorted(), "{gaps:?}");
}

#[test]
fn a_machine_without_capacity_is_tried_again_and_the_others_go_on() {
    let mut stage = Stage::new(&["i-1", "i-2"]);
    stage.cloud.temper("i-1", Temper::NoCapacity);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:05");
    assert_eq!((stage.machine("i-2").state, starts(&stage, "i-2").len()), (MachineState::Running, 1));
    assert_eq!(
        (stage.says("a", "Ready"), stage.message("a", "Ready")),
        ("False CloudError".into(), "i-1: InsufficientInstanceCapacity".into())
    );
    assert_eq!(starts(&stage, "i-1")[..5], [0, 2, 6, 14, 30]);
    // when the cloud has capacity again
    stage.cloud.temper("i-1", Temper::Obeys);
    stage.until("09:10");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "CloudError").count(), 2, "one each");
}

#[test]
fn a_call_is_not_repeated_while_a_describe_may_lag() {
    let mut stage = Stage::new(&["i-1"]);
    stage.cloud.lag = std::time::Duration::from_secs(4);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("10:30");
    let calls: Vec<_> = stage.calls.iter().map(|(_, call)| call.clone()).collect();
    let ids = || vec!["i-1".to_owned()];
    let own = lock("ann", "10:00");
    assert_eq!(
        calls,
        [Call::Start(ids()), Call::Lock(own.clone(), ids()), Call::Stop(ids()), Call::Unlock(own, ids())]
    );
}

#[test]
fn a_machine_that_was_just_told_to_stop_does_not_count_as_running_for_the_next_holder() {
    // given a describe that lags, and a gap of a second between two bookings
    let mut stage = Stage::new(&["i-1"]);
    stage.cloud.lag = std::time::Duration::from_secs(3);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "10:00:01", "11:00"));
    stage.until("10:00:01");
    assert_eq!((stage.stops(), stage.holder().as_deref()), (1, Some("bob")));
    // then it is not ready while it shows its old state, but only when it runs again
    stage.live_until(at("10:00:30"), |_, after| {
        assert_ne!(after.says("b", "Ready"), "True Held", "at {}", after.now);
    });
    stage.until("10:02");
    assert_eq!(stage.says("b", "Ready"), "True Held");
}

#[test]
fn a_start_that_nobody_wants_any_more_is_not_looked_for_without_end() {
    // given a machine that stopped again, and whose booking was deleted
    let mut stage = Stage::new(&["i-1"]);
    stage.cloud.temper("i-1", Temper::FallsBack);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("09:00:25");
    stage.delete("a");
    stage.until("09:10");
    // then the next observation is the routine one
    let decision = stage.pass().unwrap();
    assert_eq!(decision.next(), Some(later(stage.now, 300)));
    assert_eq!(stage.resource_says("Ready"), "True Stopped");
}

#[test]
fn while_the_cloud_does_not_say_nothing_is_sent_and_the_figures_stand() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.until("08:10");
    stage.blind = true;
    stage.until("09:00:01");
    assert_eq!((stage.calls.len(), stage.says("a", "Ready")), (0, "False CloudError".into()));
    assert_eq!((stage.state("a"), stage.holder().as_deref()), ("IN PROGRESS".into(), Some("ann")));
    let status = stage.resource_status();
    assert_eq!(
        (status.instances, status.running, status.status.as_deref()),
        (Some(1), Some(0), Some("STOPPED"))
    );
    assert_eq!(stage.resource_message("Ready"), "RequestLimitExceeded");
    // and the cloud is asked again when it allowed it
    assert_eq!(stage.decide().next(), Some(later(stage.now, 7)));
    stage.blind = false;
    stage.until("09:01");
    assert_eq!(stage.says("a", "Ready"), "True Held");
}

#[test]
fn what_was_seen_of_the_members_stands_while_the_cloud_does_not_say() {
    let mut stage = Stage::with([
        owned(machine("i-1", MachineState::Running), "Auto Scaling group web"),
        machine("i-2", MachineState::Running),
    ]);
    stage.configure(|spec| spec.when_idle = None);
    stage.until("08:05");
    let before: Vec<_> = stage.resource_status().conditions.into_iter().skip(1).collect();
    assert_eq!(before.len(), 2);
    stage.blind = true;
    stage.until("08:06");
    stage.blind = false;
    stage.until("08:20");
    let after: Vec<_> = stage.resource_status().conditions.into_iter().skip(1).collect();
    assert_eq!(before, after);
    for told in ["IdleStopPending", "Unmanageable"] {
        assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == told).count(), 1, "{told}");
    }
}
