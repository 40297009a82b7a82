use super::*;

const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(8) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn machine(state: MachineState) -> Machine {
    Machine::new("i-1", state)
}

#[test]
fn waits_double_up_to_the_cap() {
    let waits: Vec<u64> = (1..=6).map(|count| BACKOFF.wait(count).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
    assert_eq!(BACKOFF.wait(u32::MAX), BACKOFF.cap);
}

#[test]
fn an_effect_shows_in_the_state_or_in_the_lock_tags() {
    use MachineState::{Pending, Running, Stopped};
    let lock = |user: &str| Lock { user: user.into(), until: "2027-03-01T08:00:00Z".into() };
    let held = |user: &str| LockTag::Held { raw: lock(user), until: at(0) };
    let none = LockTag::Absent;
    let half = LockTag::Malformed { by: Some("ann".into()), until: None };
    let (ann, bob) = (held("ann"), held("bob"));
    for (action, state, tag, shows) in [
        (Action::Start, Running, &none, true),
        (Action::Start, Pending, &none, false),
        (Action::Start, Stopped, &none, false),
        (Action::Stop, Stopped, &ann, true),
        (Action::Stop, Running, &none, false),
        (Action::Lock(lock("ann")), Stopped, &ann, true),
        (Action::Lock(lock("ann")), Running, &bob, false),
        (Action::Lock(lock("ann")), Running, &none, false),
        (Action::Lock(lock("ann")), Running, &half, false),
        (Action::Unlock(lock("ann")), Running, &none, true),
        (Action::Unlock(lock("ann")), Running, &ann, false),
        (Action::Unlock(lock("ann")), Running, &half, false),
    ] {
        let instance = Machine { lock: tag.clone(), ..machine(state) };
        assert_eq!(action.shows_in(&instance), shows, "{action:?} {state:?} {tag:?}");
    }
}

#[test]
fn a_call_that_does_not_show_yet_is_not_repeated_at_once() {
    // given a start that the cloud accepted
    let mut attempts = Attempts::default();
    attempts.succeeded("i-1", Action::Start, at(100));
    // when the machine still shows as stopped, then it may be started again 5 s later
    assert_eq!(attempts.permission("i-1", &Action::Start, at(104)), Permission::Later(at(105)));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(105)), Permission::Now { times: 1 });
    // and the opposite action, or an action on another machine, at once
    assert_eq!(attempts.permission("i-1", &Action::Stop, at(101)), Permission::Now { times: 0 });
    assert_eq!(attempts.permission("i-2", &Action::Start, at(101)), Permission::Now { times: 0 });
}

#[test]
fn a_machine_that_stops_again_is_started_ever_more_slowly() {
    let mut attempts = Attempts::default();
    attempts.succeeded("i-1", Action::Start, at(100));
    attempts.observed(&[machine(MachineState::Running)], at(110));
    attempts.observed(&[machine(MachineState::Stopped)], at(120));
    attempts.succeeded("i-1", Action::Start, at(120));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(125)), Permission::Later(at(130)));
    assert_eq!(attempts.fruitless("i-1", &Action::Start, at(125)), 1);
    assert_eq!(attempts.fruitless("i-1", &Action::Start, at(130)), 2);
}

#[test]
fn an_effect_seen_for_a_minute_is_forgotten_and_so_is_a_machine_that_is_gone() {
    let mut attempts = Attempts::default();
    attempts.succeeded("i-1", Action::Start, at(100));
    attempts.observed(&[machine(MachineState::Running)], at(159));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(159)), Permission::Now { times: 1 });
    attempts.observed(&[machine(MachineState::Running)], at(160));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(160)), Permission::Now { times: 0 });

    attempts.succeeded("i-1", Action::Start, at(200));
    attempts.observed(&[], at(201));
    assert_eq!(attempts, Attempts::default());
}

#[test]
fn an_error_stands_until_the_effect_is_seen() {
    let mut attempts = Attempts::default();
    attempts.failed("i-1", Action::Start, at(100), "no capacity".into(), BACKOFF);
    assert_eq!(attempts.error("i-1", &Action::Start), Some("no capacity"));
    assert_eq!(attempts.error("i-1", &Action::Stop), None);
    assert_eq!(attempts.fruitless("i-1", &Action::Start, at(200)), 0);
    assert_eq!(attempts.permission("i-1", &Action::Start, at(100)), Permission::Later(at(101)));
    attempts.observed(&[machine(MachineState::Pending)], at(102));
    assert_eq!(attempts.error("i-1", &Action::Start), Some("no capacity"));
    attempts.observed(&[machine(MachineState::Running)], at(103));
    assert_eq!(attempts.error("i-1", &Action::Start), None);
}

#[test]
fn an_error_of_another_kind_does_not_wait_for_those_before() {
    let mut attempts = Attempts::default();
    let capacity = Backoff { base: Duration::from_mins(1), cap: Duration::from_mins(4) };
    for (backoff, at_second, again) in [
        (BACKOFF, 100, 101),
        (BACKOFF, 101, 103),
        (capacity, 103, 163),
        (capacity, 163, 283),
        (BACKOFF, 283, 284),
    ] {
        attempts.failed("i-1", Action::Start, at(at_second), "refused".into(), backoff);
        let permission = attempts.permission("i-1", &Action::Start, at(at_second));
        assert_eq!(permission, Permission::Later(at(again)), "{at_second}");
    }
}

#[test]
fn what_was_sent_and_does_not_show_is_known_with_its_time() {
    let mut attempts = Attempts::default();
    let stopped = [machine(MachineState::Stopped)];
    assert_eq!(attempts.last_unseen(&stopped), None);
    let lock = Lock { user: "ann".into(), until: "2023-01-10T22:45:00Z".into() };
    attempts.succeeded("i-1", Action::Start, at(100));
    attempts.succeeded("i-1", Action::Lock(lock), at(101));
    assert_eq!(attempts.last_unseen(&stopped), Some(at(101)));
    let mut running = machine(MachineState::Running);
    running.lock = LockTag::Held {
        raw: Lock { user: "ann".into(), until: "2023-01-10T22:45:00.0Z".into() },
        until: at(1_673_390_700),
    };
    assert_eq!(attempts.last_unseen(&[running]), None);
}

#[test]
fn failures_to_observe_are_counted_until_one_succeeds() {
    let mut attempts = Attempts::default();
    assert_eq!((attempts.observe_failed(at(0)), attempts.observe_failed(at(1))), (1, 2));
    assert_eq!(attempts.last(), Some(at(1)));
    attempts.observed(&[], at(2));
    assert_eq!((attempts.is_empty(), attempts.observe_failed(at(3))), (true, 1));
}

#[test]
fn a_machine_is_taken_to_be_turning_for_as_long_as_a_describe_may_lag() {
    let table = [
        (Action::Start, MachineState::Stopped, Some(at(105))),
        (Action::Stop, MachineState::Running, Some(at(105))),
        (Action::Start, MachineState::Running, None),
        (Action::Stop, MachineState::Stopped, None),
        (Action::Stop, MachineState::Stopping, None),
    ];
    for (action, state, expected) in table {
        let mut attempts = Attempts::default();
        attempts.succeeded("i-1", action.clone(), at(100));
        assert_eq!(attempts.turning_until(&machine(state), at(104)), expected, "{action:?} {state:?}");
        assert_eq!(attempts.turning_until(&machine(state), at(105)), None);
        // and not at all if the call was refused
        attempts.failed("i-1", action, at(100), "no".into(), BACKOFF);
        assert_eq!(attempts.turning_until(&machine(state), at(104)), None);
    }
}

#[test]
fn a_call_that_nobody_repeated_when_it_could_be_is_forgotten_but_not_while_the_machine_turns() {
    let mut attempts = Attempts::default();
    attempts.succeeded("i-1", Action::Start, at(100));
    attempts.observed(&[machine(MachineState::Pending)], at(1000));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(1000)), Permission::Now { times: 1 });
    attempts.observed(&[machine(MachineState::Stopped)], at(164));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(164)), Permission::Now { times: 1 });
    attempts.observed(&[machine(MachineState::Stopped)], at(165));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(165)), Permission::Now { times: 0 });
}

#[test]
fn what_waits_for_its_turn_was_not_sent_and_may_be_when_that_comes() {
    let mut attempts = Attempts::default();
    attempts.queued("i-1", Action::Start, at(100), at(160));
    let stopped = [machine(MachineState::Stopped)];
    assert_eq!(attempts.permission("i-1", &Action::Start, at(114)), Permission::Later(at(115)));
    assert_eq!(attempts.permission("i-1", &Action::Start, at(115)), Permission::Now { times: 0 });
    assert_eq!((attempts.turn_of("i-1", &Action::Start, at(159)), attempts.last()), (Some(at(160)), None));
    assert_eq!(attempts.turn_of("i-1", &Action::Start, at(160)), None);
    assert_eq!(attempts.turning_until(&stopped[0], at(101)), None);
    assert_eq!(attempts.last_unseen(&stopped), None);
    assert_eq!(attempts.fruitless("i-1", &Action::Start, at(170)), 0);
    // and what is sent then is the first time
    attempts.succeeded("i-1", Action::Start, at(160));
    assert_eq!(attempts.fruitless("i-1", &Action::Start, at(161)), 0);
    assert_eq!(attempts.permission("i-1", &Action::Start, at(161)), Permission::Later(at(165)));
}

#[test]
fn a_machine_on_its_way_is_known_since_it_was_first_seen_so() {
    let mut attempts = Attempts::default();
    let stopping = [machine(MachineState::Stopping)];
    attempts.observed(&stopping, at(100));
    attempts.observed(&stopping, at(110));
    assert_eq!(attempts.last_unseen(&stopping), Some(at(100)));
    attempts.observed(&[machine(MachineState::Stopped)], at(120));
    assert_eq!(attempts.last_unseen(&stopping), None);
}
