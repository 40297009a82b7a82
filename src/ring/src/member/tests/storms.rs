//! Members under random trouble: under all of it no slot is worked on by two (which the world checks
//! after each event), and when it is over all come to rest.

use std::time::Duration;

use proptest::prelude::*;

use super::{secs, world::World};

/// Something that happens to one of the members.
#[derive(Clone, Debug)]
enum Trouble {
    /// It is killed, and another one starts.
    Killed,
    /// It leaves, and another one starts.
    Leaves,
    /// It cannot reach the store for a while.
    CutOff(u64),
    /// Replies to it get lost for a while, after their effect.
    LosesReplies(u64),
    /// What it watches stands still for a while.
    Stalled(u64),
    /// Its Lease is deleted.
    LeaseDeleted,
    /// The leader's Lease is deleted.
    LeadDeleted,
    /// It begins calls for so many of its slots, and a few of them are given up.
    Calls(usize, usize),
    /// Its wall clock is set forward.
    SetForward(u64),
    /// Nothing.
    Calm(u64),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::Killed),
        Just(Trouble::Leaves),
        (1_u64..25).prop_map(Trouble::CutOff),
        (1_u64..25).prop_map(Trouble::LosesReplies),
        (1_u64..25).prop_map(Trouble::Stalled),
        Just(Trouble::LeaseDeleted),
        Just(Trouble::LeadDeleted),
        (1_usize..12, 0_usize..3).prop_map(|(begun, given_up)| Trouble::Calls(begun, given_up)),
        (1_u64..20).prop_map(Trouble::SetForward),
        (0_u64..20).prop_map(Trouble::Calm),
    ]
}

fn happens(world: &mut World, trouble: &Trouble, name: &str) {
    match trouble {
        Trouble::Killed => {
            world.kill(name);
            world.start_another();
        }
        Trouble::Leaves => {
            world.stop(name);
            world.start_another();
        }
        Trouble::CutOff(seconds) => {
            world.cut_off(name);
            world.run(secs(*seconds));
            world.reconnect(name);
        }
        Trouble::LosesReplies(seconds) => {
            world.lose_replies(name, true);
            world.run(secs(*seconds));
            world.lose_replies(name, false);
        }
        Trouble::Stalled(seconds) => {
            world.stall_watch(name);
            world.run(secs(*seconds));
            world.reconnect(name);
        }
        Trouble::Calls(begun, given_up) => {
            for (_, call) in world.begin_calls(name, *begun).into_iter().take(*given_up) {
                world.cancel_call(name, call);
            }
            // What follows meets them.
            return;
        }
        Trouble::SetForward(seconds) => world.set_forward(name, secs(*seconds)),
        Trouble::LeaseDeleted => world.delete_lease(name),
        Trouble::LeadDeleted => world.delete_lead(),
        Trouble::Calm(seconds) => world.run(secs(*seconds)),
    }
    world.run(Duration::from_millis(300));
    world.follow_the_ended();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_whatever_trouble_the_ring_comes_to_rest_evenly_shared(
        troubles in prop::collection::vec((trouble(), 0_usize..3), 1..12),
    ) {
        let mut world = super::three();
        for (trouble, index) in &troubles {
            let names = world.running();
            if let Some(name) = names.get(index % names.len().max(1)) {
                happens(&mut world, trouble, &name.clone());
            }
        }
        // A member that lapsed too often rests for five minutes.
        for _ in 0..36 {
            world.run(secs(10));
            world.follow_the_ended();
        }
        let shares: Vec<usize> = world.shares().into_iter().map(|(_, count)| count).collect();
        let even = shares.iter().all(|share| (12 / shares.len()..=12_usize.div_ceil(shares.len())).contains(share));
        prop_assert!(even && shares.iter().sum::<usize>() == 12, "{:?}", shares);
        let (writes, reads) = world.requests();
        world.run(secs(60));
        let after = world.requests();
        prop_assert_eq!(after.1 - reads, 0, "nobody reads any more");
        prop_assert!(after.0 - writes <= 20 * (shares.len() + 1) + 2, "{} writes", after.0 - writes);
        prop_assert!(world.leases() <= shares.len(), "what is over is collected");
    }
}
