//! What happens seldom: Leases that vanish unseen, writes that cross, members that lapse together.

use std::time::Duration;

use super::{secs, three, world::World};
use crate::{
    protocol::{End, Event},
    record::{Incarnation, Standing},
};

#[test]
fn a_leader_that_leaves_its_lead_to_others_takes_it_back_after_its_lease_if_nobody_else_does() {
    // given a leader that has lapsed, and others that cannot be reached by the time it is back
    let mut world = three();
    let leader = world.leader();
    world.cut_off(&leader);
    world.run(secs(10));
    for other in ["a", "b", "c"].into_iter().filter(|other| *other != leader) {
        world.cut_off(other);
    }
    world.reconnect(&leader);
    world.run(secs(14));
    assert_eq!(world.lead_holder(), None);
    world.run(secs(2));
    assert_eq!(world.lead_holder(), Some(leader));
}

#[test]
fn a_new_ring_stays_closed_while_an_owner_of_the_old_one_may_be_at_work() {
    // given a member that nobody can reach, and whose ring is replaced
    let mut world = three();
    world.cut_off("c");
    world.delete_ring();
    world.run(Duration::from_millis(500));
    world.follow_the_ended();
    // when its Lease has been silent for L, it is sealed, and L later the new ring opens
    world.run(secs(28));
    assert_eq!(world.standing("c"), Some(Standing::Sealed));
    assert!(!world.ring().open);
    world.run(secs(8));
    assert!(world.ring().open);
}

#[test]
fn a_leaver_whose_release_crosses_another_write_releases_once_more() {
    let mut world = World::new(12);
    world.start("a");
    world.run(secs(20));
    world.stall_watch("a");
    world.touch("a");
    world.event("a", Event::Stop);
    assert_eq!((world.standing("a"), world.ended("a")), (Some(Standing::Released), Some(End::Left)));
}

#[test]
fn an_incarnation_that_is_over_ends_when_its_last_call_has() {
    let mut world = three();
    let (_, call) = world.begin_call("b");
    world.delete_lease("b");
    world.run(secs(3));
    assert_eq!((world.ended("b"), world.shares()[1]), (None, ("b", 0)));
    world.end_call("b", call);
    assert_eq!(world.ended("b"), Some(End::LeaseGone));
}

#[test]
fn members_that_lapse_together_do_not_leave_all_work_to_one() {
    let mut world = three();
    for _ in 0..3 {
        for name in ["a", "b"] {
            world.cut_off(name);
        }
        world.run(secs(10));
        for name in ["a", "b"] {
            world.reconnect(name);
        }
        world.run(secs(10));
    }
    world.run(secs(10));
    assert_eq!(world.shares(), [("a", 4), ("b", 4), ("c", 4)]);
}

#[test]
fn a_write_of_somebody_else_to_its_lease_ends_nobody() {
    let mut world = three();
    world.stall_watch("b");
    world.touch("b");
    world.run(secs(4));
    assert_eq!((world.ended("b"), world.shares()[1]), (None, ("b", 4)));
}

#[test]
fn who_finds_its_lease_sealed_when_it_reads_it_is_over() {
    // given a member that was sealed while it was cut off, and whose watch stands still
    let mut world = three();
    world.cut_off("b");
    world.run(secs(17));
    assert_eq!(world.standing("b"), Some(Standing::Sealed));
    // when it can write again, then its renewal meets the seal
    world.lose_replies("b", false);
    world.run(secs(2));
    assert_eq!(world.ended("b"), Some(End::Sealed));
}

/// A leader and a member that is dead, of three.
fn one_dead() -> (World, String, &'static str) {
    let mut world = three();
    let leader = world.leader();
    let dead = ["a", "b", "c"].into_iter().find(|name| *name != leader).unwrap();
    world.kill(dead);
    (world, leader, dead)
}

#[test]
fn a_renewal_that_was_not_seen_puts_off_the_seal_by_a_lease() {
    let (mut world, _, dead) = one_dead();
    world.run(secs(10));
    world.touch_unseen(dead);
    world.run(secs(15));
    assert_eq!(world.standing(dead), Some(Standing::Active));
    world.run(secs(7));
    assert_eq!(world.standing(dead), Some(Standing::Sealed));
}

#[test]
fn a_seal_that_fails_is_tried_again_a_retry_later() {
    let (mut world, leader, dead) = one_dead();
    world.cut_off_from_others(&leader);
    world.run(secs(20));
    assert_eq!(world.standing(dead), Some(Standing::Active));
    world.lose_replies(&leader, false);
    world.run(Duration::from_millis(1_100));
    assert_eq!(world.standing(dead), Some(Standing::Sealed));
}

#[test]
fn an_owner_whose_lease_was_wrongly_taken_for_gone_is_read_and_then_sealed() {
    let (mut world, leader, dead) = one_dead();
    world.event(&leader, Event::MemberGone(Incarnation::new(dead)));
    world.run(secs(22));
    assert_eq!(world.standing(dead), Some(Standing::Sealed));
}

#[test]
fn members_of_a_ring_that_another_one_replaces_are_over() {
    let mut world = three();
    world.replace_ring();
    world.run(secs(1));
    assert_eq!(["a", "b", "c"].map(|name| world.ended(name)), [Some(End::RingGone); 3]);
}

#[test]
fn who_finds_an_older_ring_than_it_applied_is_over() {
    // given a ring that goes back unseen while a member cannot read it
    let mut world = three();
    let before = world.snapshot();
    world.start("d");
    world.run(secs(10));
    world.cut_off("b");
    world.restore_ring(before);
    // when it has lapsed and reads the ring
    world.run(secs(9));
    world.reconnect("b");
    world.run(secs(1));
    assert_eq!(world.ended("b"), Some(End::WentBack));
}
