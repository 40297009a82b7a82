//! States: what start and stop do to them, and what time does.

use super::super::actions::Power;
use super::super::error::AdminError;
use super::super::model::{AddInstances, FallsBack, InstanceState, SettingsPatch, StateReason};
use super::*;

use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};

fn state_at(world: &World, ms: u64) -> Option<InstanceState> {
    world.view(at(ms), &id(1)).map(|view| view.state)
}

#[test]
fn start_and_stop_do_what_ec2_does_in_each_state() {
    for (state, power, expected) in [
        (Pending, Power::Start, Some(Pending)),
        (Running, Power::Start, Some(Running)),
        (Stopping, Power::Start, None),
        (Stopped, Power::Start, Some(Pending)),
        (ShuttingDown, Power::Start, None),
        (Terminated, Power::Start, None),
        (Pending, Power::Stop, None),
        (Running, Power::Stop, Some(Stopping)),
        (Stopping, Power::Stop, Some(Stopping)),
        (Stopped, Power::Stop, Some(Stopped)),
        (ShuttingDown, Power::Stop, None),
        (Terminated, Power::Stop, None),
    ] {
        let mut world = world_with(state);

        let result = world.power(at(1), &scope(), &[id(1)], power, false);

        if let Some(current) = expected {
            let changes = result.unwrap();
            assert_eq!((changes[0].previous, changes[0].current), (state, current), "{power:?} {state:?}");
        } else {
            assert_eq!(result.unwrap_err().code, "IncorrectInstanceState", "{power:?} {state:?}");
        }
        assert_eq!(state_at(&world, 1), Some(expected.unwrap_or(state)), "{power:?} {state:?}");
    }
}

#[test]
fn a_pending_instance_can_be_stopped_where_the_settings_say_so() {
    let mut world = world_with(Pending);
    SettingsPatch { pending_can_stop: Some(true), ..SettingsPatch::default() }.apply(&mut world.settings);

    world.power(at(1), &scope(), &[id(1)], Power::Stop, false).unwrap();

    assert_eq!(state_at(&world, 10_000), Some(Stopping));
    assert_eq!(state_at(&world, 20_001), Some(Stopped));
}

#[test]
fn transitions_happen_exactly_when_their_time_is_over() {
    let mut world = world_with(Stopped);
    world.power(at(0), &scope(), &[id(1)], Power::Start, false).unwrap();
    assert_eq!((state_at(&world, 9_999), state_at(&world, 10_000)), (Some(Pending), Some(Running)));

    world.power(at(30_000), &scope(), &[id(1)], Power::Stop, false).unwrap();
    assert_eq!((state_at(&world, 49_999), state_at(&world, 50_000)), (Some(Stopping), Some(Stopped)));
}

#[test]
fn a_repeated_start_does_not_start_the_clock_anew() {
    let mut world = world_with(Stopped);
    world.power(at(0), &scope(), &[id(1)], Power::Start, false).unwrap();

    world.power(at(9_000), &scope(), &[id(1)], Power::Start, false).unwrap();

    assert_eq!(state_at(&world, 10_000), Some(Running));
}

#[test]
fn a_terminated_instance_stays_listed_for_an_hour() {
    let mut world = world_with(Running);

    world.terminate(at(0), &[id(1)]).unwrap();

    let hour = 60 * 60 * 1_000;
    assert_eq!((state_at(&world, 4_999), state_at(&world, 5_000)), (Some(ShuttingDown), Some(Terminated)));
    assert_eq!((state_at(&world, 4_999 + hour), state_at(&world, 5_000 + hour)), (Some(Terminated), None));
    let gone = world.power(at(5_000 + hour), &scope(), &[id(1)], Power::Start, false).unwrap_err();
    assert_eq!(gone.code, "InvalidInstanceID.NotFound");
    world.sweep(at(5_000 + hour));
    assert!(world.instances.is_empty());
}

#[test]
fn an_instance_that_falls_back_goes_to_stopped_and_says_why() {
    let mut world = world();
    let falls_back = FallsBack { times: Some(1), ..FallsBack::for_capacity() };
    let add =
        AddInstances { falls_back: Some(falls_back.clone()), ..AddInstances::ids([id(1)]).state(Stopped) };
    world.add(at(0), &add).unwrap();

    let changes = world.power(at(0), &scope(), &[id(1)], Power::Start, false).unwrap();

    assert_eq!(changes[0].current, Pending);
    assert_eq!(state_at(&world, 9_999), Some(Pending));
    let view = world.view(at(10_000), &id(1)).unwrap();
    assert_eq!((view.state, view.state_reason), (Stopped, Some(falls_back.reason)));
    // Only once, as asked for.
    world.power(at(20_000), &scope(), &[id(1)], Power::Start, false).unwrap();
    let view = world.view(at(30_000), &id(1)).unwrap();
    assert_eq!((view.state, view.state_reason), (Running, None));
}

#[test]
fn a_stopped_instance_says_that_a_user_stopped_it() {
    let mut world = world_with(Running);
    world.power(at(0), &scope(), &[id(1)], Power::Stop, false).unwrap();
    let page = world.describe(at(20_000), &scope(), &by_filters(&[])).unwrap();
    let phase = &page.instances[0].phase;
    assert_eq!(phase.reason.as_ref().unwrap().code, "Client.UserInitiatedShutdown");
    assert_eq!(&*phase.transition, "User initiated (2026-01-01 00:00:00 GMT)");
}

#[test]
fn one_bad_id_fails_the_whole_call_without_effect() {
    let malformed = "i-XYZ".to_owned();
    for (bad, code, message) in [
        (id(9), "InvalidInstanceID.NotFound", format!("The instance ID '{}' does not exist", id(9))),
        (malformed, "InvalidInstanceID.Malformed", "Invalid id: \"i-XYZ\"".to_owned()),
        (
            id(2),
            "IncorrectInstanceState",
            format!("The instance '{}' is not in a state from which it can be started.", id(2)),
        ),
    ] {
        let mut world = world_with(Stopped);
        world.add(at(0), &AddInstances::ids([id(2)]).state(Stopping)).unwrap();

        let error = world.power(at(1), &scope(), &[id(1), bad], Power::Start, false).unwrap_err();

        assert_eq!((error.code.as_str(), error.message), (code, message));
        assert_eq!(state_at(&world, 1), Some(Stopped));
    }
}

#[test]
fn all_unknown_ids_are_named_and_those_of_other_scopes_are_unknown() {
    let mut world = world_with(Stopped);
    let elsewhere = AddInstances { region: "us-west-2".to_owned(), ..AddInstances::ids([id(3)]) };
    world.add(at(0), &elsewhere).unwrap();

    let error = world.power(at(1), &scope(), &[id(1), id(3), id(4)], Power::Stop, false).unwrap_err();

    assert_eq!(error.message, format!("The instance IDs '{}, {}' do not exist", id(3), id(4)));
}

#[test]
fn an_id_named_twice_is_reported_once() {
    let mut world = world_with(Stopped);
    let changes = world.power(at(1), &scope(), &[id(1), id(1)], Power::Start, false).unwrap();
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_dry_run_changes_nothing_and_still_finds_what_is_wrong() {
    let mut world = world_with(Stopped);
    let fine = world.power(at(1), &scope(), &[id(1)], Power::Start, true).unwrap_err();
    let wrong = world.power(at(1), &scope(), &[id(2)], Power::Start, true).unwrap_err();
    assert_eq!((fine.code.as_str(), fine.status), ("DryRunOperation", 412));
    assert_eq!(wrong.code, "InvalidInstanceID.NotFound");
    assert_eq!(state_at(&world, 1), Some(Stopped));
}

#[test]
fn a_forced_state_cancels_what_was_to_come() {
    let mut world = world_with(Stopped);
    world.power(at(0), &scope(), &[id(1)], Power::Start, false).unwrap();
    let reason = StateReason { code: "Client.InternalError".to_owned(), message: "key disabled".to_owned() };

    world.force(at(5_000), &[id(1)], Stopped, Some(&reason)).unwrap();

    let view = world.view(at(60_000), &id(1)).unwrap();
    assert_eq!((view.state, view.state_reason), (Stopped, Some(reason)));
}

#[test]
fn ids_are_realistic_unique_and_the_same_in_every_run() {
    let (mut one, mut other) = (world(), world());
    let ids = one.add(at(0), &AddInstances::count(1_000)).unwrap();
    let again = other.add(at(0), &AddInstances::count(1_000)).unwrap();
    assert_eq!(ids, again);
    assert!(ids.iter().all(|id| super::super::world::is_well_formed(id) && id.len() == 19));
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 1_000);
}

#[test]
fn instances_are_added_all_or_none() {
    let mut world = world_with(Running);
    for (ids, refused) in [
        (vec![id(2), id(1)], format!("{} exists already", id(1))),
        (vec![id(2), id(2)], format!("{} exists already", id(2))),
        (vec!["x".to_owned()], "x is no instance id".to_owned()),
        (vec![], "neither ids nor a count".to_owned()),
    ] {
        let error = world.add(at(0), &AddInstances::ids(ids)).unwrap_err();
        assert_eq!(error, AdminError::Refused(refused));
        assert_eq!(world.instances.len(), 1);
    }
}

#[test]
fn a_zone_without_room_fails_the_whole_start_and_has_room_again_after_a_stop() {
    // given a zone for two, with one running, and another zone
    let mut world = World::new(settings());
    let zone = |name: &str| Some(name.to_owned());
    let small = AddInstances::ids([id(1), id(2), id(3)]).state(Stopped);
    world.add(at(0), &AddInstances { zone: zone("small"), ..small }).unwrap();
    let large = AddInstances::ids([id(4)]).state(Stopped);
    world.add(at(0), &AddInstances { zone: zone("large"), ..large }).unwrap();
    world.settings.zone_capacity.insert("small".to_owned(), 2);
    let mut start = |at_ms: u64, ids: &[String], power| {
        world.power(at(at_ms), &scope(), ids, power, false).map_err(|error| error.code)
    };
    start(0, &[id(1)], Power::Start).unwrap();
    // when two more are started there, then none of the call is
    let lacking = start(20_000, &[id(2), id(3), id(4)], Power::Start).unwrap_err();
    assert_eq!(lacking, "InsufficientInstanceCapacity");
    // when as many as there is room for are, then they start; so does what runs already
    start(20_000, &[id(1), id(2), id(4)], Power::Start).unwrap();
    assert!(start(20_000, &[id(3)], Power::Start).is_err());
    // when one has stopped, then there is room
    start(40_000, &[id(1)], Power::Stop).unwrap();
    start(80_000, &[id(3)], Power::Start).unwrap();
}
