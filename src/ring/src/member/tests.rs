//! Stories of a few members on a store that answers at once.

mod beside;
mod calls;
mod details;
mod edges;
mod store;
mod stories;
mod storms;
mod transcript;
mod two_rings;
mod world;

use std::{sync::Arc, time::Duration};

use self::world::World;
use super::{Identity, Member};
use crate::{
    protocol::{Action, Answer, End, Event, Op, RequestId, Story},
    record::{Incarnation, Ring, Standing, Stored},
    time::Stamp,
    timing::Timing,
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn identity(name: &str) -> Identity {
    Identity { incarnation: Incarnation::new(name), container: None, release: "1".into(), protocol: 1 }
}

/// Three members that share the ring.
fn three() -> World {
    let mut world = World::new(12);
    for name in ["a", "b", "c"] {
        world.start(name);
    }
    world.run(secs(40));
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4)]);
    world
}

/// The same, after the permit of `b` has lapsed so often that it rests.
fn one_resting() -> World {
    let mut world = three();
    for _ in 0..3 {
        world.cut_off("b");
        world.run(secs(10));
        world.reconnect("b");
        world.run(secs(10));
    }
    assert_eq!(world.shares(), [("a", 6), ("b", 0), ("c", 6)]);
    world
}

#[test]
fn a_new_ring_waits_for_owners_of_another_one_and_then_opens() {
    let mut world = World::new(12);
    world.start("a");
    world.run(secs(14));
    assert_eq!(world.shares(), [("a", 0)]);
    world.run(secs(2));
    assert_eq!(world.shares(), [("a", 12)]);
    assert!(world.told("a", &Story::Opened));
}

#[test]
fn a_lone_replica_that_stops_is_followed_at_once() {
    let mut world = World::new(12);
    world.start("a");
    world.run(secs(20));
    world.event("a", Event::Stop);
    assert_eq!(world.ended("a"), Some(End::Left));
    world.start("b");
    world.run(Duration::from_millis(1));
    assert_eq!(world.shares(), [("b", 12)]);
}

#[test]
fn a_lone_replica_that_is_killed_is_followed_after_its_lease() {
    let mut world = World::new(12);
    world.start("a");
    world.run(secs(20));
    world.kill("a");
    world.start("b");
    world.run(secs(14));
    assert_eq!(world.shares(), [("b", 0)]);
    world.run(secs(2));
    assert_eq!(world.shares(), [("b", 12)]);
}

#[test]
fn a_killed_container_is_followed_after_the_longest_call_when_it_starts_again() {
    let mut world = World::new(12);
    world.start_in("a-1", Some("pod/operator"));
    world.run(secs(20));
    world.kill("a-1");
    world.start_in("a-2", Some("pod/operator"));
    world.run(Duration::from_millis(3_900));
    assert_eq!(world.shares(), [("a-2", 0)]);
    world.run(Duration::from_millis(200));
    assert_eq!(world.shares(), [("a-2", 12)]);
}

#[test]
fn who_joins_gets_an_equal_share_and_old_members_exchange_nothing() {
    let mut world = three();
    let before = world.owners();
    world.start("d");
    world.run(secs(6));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3), ("d", 3)]);
    let moved: Vec<_> = world.owners().into_iter().filter(|(slot, owner)| before[slot] != *owner).collect();
    assert!(moved.iter().all(|(_, owner)| owner.as_str() == "d"), "{moved:?}");
    assert_eq!(moved.len(), 3);
}

#[test]
fn a_silent_member_is_sealed_after_its_lease_and_its_slots_go_to_the_others() {
    let mut world = three();
    world.kill("b");
    world.run(secs(11));
    assert_eq!(world.shares(), [("a", 4), ("c", 4)]);
    world.run(secs(6));
    assert_eq!(world.shares(), [("a", 6), ("c", 6)]);
    assert_eq!(world.standing("b"), Some(Standing::Sealed));
}

#[test]
fn a_dead_leader_is_followed_by_another_one() {
    let mut world = three();
    let leader = world.leader();
    world.kill(&leader);
    world.run(secs(17));
    assert_ne!(world.leader(), leader);
    assert_eq!(world.shares().iter().map(|(_, count)| count).sum::<usize>(), 12);
}

#[test]
fn a_proof_of_death_is_acted_on_after_the_longest_call() {
    let mut world = three();
    world.kill("b");
    world.event_to_all(&Event::ProcessDead(Incarnation::new("b")));
    world.run(Duration::from_millis(3_900));
    assert_eq!(world.shares(), [("a", 4), ("c", 4)]);
    world.run(Duration::from_millis(300));
    assert_eq!(world.shares(), [("a", 6), ("c", 6)]);
}

#[test]
fn a_proof_of_death_is_acted_on_after_the_longest_call_of_the_dead() {
    let patient = Timing::new(secs(15), secs(3), secs(7), secs(6)).unwrap();
    let mut world = three();
    world.start_with_timing("d", patient);
    world.run(secs(10));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3), ("d", 3)]);
    world.kill("d");
    world.event_to_all(&Event::ProcessDead(Incarnation::new("d")));
    world.run(Duration::from_millis(5_900));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3)]);
    world.run(Duration::from_millis(300));
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4)]);
}

#[test]
fn members_of_two_releases_speak_the_older_protocol_until_its_last_speaker_has_gone() {
    let mut world = three();
    for name in ["d", "e", "f"] {
        world.start_speaking(name, 2);
    }
    world.run(secs(60));
    assert_eq!(world.shares(), [("a", 2), ("b", 2), ("c", 2), ("d", 2), ("e", 2), ("f", 2)]);
    for name in ["a", "b", "c"] {
        assert_eq!(world.ring().protocol, 1);
        world.event(name, Event::Stop);
        world.run(secs(2));
    }
    assert_eq!(world.ring().protocol, 2);
    // One of the older release that comes back owns nothing, says why, and disturbs nobody.
    world.start("a2");
    world.run(secs(60));
    assert_eq!(world.shares(), [("a2", 0), ("d", 4), ("e", 4), ("f", 4)]);
    assert!(world.told("a2", &Story::Unsupported("its protocol is 2, this release speaks 1".into())));
}

#[test]
fn a_member_that_stops_hands_over_and_leaves_nothing_unowned() {
    let mut world = three();
    world.event("a", Event::Stop);
    world.run(secs(1));
    assert_eq!(world.ended("a"), Some(End::Left));
    assert_eq!(world.shares(), [("b", 6), ("c", 6)]);
    assert_eq!(world.standing("a"), Some(Standing::Released));
    world.run(secs(20));
    assert_eq!(world.standing("a"), None, "collected");
}

#[test]
fn a_leaver_waits_for_its_running_calls_and_others_wait_for_it() {
    let mut world = three();
    let (slot, call) = world.begin_call("a");
    world.event("a", Event::Stop);
    world.run(secs(2));
    assert_eq!(world.ended("a"), None);
    assert_eq!(world.owners()[&slot].as_str(), "a");
    world.end_call("a", call);
    world.run(secs(1));
    assert_eq!(world.ended("a"), Some(End::Left));
    assert_ne!(world.owners()[&slot].as_str(), "a");
}

#[test]
fn who_cannot_reach_the_store_stops_before_anybody_follows() {
    let mut world = three();
    world.cut_off("b");
    world.run(secs(9));
    assert_eq!(world.permitted("b"), 0);
    assert!(world.told("b", &Story::Lapsed));
    world.run(secs(8));
    assert_eq!(world.shares_of_others("b"), 12);
    // when it is heard again, then it begins anew under another name
    world.reconnect("b");
    world.run(secs(2));
    assert_eq!(world.ended("b"), Some(End::Sealed));
}

#[test]
fn an_outage_of_the_store_moves_nothing() {
    let mut world = three();
    let before = world.owners();
    for name in ["a", "b", "c"] {
        world.cut_off(name);
    }
    world.run(secs(120));
    for name in ["a", "b", "c"] {
        assert_eq!(world.permitted(name), 0);
        world.reconnect(name);
    }
    world.run(secs(10));
    assert_eq!(world.owners(), before);
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4)]);
}

#[test]
fn where_all_lapse_too_often_nobody_rests() {
    // given members that all lapsed three times, for the store came and went
    let mut world = three();
    for _ in 0..3 {
        for name in ["a", "b", "c"] {
            world.cut_off(name);
        }
        world.run(secs(9));
        for name in ["a", "b", "c"] {
            world.reconnect(name);
        }
        world.run(secs(6));
    }
    // when one is gone, then the others take over
    world.kill("b");
    world.run(secs(40));
    assert_eq!(world.shares(), [("a", 6), ("c", 6)]);
}

#[test]
fn a_deleted_lease_ends_its_owner_and_its_slots_wait_for_a_placeholder() {
    let mut world = three();
    world.cut_off("b");
    world.delete_lease("b");
    world.run(secs(12));
    assert_eq!(world.shares_of_others("b"), 8, "absence proves nothing");
    world.run(secs(10));
    assert_eq!(world.shares_of_others("b"), 12);
    world.reconnect("b");
    world.run(secs(3));
    assert_eq!(world.ended("b"), Some(End::LeaseGone));
}

#[test]
fn a_deleted_ring_ends_all_and_a_new_one_opens_after_their_leases() {
    let mut world = three();
    world.delete_ring();
    world.run(secs(1));
    for name in ["a", "b", "c"] {
        assert_eq!(world.ended(name), Some(End::RingGone));
        assert_eq!(world.standing(name), Some(Standing::Released));
        world.follow(name, &format!("{name}-2"));
    }
    world.run(secs(14));
    assert_eq!(world.shares(), [("a-2", 0), ("b-2", 0), ("c-2", 0)]);
    world.run(secs(10));
    assert_eq!(world.shares(), [("a-2", 4), ("b-2", 4), ("c-2", 4)]);
}

#[test]
fn a_restored_store_ends_who_knew_more() {
    let mut world = three();
    let snapshot = world.snapshot();
    world.start("d");
    world.run(secs(10));
    for name in ["a", "b", "c", "d"] {
        world.cut_off(name);
    }
    world.run(secs(16));
    world.restore(snapshot);
    for name in ["a", "b", "c", "d"] {
        world.reconnect(name);
    }
    world.run(secs(2));
    for name in ["a", "b", "c"] {
        assert_eq!(world.ended(name), Some(End::WentBack), "{name}");
    }
    assert_eq!(world.ended("d"), Some(End::LeaseGone));
}

#[test]
fn a_member_whose_watch_stands_still_reads_the_ring_and_drains() {
    let mut world = three();
    world.stall_watch("b");
    world.start("d");
    world.run(secs(12));
    assert_eq!(world.shares(), [("a", 3), ("b", 3), ("c", 3), ("d", 3)]);
}

#[test]
fn a_replica_set_to_another_number_of_slots_stays_out_and_says_so() {
    let mut world = three();
    world.start_with_slots("d", 13);
    world.run(secs(10));
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4), ("d", 0)]);
    let why = "it has 12 slots, this replica is set to 13";
    assert!(world.told("d", &Story::Unsupported(why.into())));
    assert_eq!(world.look("d").0.unsupported(), Some(why));
    assert_eq!(world.look("a").0.unsupported(), None);
}

#[test]
fn a_settled_ring_is_written_to_by_renewals_alone() {
    let mut world = three();
    world.run(secs(60));
    let before = world.requests();
    world.run(secs(60));
    let (writes, reads) = (world.requests().0 - before.0, world.requests().1 - before.1);
    // Three members and one leader, each once per 3 s.
    assert!((78..=80).contains(&writes), "{writes}");
    assert_eq!(reads, 0);
}

#[test]
fn a_member_that_lapses_again_and_again_hands_over_and_takes_nothing_for_a_while() {
    let mut world = one_resting();
    world.run(secs(320));
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4)]);
}

#[test]
fn a_member_that_cannot_know_whether_it_was_created_reads_though_the_watch_shows_it_gone() {
    // given a member whose creation was not replied to
    let me = Incarnation::new("a");
    let mut member = Member::new(identity("a"), Timing::default(), 4, Stamp::default());
    let mut answer = |event, at| ops(member.handle(event, Stamp::all(at)));
    let read = answer(Event::Tick, Duration::ZERO).remove(0).0;
    let ring = Stored { uid: "ring".into(), version: 1, value: Arc::new(Ring::new(4)) };
    let (join, op) = answer(answered(read, Answer::Ring(ring)), secs(1)).remove(0);
    assert!(matches!(op, Op::CreateMember(_)), "{op:?}");
    assert!(answer(answered(join, Answer::Failed), secs(3)).is_empty());
    // when the watch shows that its Lease is gone
    answer(Event::MemberGone(me.clone()), secs(4));
    // then it asks
    let asked = answer(Event::Tick, secs(6));
    assert_eq!(asked.into_iter().map(|(_, op)| op).collect::<Vec<_>>(), [Op::ReadMember(me)]);
}

fn answered(request: RequestId, answer: Answer) -> Event {
    Event::Answered { request, answer }
}

fn ops(actions: Vec<Action>) -> Vec<(RequestId, Op)> {
    let requests = actions.into_iter().filter_map(|action| match action {
        Action::Request { id, op } => Some((id, op)),
        _ => None,
    });
    requests.collect()
}
