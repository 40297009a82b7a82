//! Each rule for itself.

use super::*;

/// What a leader writes, balancing apart: members have come just before the second that it waits until it
/// stands in for next owners.
fn written(slots: &str, members: &str) -> String {
    let mut world = World::new(slots, members);
    world.changes = Changes::new(&Ring::default(), Duration::ZERO);
    world.plan_by(LEADER);
    world.pass(seconds(1));
    world.plan_by(LEADER).ring.map_or("nothing".to_owned(), |ring| show(&ring))
}

fn check(cases: &[(&str, &str, &str, &str)]) {
    for (name, slots, members, expected) in cases {
        assert_eq!(&written(slots, members), expected, "{name}: {slots} with {members}");
    }
}

#[test]
fn orphans_go_at_once_to_the_least_loaded() {
    check(&[
        ("all at first", "- - - -", "a", "a a a a"),
        ("by turns", "- - - -", "a b", "a b a b"),
        ("to who has least", "a a - -", "a b", "a a b b"),
        ("of a sealed one", "c c a", "a b c:sealed", "b a a"),
        ("of a released one", "c a", "a b c:released", "b a"),
        ("moves count", "a a>b@5 -", "a b c", "a a>b@5 c"),
        ("moves away count", "a a>c@5 b b -", "a b c d:leaving", "a a>c@5 b b a"),
        ("first to who was to get it", "c>a@5 a", "a b c:sealed", "a a"),
        ("unless it goes", "c>a@5 a", "a:leaving b c:sealed", "b a>b@11"),
        ("not to leavers", "- a", "a:leaving b", "b a>b@11"),
        ("not to those told to leave", "- a", "a:told b", "b a>b@11"),
        ("not to those of other rings", "- a", "a b:foreign", "a a"),
        (
            "after the leavers' slots",
            "c c c c - - b b",
            "b c:leaving d:release=r2",
            "c>d@11 c>d@11 c>d@11 c>d@11 b b b b",
        ),
        ("a move of nobody's", "->b@5", "a b", "b"),
        ("to leavers where nobody else is", "c c>b@5 -", "a:leaving b:sealed c:sealed", "a a a"),
        ("to nobody", "c c>b@5 -", "a:told b:sealed c:sealed", "- - -"),
    ]);
}

#[test]
fn nothing_is_taken_from_an_owner_whose_lease_is_missing() {
    check(&[
        ("no Lease", "b b a", "a", "nothing"),
        ("a Lease of another ring", "b b a", "a b:foreign", "nothing"),
        ("a sealed Lease of another ring", "b b a", "a b:foreign:sealed", "nothing"),
        ("an acknowledgement in another ring", "b>a@5", "a b:foreign:acked=9", "nothing"),
        ("on its way", "b>a@5", "a", "nothing"),
        ("on its way to nobody", "b>c@5", "a", "nothing"),
    ]);
}

#[test]
fn leavers_keep_their_slots_until_the_next_owner_is_ready() {
    check(&[
        ("leaving", "a a b", "a:leaving b", "a>b@11 a>b@11 b"),
        ("told to leave", "a a b", "a:told b", "a>b@11 a>b@11 b"),
        ("to several", "a a a", "a:leaving b c", "a>b@11 a>c@11 a>b@11"),
        ("to nobody", "a a", "a:leaving", "nothing"),
        ("to nobody but leavers", "a b", "a:leaving b:told", "nothing"),
        ("named already", "a>b@5", "a:leaving b c", "nothing"),
    ]);
}

#[test]
fn leavers_hand_over_to_the_newest_release() {
    check(&[
        ("the newer one", "a a b", "a:leaving b c:release=r2:created=101", "a>c@11 a>c@11 b"),
        ("whatever its name", "a a b", "a:leaving b c:release=r0:created=101", "a>c@11 a>c@11 b"),
        // b was started anew after c, but a is the oldest of their release, even as it leaves
        (
            "of which nobody is old",
            "a a b",
            "a:leaving b:created=300 c:release=r2:created=200",
            "a>c@11 a>c@11 b",
        ),
        (
            "of those that are not over",
            "a a b",
            "a:leaving:release=r2:created=200 b:created=300 c:release=r2:created=250 d:sealed:created=1",
            "a>b@11 a>b@11 b",
        ),
        ("of those that stay", "a b", "a:leaving b c:release=r2:created=200:leaving", "a>b@11 b"),
        ("undated is new", "a b c", "a:leaving b:created=0:release=r0 c", "a>b@11 b c"),
        ("two of one second", "a b c", "a:leaving b:release=r2 c", "a>b@11 b c"),
    ]);
}

#[test]
fn a_move_goes_on_to_whom_it_was_begun_for_as_long_as_that_one_stays() {
    check(&[
        ("running", "a>b@5 b b c", "a b c:acked=9", "nothing"),
        ("its owner works on", "a>b@5", "a b:sealed c", "a"),
        ("even if it has drained", "a>b@5", "a:acked=5 b:leaving c", "a"),
        ("even if nobody else is there", "a>b@5", "a b:told", "a"),
        ("gone without a Lease", "a>b@5", "a c", "a"),
        ("a leaver's begins anew", "a>b@5", "a:leaving b:sealed c", "a>c@11"),
        ("a drained leaver's is complete", "a>b@5", "a:leaving:acked=5 b:sealed c", "c"),
        ("a draining leaver's is not", "a>b@5", "a:leaving:acked=5:draining=0 b:sealed c", "a>c@11"),
        ("a leaver without anybody works on", "a>b@5", "a:leaving b:sealed", "a"),
        ("drained or not", "a>b@5", "a:leaving:acked=7 b:leaving", "a"),
    ]);
}

#[test]
fn a_move_is_complete_once_its_owner_has_acknowledged_its_epoch() {
    check(&[
        ("acknowledged", "a>b@5", "a:acked=5 b", "b"),
        ("a later epoch", "a>b@5", "a:acked=9 b", "b"),
        ("an earlier epoch", "a>b@5", "a:acked=4 b", "nothing"),
        ("each by itself", "a>b@5 a>b@7", "a:acked=6 b", "b a>b@7"),
        ("but what is draining", "a>b@5 a>b@5", "a:acked=5:draining=1 b", "b a>b@5"),
        ("told to leave or not", "a>b@5", "a:acked=5:told b", "b"),
    ]);
}

#[test]
fn an_owner_whose_move_is_cancelled_may_work_on() {
    let mut world = World::new("a>b@5", "a:acked=5 b:sealed");
    assert_eq!(world.ring.workable(&named("a")).count(), 0);
    world.lead();
    assert_eq!(world.ring.workable(&named("a")).count(), 1);
    // when its slot is moved again, then what it acknowledged before is worth nothing
    world.set("a:leaving:acked=10");
    world.set("c");
    world.lead();
    world.pass(seconds(9));
    world.lead();
    assert_eq!(show(&world.ring), "a>c@12");
    world.set("a:leaving:acked=12");
    assert!(world.complete("c"));
    assert_eq!(show(&world.ring), "c");
}

#[test]
fn the_leader_stands_in_for_a_next_owner_that_takes_its_time() {
    let mut world = World::new("a>b@5 a>c@7", "a:acked=5 b c");
    assert_eq!(world.plan_by(LEADER), Plan { again_at: Some(seconds(1)), ..Plan::default() });
    // when another move is acknowledged later, then it has a second of its own
    world.pass(Duration::from_millis(400));
    world.set("a:acked=7");
    assert_eq!(world.plan_by(LEADER).again_at, Some(seconds(1)));
    world.pass(Duration::from_millis(600));
    let plan = world.lead();
    assert_eq!((show(&world.ring).as_str(), plan.begun), ("b a>c@7", 0));
    assert_eq!(plan.again_at, Some(Duration::from_millis(1400)));
    // when the leader is the next owner itself, then it waits for nobody
    assert_eq!(show(&world.plan_by("c").ring.unwrap()), "b c");
}

#[test]
fn of_one_move_the_leader_stands_in_for_each_slot_in_its_own_time() {
    let mut world = World::new("a>b@5 a>b@5", "a:acked=5:draining=1 b");
    assert_eq!(world.plan_by(LEADER).again_at, Some(seconds(1)));
    world.pass(Duration::from_millis(400));
    world.set("a:acked=5");
    assert_eq!(world.plan_by(LEADER).again_at, Some(seconds(1)));
    world.pass(Duration::from_millis(600));
    assert_eq!(world.lead().again_at, Some(Duration::from_millis(1400)));
    assert_eq!(show(&world.ring), "b a>b@5");
}

#[test]
fn a_next_owner_takes_what_it_may_have_and_nothing_else() {
    for (name, slots, members, expected) in [
        ("acknowledged", "b>a@5 b>a@6 b", "a b:acked=5", Some("a b>a@6 b")),
        ("another's", "b>c@5", "a b:acked=5 c", None),
        ("not acknowledged", "b>a@5", "a b:acked=4", None),
        ("draining", "b>a@5 b>a@5", "a b:acked=5:draining=0", Some("b>a@5 a")),
        ("draining, but over", "b>a@5", "a b:sealed:acked=5:draining=0", Some("a")),
        ("an owner that is over", "b>a@5 b", "a b:sealed", Some("a b")),
        ("no owner", "->a@5", "a", Some("a")),
        ("no Lease", "b>a@5", "a", None),
        ("a Lease of another ring", "b>a@5", "a b:foreign:sealed:acked=9", None),
        ("leaving itself", "b>a@5", "a:leaving b:acked=5", None),
        ("told to leave", "b>a@5", "a:told b:acked=5", None),
        ("of another ring", "b>a@5", "a:foreign b:acked=5", None),
        ("sealed itself", "b>a@5", "a:sealed b:acked=5", None),
    ] {
        let world = World::new(slots, members);
        let next = complete(&world.ring, &world.peers(), &named("a"));
        assert_eq!(next.as_ref().map(show).as_deref(), expected, "{name}");
        if let Some(next) = next {
            assert_eq!(next.epoch, 11);
            // all else stays
            let rest = Ring {
                epoch: 10,
                owners: world.ring.owners.clone(),
                moves: world.ring.moves.clone(),
                ..next
            };
            assert_eq!(rest, world.ring);
        }
    }
}

#[test]
fn a_ring_that_is_not_open_gets_members_but_no_owners() {
    let mut world = World::new("- ->a@5", "a b:release=r2 c:sealed d:foreign e:leaving");
    world.ring = Ring { open: false, members: BTreeMap::new(), leader: None, ..world.ring };
    assert_eq!(complete(&world.ring, &world.peers(), &named("a")), None);
    world.lead();
    assert_eq!(show(&world.ring), "- ->a@5");
    assert_eq!((world.ring.epoch, world.ring.open), (11, false));
    assert_eq!(world.ring.leader, Some(named(LEADER)));
    let members: Vec<(&str, &str)> =
        world.ring.members.iter().map(|(member, release)| (member.as_str(), &**release)).collect();
    assert_eq!(members, [("a", "r1"), ("b", "r2"), ("e", "r1")]);
}

#[test]
fn the_ring_speaks_what_all_its_members_understand() {
    for (members, expected) in [
        ("a:protocol=3 b:protocol=2", 2),
        ("a:protocol=3 b:protocol=2:sealed", 3),
        ("a:protocol=3 b:protocol=2:foreign", 3),
        ("a:protocol=3 b:protocol=2:leaving", 2),
        ("a:protocol=0 b", 1),
    ] {
        let mut world = World::new("-", members);
        world.lead();
        assert_eq!(world.ring.protocol, expected, "{members}");
    }
    // when nobody is there, then it stays
    let mut world = World::new("-", "");
    world.ring.protocol = 4;
    world.lead();
    assert_eq!(world.ring.protocol, 4);
}

#[test]
fn a_ring_that_is_as_it_should_be_is_not_written() {
    let mut world = World::new("a b a", "a b");
    assert_eq!(world.plan_by(LEADER), Plan::default());
    // when another one leads, then that is written
    let ring = world.plan_by("a").ring.unwrap();
    assert_eq!((ring.epoch, ring.leader), (11, Some(named("a"))));
}

#[cfg(feature = "injected-bugs")]
#[test]
fn injected_bugs_break_one_rule_each() {
    let bugs = [
        (Bug::AckOfAnyEpoch, "b a>b@5", "a:acked=1 b"),
        (Bug::IgnoresDraining, "a>b@5", "a:acked=5:draining=0 b"),
        (Bug::AbsenceIsDeath, "c a>b@5", "a b"),
        (Bug::LeaseOfAnyRing, "d a>b@5", "a b d:foreign:sealed"),
    ];
    for (bug, slots, members) in bugs {
        assert_eq!(written(slots, members), "nothing");
        crate::injected_bugs::inject(Some(bug));
        let with_bug = written(slots, members);
        let without_ack = written("a>b@5", "a b");
        crate::injected_bugs::inject(None);
        assert_ne!(with_bug, "nothing", "{bug:?}");
        assert_eq!(without_ack, "nothing", "{bug:?}");
    }
}
