//! A member beside other rings.

use std::{sync::Arc, time::Duration};

use expect_test::expect_file;

use super::{answered, identity, ops, secs, world::World};
use crate::{
    claim::{Claim, Neighbour, RingName, Scope},
    member::{Identity, Member},
    neighbours::Claimant,
    protocol::{Answer, End, Event, Op, RequestId, Story},
    record::{Incarnation, MemberLease, Ring, Standing, Stored},
    time::Stamp,
    timing::Timing,
};

const THEIRS: &str = "replica x of ring ns/theirs works on family bookings for all namespaces";

fn ring(name: &str) -> RingName {
    RingName { namespace: "ns".into(), name: name.into() }
}

fn claim() -> Claim {
    Claim { families: ["bookings".into()].into(), scope: Scope::All, dry_run: false, sees_all: true }
}

fn claimant(name: &str) -> Claimant {
    Claimant { ring: ring(name), claim: claim() }
}

/// Another ring's member, which renews.
struct Other {
    ring: &'static str,
    counter: u64,
    standing: Standing,
    claim: Option<Claim>,
}

impl Other {
    fn of(ring: &'static str) -> Self {
        Self { ring, counter: 1, standing: Standing::Active, claim: Some(claim()) }
    }

    /// It says where it stands, if it does so still.
    fn shows(&mut self, world: &mut World, standing: Standing) {
        self.counter += 1;
        self.standing = standing;
        let Identity { incarnation, release, protocol, .. } = identity("x");
        let lease = MemberLease {
            incarnation,
            ring: "uid".into(),
            duration: secs(15),
            call: None,
            counter: self.counter,
            applied: 0,
            acked: 0,
            draining: [].into(),
            standing: self.standing,
            told_to_leave: false,
            container: None,
            protocol,
            release,
            created: 0,
            payload: "".into(),
            claim: self.claim.clone().map(Arc::new),
        };
        let lease = Stored { uid: "other".into(), version: self.counter, value: Arc::new(lease) };
        world.set_neighbours(&[Neighbour { ring: ring(self.ring), lease }]);
    }

    /// It renews for so many times 3 s.
    fn renews(&mut self, world: &mut World, times: usize) {
        for _ in 0..times {
            self.shows(world, Standing::Active);
            world.run(secs(3));
        }
    }
}

/// A member that owns everything.
fn at_work(ring: &str) -> World {
    let mut world = World::new(12);
    world.start_beside_others("a", claimant(ring));
    world.run(secs(20));
    assert_eq!(world.shares(), [("a", 12)]);
    assert!(world.look("a").0.is_in_ring());
    world
}

#[test]
fn a_member_checks_before_it_joins_and_before_it_works_and_then_once_a_minute() {
    let mut world = World::new(12);
    world.start_beside_others("a", claimant("mine"));
    world.run(secs(1));
    expect_file!["stories/beside_nobody.txt"].assert_eq(&world.transcript());
    world.run(secs(60));
    let (_, before) = world.requests();
    world.run(secs(600));
    assert_eq!(world.requests().1 - before, 10);
}

#[test]
fn beside_a_ring_at_work_it_does_not_join_and_says_why_until_that_one_has_gone() {
    // given a ring at work
    let mut world = World::new(12);
    let mut other = Other::of("theirs");
    other.shows(&mut world, Standing::Active);
    // when a member of another one starts, then it is none, and says why once
    world.start_beside_others("a", claimant("mine"));
    other.renews(&mut world, 20);
    assert_eq!((world.leases(), world.ended("a")), (0, None));
    assert!(world.told("a", &Story::GivesWay(THEIRS.into())));
    assert_eq!(world.look("a").0.conflict(), Some(THEIRS));
    assert_eq!(world.transcript().matches("GivesWay").count(), 1);
    // when that one has gone in order, then it joins with its next check
    other.shows(&mut world, Standing::Released);
    world.run(secs(3));
    assert!(world.look("a").0.is_in_ring() && world.look("a").0.conflict().is_none());
    world.run(secs(16));
    assert_eq!(world.shares(), [("a", 12)]);
}

#[test]
fn beside_a_ring_that_was_killed_it_joins_after_the_lease() {
    let mut world = World::new(12);
    let mut other = Other::of("theirs");
    other.shows(&mut world, Standing::Active);
    world.start_beside_others("a", claimant("mine"));
    world.run(secs(14));
    assert_eq!(world.leases(), 0);
    world.run(secs(2));
    assert!(world.look("a").0.is_in_ring());
    // The Lease that nobody removes is in nobody's way again: not after a lapse,
    world.run(secs(16));
    world.cut_off("a");
    world.run(secs(10));
    world.reconnect("a");
    world.run(secs(1));
    assert_eq!(world.shares(), [("a", 12)]);
    // and not in that of the next incarnation.
    world.delete_lease("a");
    world.run(secs(3));
    assert_eq!(world.ended("a"), Some(End::LeaseGone));
    world.follow("a", "a2");
    world.run(secs(2));
    assert!(world.look("a2").0.has_joined());
}

#[test]
fn an_outage_does_not_make_a_ring_at_work_look_silent() {
    let mut world = World::new(12);
    let mut other = Other::of("theirs");
    other.shows(&mut world, Standing::Active);
    world.start_beside_others("a", claimant("mine"));
    world.run(secs(4));
    world.cut_off("a");
    world.run(secs(60));
    world.reconnect("a");
    world.run(secs(10));
    assert_eq!(world.leases(), 0);
    other.renews(&mut world, 10);
    assert_eq!(world.leases(), 0);
}

#[test]
fn one_that_cannot_see_its_neighbours_does_not_work_again_after_a_lapse() {
    // given a member whose permit has lapsed
    let mut world = at_work("mine");
    world.cut_off("a");
    world.run(secs(9));
    // when all but its checks are answered again
    world.reconnect("a");
    world.cut_off_from_neighbours("a");
    world.run(secs(4));
    // then it is renewed and owns nothing
    assert!(world.look("a").0.left(world.look("a").1) > Duration::ZERO);
    assert_eq!(world.permitted("a"), 0);
    assert!(!world.look("a").0.is_in_ring());
    // and it works again after a check
    world.reconnect("a");
    world.run(secs(2));
    assert_eq!(world.permitted("a"), 12);
}

#[test]
fn one_that_cannot_see_its_neighbours_does_not_join() {
    // given a process that knows the ring
    let now = Stamp::all(secs(1000));
    let member = Member::new(identity("a"), Timing::default(), 4, now).beside_others(claimant("mine"));
    let mut asks = Asks(member);
    let read = asks.after(Event::Tick, now).unwrap().0;
    let ring = Stored { uid: "ring".into(), version: 1, value: Arc::new(Ring::new(4)) };
    let (check, op) = asks.after(answered(read, Answer::Ring(ring)), now).unwrap();
    assert_eq!(op, Op::ListNeighbours);
    // when its check fails, then it does not join, and checks again
    assert_eq!(asks.after(answered(check, Answer::Failed), now), None);
    let (check, op) = asks.after(Event::Tick, Stamp::all(secs(1001))).unwrap();
    assert_eq!(op, Op::ListNeighbours);
    let nobody = Answer::Neighbours { members: vec![], sees_all: true };
    let (_, op) = asks.after(answered(check, nobody), Stamp::all(secs(1001))).unwrap();
    assert!(matches!(op, Op::CreateMember(_)), "{op:?}");
}

/// A member that asks for one thing at a time.
struct Asks(Member);

impl Asks {
    fn after(&mut self, event: Event, now: Stamp) -> Option<(RequestId, Op)> {
        let asked = ops(self.0.handle(event, now));
        assert!(asked.len() <= 1, "{asked:?}");
        asked.into_iter().next()
    }
}

#[test]
fn one_whose_permit_lapsed_gives_way_to_a_ring_that_began_meanwhile() {
    let mut world = at_work("mine");
    world.cut_off("a");
    world.run(secs(16));
    let mut other = Other::of("theirs");
    other.shows(&mut world, Standing::Active);
    world.transcript();
    world.reconnect("a");
    other.renews(&mut world, 3);
    assert_eq!(world.ended("a"), Some(End::GaveWay));
    assert_eq!(world.transcript().matches("gains").count(), 0, "it has not worked again");
    // and its next incarnation waits
    world.follow("a", "a2");
    assert_eq!(world.look("a2").0.conflict(), Some(THEIRS), "before its first check");
    other.renews(&mut world, 10);
    assert_eq!((world.permitted("a2"), world.standing("a2")), (0, None));
    assert_eq!(world.look("a2").0.conflict(), Some(THEIRS));
}

#[test]
fn the_smaller_one_at_work_stays_and_the_larger_one_hands_over_and_goes() {
    for (mine, stays) in [("a-ring", true), ("z-ring", false)] {
        // given a member at work with a call under way, and another ring that works, too
        let mut world = at_work(mine);
        world.run(secs(38));
        let mut other = Other::of("theirs");
        other.renews(&mut world, 2);
        assert_eq!(world.permitted("a"), 12, "it was seen once");
        let (_, call) = world.begin_call("a");
        // when it has seen that renew
        other.renews(&mut world, 1);
        // then it works no more if it is the larger one, and ends when its call has
        assert_eq!(world.permitted("a"), if stays { 12 } else { 0 }, "{mine}");
        assert_eq!(world.look("a").0.conflict().is_none(), stays);
        assert_eq!(world.ended("a"), None);
        world.end_call("a", call);
        assert_eq!(world.ended("a"), (!stays).then_some(End::GaveWay));
        assert_eq!(world.standing("a"), Some(if stays { Standing::Active } else { Standing::Released }));
    }
}

#[test]
fn one_at_work_gives_way_to_release_0_1_0_and_comes_back_when_that_has_gone() {
    let mut world = at_work("a-ring");
    let mut other = Other { claim: None, ..Other::of("theirs") };
    other.renews(&mut world, 24);
    assert_eq!(world.ended("a"), Some(End::GaveWay));
    world.follow("a", "a2");
    other.renews(&mut world, 3);
    assert_eq!(world.permitted("a2"), 0);
    other.shows(&mut world, Standing::Released);
    world.run(secs(4));
    assert_eq!(world.shares(), [("a2", 12)]);
}

#[test]
fn members_of_one_ring_hand_over_to_each_other_until_the_last_one_gives_way() {
    // given two members of the larger ring, of which the second joined half a minute later
    let mut world = at_work("z-ring");
    world.run(secs(10));
    world.start_beside_others("b", claimant("z-ring"));
    world.run(secs(10));
    assert_eq!(world.shares(), [("a", 6), ("b", 6)]);
    // when another ring works, too, then each finds that out at its own time
    let mut other = Other::of("theirs");
    let mut ended = vec![];
    for _ in 0..30 {
        other.renews(&mut world, 1);
        ended.push(["a", "b"].map(|name| world.ended(name).is_some()));
    }
    assert!(ended.contains(&[true, false]), "{ended:?}");
    assert_eq!(["a", "b"].map(|name| world.ended(name)), [Some(End::GaveWay); 2]);
}

#[test]
fn one_that_waits_ends_at_once_when_it_is_stopped() {
    let mut world = World::new(12);
    Other::of("theirs").shows(&mut world, Standing::Active);
    world.start_beside_others("a", claimant("mine"));
    world.run(secs(1));
    world.event("a", Event::Stop);
    assert_eq!(world.ended("a"), Some(End::Left));
}

#[test]
fn a_member_tells_what_it_works_on_and_its_placeholder_for_another_one_too() {
    let mut world = at_work("mine");
    world.start_beside_others("b", claimant("mine"));
    world.run(secs(10));
    let claims = |world: &World| -> Vec<Option<Claim>> { world.claims() };
    assert_eq!(claims(&world), [Some(claim()), Some(claim())]);
    // when the Lease of one that is cut off is deleted, then the other one creates one in its name
    world.cut_off("b");
    world.delete_lease("b");
    world.run(secs(5));
    assert_eq!(world.standing("b"), Some(Standing::Active));
    assert_eq!(claims(&world), [Some(claim()), Some(claim())]);
    assert_eq!(world.look("a").0.incarnation(), &Incarnation::new("a"));
}
