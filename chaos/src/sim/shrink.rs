//! Shrinks a failing run: it leaves out what the violation does not need.

use std::sync::Arc;

use super::{
    plan::{Noise, Plan},
    runner::{Outcome, run},
};

/// The largest number of runs for one failing seed.
const TRIES: usize = 80;

/// Leaves out noise and faults, one at a time, while the same invariant is violated. Returns the last such run, with
/// its history.
pub fn shrink(failing: &Outcome) -> Outcome {
    let Some(violation) = &failing.violation else { return failing.clone() };
    let fails = |plan: &Arc<Plan>| {
        run(plan, false).violation.is_some_and(|found| found.invariant == violation.invariant)
    };
    let mut plan = failing.plan.clone();
    let mut tries = 0;
    let calm = Arc::new(Plan { noise: Noise::NONE, ..plan.as_ref().clone() });
    if fails(&calm) {
        plan = calm;
    }
    let mut place = 0;
    while place < plan.faults.len() && tries < TRIES {
        tries += 1;
        let mut fewer = plan.as_ref().clone();
        fewer.faults.remove(place);
        let fewer = Arc::new(fewer);
        if fails(&fewer) {
            plan = fewer;
        } else {
            place += 1;
        }
    }
    run(&plan, true)
}

/// Describes a failing run for people: the violation, the remaining faults, the last lines, and how to see it again.
pub fn describe(failing: &Outcome, small: &Outcome, history: usize) -> String {
    let mut lines = Vec::new();
    let seed = failing.plan.seed;
    if let Some(violation) = &failing.violation {
        lines.push(format!("seed {seed} violates {violation}"));
    }
    lines.push(format!(
        "left after shrinking ({} of {} faults):",
        small.plan.faults.len(),
        failing.plan.faults.len()
    ));
    lines.extend(small.plan.faults.iter().map(ToString::to_string));
    lines.push(format!("noise: {:?}", small.plan.noise));
    lines.push("the end of its history:".to_owned());
    lines.extend(last(&small.history, history).iter().cloned());
    if let Some(violation) = &small.violation {
        lines.push(format!("=> {violation}"));
    }
    lines.push(format!("again: make chaos-sim SEED={seed}"));
    lines.join("\n")
}

/// The last lines of a history.
pub fn last(history: &[String], lines: usize) -> &[String] {
    history.get(history.len().saturating_sub(lines)..).unwrap_or(history)
}
