//! What a member says of itself, and to whom.

use std::time::Duration;

use super::{identity, one_resting, secs, three, world::World};
use crate::{
    member::Member,
    protocol::{Action, End, Event, Story},
    record::Incarnation,
    slot::Slot,
    time::Stamp,
    timing::Timing,
};

#[test]
fn a_member_says_whether_it_leads_and_how_long_it_may_begin_calls() {
    let mut world = three();
    let leader = world.leader();
    for name in ["a", "b", "c"] {
        let (member, now) = world.look(name);
        assert_eq!(member.leads(), name == leader);
        assert!(member.has_joined() && member.is_in_ring());
        assert_eq!(member.ring().unwrap().value.members.len(), 3);
        assert!((secs(5)..=secs(8)).contains(&member.left(now)), "{:?}", member.left(now));
    }
    let slot = world.look("a").0.owned().next().unwrap();
    let (member, now) = world.look("a");
    let permit = member.permit(slot, now).unwrap();
    assert!(member.holds(permit, now));
    // when it is cut off, then nothing is left of it
    world.cut_off("a");
    world.run(secs(9));
    let (member, now) = world.look("a");
    assert!(!member.holds(permit, now) && member.left(now).is_zero());
    assert!(member.has_joined(), "it is a member all the same");
}

#[test]
fn a_member_is_in_the_ring_once_a_leader_has_written_so() {
    let mut world = World::new(12);
    let (none, _) = {
        world.start("a");
        world.look("a")
    };
    assert!(none.has_joined());
    world.start("b");
    world.run(Duration::from_millis(1));
    assert!(world.look("b").0.has_joined() && world.look("b").0.is_in_ring());
    world.stall_watch("a");
    world.start("c");
    assert!(world.look("c").0.has_joined() && !world.look("c").0.is_in_ring());
    world.event("c", Event::Stop);
    world.run(secs(1));
    assert!(!world.look("c").0.has_joined(), "its incarnation is over");
}

#[test]
fn a_process_that_has_not_reached_the_store_is_no_member() {
    let mut member = Member::new(identity("a"), Timing::default(), 4, Stamp::default());
    member.handle(Event::Tick, Stamp::default());
    assert!(!member.has_joined() && !member.is_in_ring() && !member.leads());
    assert_eq!((member.ring(), member.permit(Slot(0), Stamp::default())), (None, None));
}

#[test]
fn a_member_wakes_when_its_permit_runs_out_though_a_renewal_is_under_way() {
    // given a member of a store that answers no renewal
    let mut world = three();
    world.mute("b");
    world.run(secs(6));
    // then it is told of its lapse when that comes, not when the next answer does
    assert!(!world.told("b", &Story::Lapsed));
    let (member, now) = world.look("b");
    assert_eq!(member.next_wake(), Some(now.mono + member.left(now)));
    world.run(secs(2));
    assert!(world.told("b", &Story::Lapsed));
}

#[test]
fn who_rests_finds_out_that_all_others_are_dead() {
    let mut world = one_resting();
    for name in ["a", "c"] {
        world.kill(name);
    }
    world.run(secs(40));
    assert_eq!(world.shares(), [("b", 12)]);
}

#[test]
fn payloads_reach_all_members_with_the_next_renewal() {
    let mut world = three();
    world.event("a", Event::Payload("demand: 3".into()));
    world.run(Duration::from_millis(200));
    let (member, _) = world.look("b");
    let payloads: Vec<_> = member.payloads().map(|(name, payload)| (name.as_str(), payload)).collect();
    assert_eq!(payloads, [("a", "demand: 3"), ("c", "")]);
}

#[test]
fn a_call_that_was_given_up_keeps_its_slot_until_its_time_out() {
    let mut world = three();
    let (slot, call) = world.begin_call("a");
    world.cancel_call("a", call);
    world.event("a", Event::Stop);
    world.run(Duration::from_millis(3_900));
    assert_eq!(world.owners()[&slot].as_str(), "a");
    world.run(Duration::from_millis(200));
    assert_ne!(world.owners()[&slot].as_str(), "a");
}

#[test]
fn each_slot_of_a_leaver_goes_on_when_its_own_call_ends() {
    // given a leaver with calls for two of its slots
    let mut world = three();
    let [(one, first), (two, second)] = world.begin_calls("a", 2)[..] else { panic!() };
    world.event("a", Event::Stop);
    world.run(Duration::from_millis(500));
    let kept = |world: &World| {
        let owners = world.owners();
        owners
            .into_iter()
            .filter(|(_, owner)| owner.as_str() == "a")
            .map(|(slot, _)| slot)
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&world), [one, two]);
    // when one of them ends, then its slot goes on within the time between two renewals
    world.end_call("a", first);
    world.run(Duration::from_millis(100));
    assert_eq!(kept(&world), [two]);
    world.end_call("a", second);
    world.run(Duration::from_millis(100));
    assert_eq!((kept(&world), world.ended("a")), (vec![], Some(End::Left)));
}

#[test]
fn a_busy_slot_that_goes_to_a_joiner_goes_last() {
    let mut world = three();
    let calls = world.begin_calls("a", 4);
    world.start("d");
    world.run(Duration::from_millis(3_300));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3), ("d", 2)]);
    let moving: Vec<Slot> = world.ring().moves.keys().copied().collect();
    assert!(calls.iter().any(|(slot, _)| moving == [*slot]), "{moving:?}");
    world.run(Duration::from_millis(900));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3), ("d", 3)]);
}

#[test]
fn who_doubts_the_ring_does_not_take_back_that_a_slot_is_draining() {
    // given a leaver that has told that a call is still running
    let mut world = three();
    let (slot, _) = world.begin_call("a");
    world.event("a", Event::Stop);
    world.run(Duration::from_millis(500));
    // when its permit lapses by a clock that is set, and it renews, but cannot read the ring
    world.cut_off_from_ring("a");
    world.set_forward("a", secs(10));
    assert!(world.told("a", &Story::Lapsed));
    world.run(Duration::from_millis(3_300));
    // then nobody takes the slot before the call is over
    assert_eq!(world.owners()[&slot].as_str(), "a");
    assert!(world.look("a").0.left(world.look("a").1) > Duration::ZERO, "it has renewed");
}

#[test]
fn the_longest_call_counts_from_the_start_of_the_process_not_of_its_part_in_the_ring() {
    let mut world = World::new(12);
    world.start_in("a-1", Some("pod/operator"));
    world.run(secs(20));
    world.kill("a-1");
    world.start_later("a-2", "pod/operator", secs(3));
    world.run(Duration::from_millis(900));
    assert_eq!(world.shares(), [("a-2", 0)]);
    world.run(Duration::from_millis(200));
    assert_eq!(world.shares(), [("a-2", 12)]);
}

#[test]
fn an_incarnation_that_follows_another_begins_a_retry_later() {
    let now = Stamp::all(secs(1000));
    let member = Member::new(identity("a"), Timing::default(), 4, now);
    let mut next = member.next(Incarnation::new("b"), now);
    assert_eq!(next.handle(Event::Tick, now), [Action::RestartWatches]);
    assert_eq!(next.next_wake(), Some(secs(1001)));
    assert!(next.handle(Event::Tick, Stamp::all(Duration::from_millis(1_000_999))).is_empty());
    assert_eq!(next.handle(Event::Tick, Stamp::all(secs(1001))).len(), 1, "it reads the ring");
    assert_eq!(next.incarnation().as_str(), "b");
}
