//! The simulation itself: that it repeats itself, and what it says of a ring that nothing disturbs.

use std::sync::Arc;

use super::{
    plan::{Noise, Plan},
    runner::{Outcome, run},
};
use crate::{
    MINUTE, SECOND,
    faults::{Fault, FaultKind},
};

fn calm(replicas: usize, slots: u16, faults: &[(u64, FaultKind)]) -> Outcome {
    let fault = |(at, kind): &(u64, FaultKind)| Fault { kind: *kind, at: at * SECOND, lasts: 0, target: 0 };
    let faults = faults.iter().map(fault).collect();
    let mut plan = Plan::with(1, replicas, slots, Noise::NONE, faults);
    plan.acts.clear();
    let outcome = run(&Arc::new(plan), true);
    assert_eq!(outcome.violation, None, "{:#?}", outcome.history);
    outcome
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let plan = Arc::new(Plan::of(5));
    let (one, other) = (run(&plan, true), run(&plan, true));
    assert_eq!(one.history, other.history);
    assert_eq!(one.stats.events, other.stats.events);
}

#[test]
fn a_rolling_update_of_three_replicas_moves_no_slot_twice() {
    let outcome = calm(3, 64, &[(90, FaultKind::Rollout)]);
    assert_eq!(
        outcome.stats.rollout_moves.keys().copied().collect::<Vec<_>>(),
        [1],
        "{:#?}",
        outcome.history
    );
    assert!(outcome.stats.seals == 0 && outcome.stats.lapses == 0);
}

#[test]
fn a_ring_at_rest_costs_its_renewals_and_nothing_else() {
    // given three replicas for ten minutes, of which the ring forms in the first
    let outcome = calm(3, 64, &[]);
    let seconds = 10.0 * 60.0;
    // then each writes every 3 s, the leader twice that, and nobody reads
    let writes = f64::from(u32::try_from(outcome.stats.ring_requests.writes).unwrap()) / seconds;
    assert!(writes <= 2.0 * 0.35 + 0.70, "{writes} writes in a second");
    assert!(outcome.stats.ring_requests.reads <= 12, "{:?}", outcome.stats.ring_requests);
    assert!(outcome.stats.time >= 10 * MINUTE);
}
