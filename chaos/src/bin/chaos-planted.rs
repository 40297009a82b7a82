//! `make chaos-planted`: the simulation must catch every injected bug.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use booking_ring::injected_bugs::Bug as RingBug;
use bookings::decide::injected_bugs::Bug as DecisionBug;
use chaos::{
    checker::Invariant,
    report::{default_path, write_part},
    sim::{
        injected_bugs::{Bug, ModelBug, inject},
        plan::Plan,
        runner::{Job, Outcome, run, run_many},
        shrink::{describe, shrink},
    },
};
use clap::Parser;
use serde_json::json;

/// Runs the simulation with each injected bug. Fails unless every one is caught.
#[derive(Debug, Parser)]
struct Args {
    /// The largest number of seeds for each bug.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Runs only bugs whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Shows how each bug is caught.
    #[arg(long)]
    show: bool,
    /// The file of the report.
    #[arg(long, default_value_os_t = default_path())]
    report: PathBuf,
}

/// How a bug was caught: by which invariant, after how many runs.
struct Found {
    outcome: Option<Outcome>,
    runs: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Panics of runs are findings.
    std::panic::set_hook(Box::new(|_| {}));
    let bugs: Vec<Bug> = Bug::all().into_iter().filter(|bug| bug.to_string().contains(&args.only)).collect();
    let mut all_caught = 0;
    println!("{:<34}{:<24}{:>6}{:>9}", "bug", "caught by", "runs", "seconds");
    for bug in &bugs {
        let begun = Instant::now();
        let found = look_for(*bug, args.seeds);
        let violation = found.outcome.as_ref().and_then(|outcome| outcome.violation.as_ref());
        let how = violation.map_or("NOT CAUGHT", |violation| violation.invariant.as_str());
        let (name, runs, seconds) = (bug.to_string(), found.runs, begun.elapsed().as_secs());
        println!("{name:<34}{how:<24}{runs:>6}{seconds:>9}");
        all_caught += usize::from(violation.is_some());
        if let Some(outcome) = found.outcome.filter(|_| args.show) {
            inject(Some(*bug));
            println!("{}\n", describe(&outcome, &shrink(&outcome), 40));
            inject(None);
        }
    }
    println!("{all_caught} of {} injected bugs are caught", bugs.len());
    let part = json!({ "total": bugs.len(), "caught": all_caught });
    let written = write_part(&args.report, "planted", part);
    if let Err(error) = &written {
        eprintln!("chaos-planted: {}: {error}", args.report.display());
    }
    if written.is_ok() && all_caught == bugs.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn look_for(bug: Bug, seeds: u64) -> Found {
    let mut runs = 0;
    let mut first = 1;
    let mut outcome = None;
    while outcome.is_none() && first <= seeds {
        let job = Job { first, seeds: seeds + 1 - first, until_found: true, bug: Some(bug), talks: false };
        let summary = run_many(&job);
        runs += summary.stats.runs;
        let failing = summary.violations.keys();
        outcome = failing.copied().find_map(|seed| caught(bug, &Arc::new(Plan::of(seed))));
        first += summary.stats.runs;
    }
    Found { outcome, runs }
}

/// The run of a plan that fails with a bug, only with it, and because of what the bug does.
fn caught(bug: Bug, plan: &Arc<Plan>) -> Option<Outcome> {
    inject(Some(bug));
    let outcome = run(plan, false);
    inject(None);
    let fits = outcome.violation.as_ref().is_some_and(|violation| shows(bug, violation.invariant));
    (fits && run(plan, false).violation.is_none()).then_some(outcome)
}

/// Whether a violation is a bug's own doing. An unsafe ring also misses bookings and does not settle, but a checker
/// that sees only that has not seen the danger.
fn shows(bug: Bug, invariant: Invariant) -> bool {
    use Invariant as I;
    let unsafe_ring = [
        I::ActsWithoutPermit,
        I::TwoOwners,
        I::CallsOverlap,
        I::EndsWithCalls,
        I::LeaseCreatedTwice,
        I::OfAnotherRing,
    ];
    match bug {
        Bug::Ring(RingBug::SealsWithoutGate | RingBug::SealTooEarly) => {
            invariant == I::SealedAlive || unsafe_ring.contains(&invariant)
        }
        // A member with this bug owns nothing of the other ring, and keeps it closed for all.
        Bug::Ring(RingBug::IgnoresRingUid) => {
            invariant == I::NotConverged || unsafe_ring.contains(&invariant)
        }
        Bug::Ring(_) => unsafe_ring.contains(&invariant),
        Bug::Bookings(DecisionBug::FinishedClearsHold) => {
            matches!(invariant, I::HoldCleared | I::StoppedWhileBooked)
        }
        Bug::Bookings(DecisionBug::GrantTakenAway) => {
            matches!(invariant, I::GrantTakenAway | I::GrantsOverlap)
        }
        Bug::Model(ModelBug::LosesWakeUp) => invariant == I::Missed,
        Bug::Model(ModelBug::GainsWithoutReading) => {
            matches!(invariant, I::HoldCleared | I::StoppedWhileBooked | I::GrantsOverlap | I::StateWentBack)
        }
    }
}
