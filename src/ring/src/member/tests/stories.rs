//! Whole stories, compared word by word.

use std::time::Duration;

use expect_test::expect_file;

use super::{secs, three, world::World};
use crate::{protocol::Event, record::Incarnation};

#[test]
fn a_lone_member_opens_a_new_ring_and_leaves_it() {
    let mut world = World::new(12);
    world.start("a");
    world.run(secs(25));
    world.event("a", Event::Stop);
    world.run(secs(1));
    expect_file!["stories/alone.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_member_joins_and_one_that_leads_leaves() {
    let mut world = three();
    world.transcript();
    world.start("d");
    world.run(secs(12));
    let leader = world.leader();
    world.event(&leader, Event::Stop);
    world.run(secs(20));
    expect_file!["stories/joins_and_leaves.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_dead_leader_is_sealed_and_collected() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.kill(&leader);
    world.run(secs(40));
    expect_file!["stories/dead_leader.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_member_that_is_cut_off_tries_on_and_comes_back() {
    let mut world = three();
    world.transcript();
    world.cut_off("b");
    world.run(secs(11));
    world.reconnect("b");
    world.run(secs(8));
    expect_file!["stories/cut_off.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_leader_that_is_cut_off_for_good_is_followed_and_ends_when_it_hears_of_it() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.cut_off(&leader);
    world.run(secs(20));
    world.reconnect(&leader);
    world.run(secs(1));
    expect_file!["stories/leader_cut_off.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_leader_whose_permit_comes_and_goes_leaves_the_lead_to_others() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.cut_off(&leader);
    world.run(secs(10));
    world.reconnect(&leader);
    world.run(secs(5));
    assert_ne!(world.leader(), leader);
    expect_file!["stories/lead_left.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_leader_that_sees_another_one_leads_no_more() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.seize_lead("b");
    world.run(secs(4));
    assert!(!world.look(&leader).0.leads());
    assert_eq!(world.leader(), "b");
    assert_eq!(world.transcript().matches(&format!("the lead of {leader}")).count(), 0);
}

#[test]
fn a_watch_that_stands_still_is_begun_anew() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.stall_watch(&leader);
    world.start("d");
    world.run(secs(26));
    expect_file!["stories/watch_stands_still.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_lease_that_was_deleted_is_replaced_and_sealed() {
    let mut world = three();
    world.transcript();
    world.delete_lease("b");
    world.run(secs(25));
    expect_file!["stories/lease_deleted.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_ring_that_was_deleted_ends_all_of_its_members() {
    let mut world = three();
    world.transcript();
    world.delete_ring();
    world.run(secs(1));
    world.follow("a", "a2");
    world.run(secs(20));
    expect_file!["stories/ring_deleted.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_process_goes_on_as_another_incarnation_after_a_restored_store() {
    let mut world = three();
    let before = world.snapshot();
    world.start("d");
    world.run(secs(10));
    world.transcript();
    world.restore(before);
    world.run(secs(4));
    for name in ["a", "b", "c", "d"] {
        world.follow(name, &format!("{name}2"));
    }
    world.run(secs(24));
    expect_file!["stories/restored.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_container_that_starts_again_seals_the_one_before() {
    let mut world = World::new(12);
    world.start("a");
    world.start_in("b-1", Some("pod/operator"));
    world.run(secs(30));
    world.transcript();
    world.kill("b-1");
    world.start_in("b-2", Some("pod/operator"));
    world.run(secs(12));
    expect_file!["stories/container.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_leaver_with_a_running_call_drains_before_it_goes() {
    let mut world = three();
    world.transcript();
    let (_, call) = world.begin_call("b");
    world.event("b", Event::Stop);
    world.run(secs(3));
    world.cancel_call("b", call);
    world.run(secs(3));
    expect_file!["stories/drains.txt"].assert_eq(&world.transcript());
}

#[test]
fn a_proof_of_death_makes_a_leader_of_another_one() {
    let mut world = three();
    let leader = world.leader();
    world.transcript();
    world.kill(&leader);
    world.event_to_all(&Event::ProcessDead(Incarnation::new(leader.as_str())));
    world.run(Duration::from_millis(8_500));
    expect_file!["stories/proof.txt"].assert_eq(&world.transcript());
}
