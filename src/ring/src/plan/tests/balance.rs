//! Few moves, even loads, at the right time.

use proptest::prelude::*;

use super::*;

const SLOTS: u16 = 512;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:02}")).collect()
}

/// `count` members, who have shared all slots among them for long.
fn settled(count: usize, slots: u16) -> World {
    let mut world = World::new(&"- ".repeat(usize::from(slots)), &names("m", count).join(" "));
    world.lead();
    world.pass(seconds(1000));
    assert_eq!(world.plan_by(LEADER), Plan::default());
    world
}

/// Lets members settle, drains and completes until nothing is left to do. Gives the moves.
fn settle(world: &mut World) -> usize {
    let mut moves = 0;
    for _ in 0..4 {
        moves += world.lead().begun;
        world.drain();
        world.pass(world.timing.update_quiet());
    }
    assert_eq!(world.plan_by(LEADER), Plan::default());
    moves
}

#[test]
fn joining_moves_few_slots_and_none_between_old_members() {
    for old in 1..20 {
        let mut world = settled(old, SLOTS);
        let before = world.ring.clone();
        world.set("new");
        let moves = settle(&mut world);
        assert!(moves * (old + 1) * 10 <= usize::from(SLOTS) * 11, "{old}: {moves}");
        assert_eq!(moves, world.ring.count(&named("new")));
        for (slot, owner) in &world.ring.owners {
            assert!(owner == &named("new") || before.owners[slot] == *owner, "{old}: {slot}");
        }
    }
}

#[test]
fn loads_are_even_whoever_came_and_went() {
    for members in 2..=20 {
        let mut world = settled(1, SLOTS);
        for name in names("m", members) {
            world.set(&name);
        }
        settle(&mut world);
        let counts = world.counts();
        let (max, total) = (counts.iter().max().unwrap(), counts.iter().sum::<usize>());
        assert_eq!(total, usize::from(SLOTS));
        assert!(max * members * 100 <= total * 105, "{members}: {counts:?}");
    }
}

#[test]
fn joins_settle_before_slots_are_balanced_but_not_for_ever() {
    let (mut world, mut begun) = (settled(1, 32), None);
    let joined = world.now;
    for name in names("n", 8) {
        world.set(&name);
        let plan = world.lead();
        if plan.begun > 0 {
            begun = world.now.checked_sub(joined);
            break;
        }
        let last = (world.now + seconds(3)).min(joined + seconds(5));
        assert_eq!(plan.again_at, Some(last), "{name}");
        world.pass(seconds(1));
    }
    assert_eq!(begun, Some(seconds(5)));
    // when one more joins later, then it settles for itself
    world.lead();
    world.drain();
    world.pass(seconds(2));
    world.set("late");
    assert_eq!(world.lead().again_at, Some(world.now + seconds(3)));
}

#[test]
fn a_single_join_settles_for_one_interval() {
    let mut world = settled(2, 9);
    world.set("new");
    let plan = world.lead();
    assert_eq!((plan.begun, plan.again_at), (0, Some(world.now + seconds(3))));
    world.pass(Duration::from_millis(2999));
    assert_eq!(world.lead().begun, 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.lead().begun, 3);
}

#[test]
fn joins_settle_together_if_one_follows_the_other_soon() {
    let mut world = World::new("-", "a");
    let mut note = |second: u64, member: &str| {
        world.set(member);
        world.now = seconds(second);
        world.plan_by(LEADER);
        world.changes.quiet_at(true, &world.timing).as_secs()
    };
    assert_eq!(note(1, "leaver:leaving"), 0);
    assert_eq!(note(10, "b"), 13);
    assert_eq!(note(11, "b"), 13);
    assert_eq!(note(13, "c"), 15);
    assert_eq!(note(17, "d"), 20);
    // when one began to leave meanwhile, then it has not joined
    assert_eq!(note(18, "leaver:leaving:acked=10"), 20);
}

#[test]
fn slots_are_not_balanced_while_others_move() {
    let mut world = World::new("a a a a a>b@5", "a b");
    assert_eq!(world.lead(), Plan::default());
    world.set("a:acked=5");
    assert!(world.complete("b"));
    assert_eq!(world.lead().begun, 1);
}

#[test]
fn slots_are_not_balanced_while_an_owner_is_unknown() {
    // given what x has will go to b without a move
    let mut world = World::new("a a x x", "a b");
    assert_eq!(world.lead(), Plan::default());
    world.set("x:sealed");
    assert_eq!(world.lead().begun, 0);
    assert_eq!(show(&world.ring), "a a b b");
}

#[test]
fn members_of_two_releases_are_balanced_when_they_have_been_quiet() {
    let mut world = World::new("a a a a", "a b:release=r2");
    world.pass(seconds(29));
    assert_eq!(world.lead().again_at, Some(seconds(30)));
    // when one begins to leave, and when it is gone, then it counts anew
    world.set("c:leaving");
    assert_eq!(world.lead().again_at, Some(seconds(59)));
    world.pass(seconds(10));
    world.set("c:released");
    assert_eq!(world.lead().again_at, Some(seconds(69)));
    world.pass(seconds(30));
    assert_eq!(world.lead().begun, 2);
    assert_eq!(show(&world.ring).matches(">b@").count(), 2);
}

#[test]
fn a_leaver_of_another_release_is_not_waited_for() {
    let mut world = World::new("a a", "a b c:leaving:release=r0");
    assert_eq!(world.lead().begun, 1);
}

#[test]
fn a_new_leader_takes_members_of_the_ring_for_settled_and_others_for_joining() {
    let mut world = World::new("a a a", "a b");
    assert_eq!(world.plan_by(LEADER).begun, 1);
    world.ring.members.remove(&named("b"));
    world.changes = Changes::new(&world.ring, world.now);
    assert_eq!(world.plan_by(LEADER).again_at, Some(seconds(3)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn balancing_takes_the_fewest_moves(owners in prop::collection::vec(0..6_usize, 1..40), members in 1..6_usize) {
        // given owners at random among members
        let all = names("m", members);
        let slots: Vec<&str> = owners.iter().map(|owner| all[owner % members].as_str()).collect();
        let mut world = World::new(&slots.join(" "), &all.join(" "));
        // when balanced
        let counts = world.counts();
        let begun = settle(&mut world);
        // then as many moved as were too many, and no more
        let (each, extra) = (slots.len() / members, slots.len() % members);
        let above: usize = counts.iter().map(|count| count.saturating_sub(each)).sum();
        let keep = extra.min(counts.iter().filter(|count| **count > each).count());
        prop_assert_eq!(begun, above - keep);
        let after = world.counts();
        prop_assert!(after.iter().max().unwrap() - after.iter().min().unwrap() <= 1, "{:?}", after);
    }
}
