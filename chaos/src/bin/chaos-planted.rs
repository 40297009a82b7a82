//! `make chaos-planted`: every bug that is put in on purpose must be caught.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use chaos::{
    checker::Violation,
    report::{default_path, write_part},
    sim::{
        directed,
        plan::Plan,
        planted::{Bug, plant},
        runner::{Job, Outcome, run, run_many},
        shrink::{describe, shrink},
    },
};
use clap::Parser;
use serde_json::json;

/// Runs the simulation with each planted bug. Fails unless every one is caught.
#[derive(Debug, Parser)]
struct Args {
    /// Most seeds for each bug.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Only bugs whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Shows how each is caught.
    #[arg(long)]
    show: bool,
    /// Where the report goes.
    #[arg(long, default_value_os_t = default_path())]
    report: PathBuf,
}

/// How a bug was caught: by what, after how many runs.
struct Found {
    violation: Option<Violation>,
    outcome: Option<Outcome>,
    runs: u64,
    directed: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Panics of runs are findings.
    std::panic::set_hook(Box::new(|_| {}));
    let bugs: Vec<Bug> = Bug::all().into_iter().filter(|bug| bug.to_string().contains(&args.only)).collect();
    let mut caught = 0;
    println!("{:<34}{:<24}{:>6}  {:<10}{:>7}", "bug", "caught by", "runs", "", "seconds");
    for bug in &bugs {
        let begun = Instant::now();
        let found = look_for(*bug, args.seeds);
        let how = found.violation.as_ref().map_or("NOT CAUGHT", |found| found.invariant.as_str());
        let kind = if found.directed { "directed" } else { "random" };
        let (name, runs, seconds) = (bug.to_string(), found.runs, begun.elapsed().as_secs());
        println!("{name:<34}{how:<24}{runs:>6}  {kind:<10}{seconds:>7}");
        if let Some(outcome) = found.outcome.filter(|_| args.show) {
            plant(Some(*bug));
            println!("{}\n", describe(&outcome, &shrink(&outcome), 40));
            plant(None);
        }
        caught += usize::from(found.violation.is_some());
    }
    println!("{caught} of {} planted bugs are caught", bugs.len());
    let part = json!({ "total": bugs.len(), "caught": caught });
    let written = write_part(&args.report, "planted", part);
    if let Err(error) = &written {
        eprintln!("chaos-planted: {}: {error}", args.report.display());
    }
    if written.is_ok() && caught == bugs.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn look_for(bug: Bug, seeds: u64) -> Found {
    plant(Some(bug));
    let mut runs = 0;
    for plan in directed::plans(bug) {
        runs += 1;
        let outcome = run(&plan, false);
        if outcome.violation.is_some() {
            plant(None);
            return Found {
                violation: outcome.violation.clone(),
                outcome: Some(outcome),
                runs,
                directed: true,
            };
        }
    }
    plant(None);
    let job = Job { first: 1, seeds, until_found: true, bug: Some(bug), talks: false };
    let summary = run_many(&job);
    let first = summary.violations.first_key_value().map(|(seed, _)| *seed);
    plant(Some(bug));
    let outcome = first.map(|seed| run(&Arc::new(Plan::of(seed)), false));
    plant(None);
    let violation = outcome.as_ref().and_then(|outcome| outcome.violation.clone());
    Found { violation, outcome, runs: summary.stats.runs, directed: false }
}
