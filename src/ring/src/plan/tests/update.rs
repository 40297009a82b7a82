//! A rolling update as Kubernetes does it (maxSurge 1, maxUnavailable 0).

use super::*;

const SLOTS: usize = 512;

/// Lets time pass in steps of a second, members and leader doing what is theirs. Counts the moves of
/// each slot.
fn run(world: &mut World, time: Duration, moved: &mut BTreeMap<Slot, usize>) {
    let end = world.now + time;
    while world.now < end {
        let before = world.ring.owners.clone();
        world.lead();
        world.drain();
        for (slot, owner) in &world.ring.owners {
            if before.get(slot) != Some(owner) {
                *moved.entry(*slot).or_default() += 1;
            }
        }
        world.pass(seconds(1));
    }
}

/// Replaces `old` by `new`, one after another. A member's Lease is created when it starts; it is ready 5 s
/// later, and one that leaves goes when it has nothing left.
fn update(world: &mut World, old: &[&str], new: &[&str], release: &str) -> BTreeMap<Slot, usize> {
    let mut moved = BTreeMap::new();
    for (leaver, joiner) in old.iter().zip(new) {
        let created = world.now.as_secs() + 1000;
        world.set(&format!("{joiner}:release={release}:created={created}"));
        run(world, seconds(5), &mut moved);
        world.leases.get_mut(&named(leaver)).unwrap().standing = Standing::Leaving;
        run(world, seconds(2), &mut moved);
        assert_eq!(world.ring.count(&named(leaver)), 0);
        world.leases.get_mut(&named(leaver)).unwrap().standing = Standing::Released;
        run(world, seconds(1), &mut moved);
        world.leases.remove(&named(leaver));
    }
    run(world, seconds(40), &mut moved);
    moved
}

fn three() -> World {
    let mut world = World::new(&"- ".repeat(SLOTS), "a b c");
    run(&mut world, seconds(100), &mut BTreeMap::new());
    world
}

#[test]
fn a_rolling_update_moves_each_slot_exactly_once() {
    let mut world = three();
    let moved = update(&mut world, &["a", "b", "c"], &["x", "y", "z"], "r2");
    assert_eq!(moved.len(), SLOTS);
    assert!(moved.values().all(|times| *times == 1), "{moved:?}");
    assert_eq!(world.counts(), [171, 171, 170]);
}

#[test]
fn an_update_that_is_rolled_back_hands_over_to_the_release_it_goes_back_to() {
    let mut world = three();
    let moved = update(&mut world, &["a", "b", "c"], &["x", "y", "z"], "r2");
    assert_eq!(moved.len(), SLOTS);
    let moved = update(&mut world, &["x", "y", "z"], &["d", "e", "f"], "r1");
    assert_eq!(moved.len(), SLOTS);
    assert!(moved.values().all(|times| *times == 1), "{moved:?}");
}

#[test]
fn a_leader_that_is_replaced_amid_an_update_moves_nothing_twice() {
    let mut world = three();
    let mut moved = update(&mut world, &["a"], &["x"], "r2");
    // given b and c are still of the release before, and have been quiet for long: all is even
    assert_eq!(world.counts(), [171, 170, 171]);
    world.changes = Changes::new(&world.ring, world.now);
    for (slot, times) in update(&mut world, &["b", "c"], &["y", "z"], "r2") {
        *moved.entry(slot).or_default() += times;
    }
    assert!(moved.values().all(|times| *times == 1), "{moved:?}");
}
