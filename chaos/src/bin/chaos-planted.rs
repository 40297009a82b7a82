//! `make chaos-planted`: every bug that is put in on purpose must be caught.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use chaos::{
    checker::Violation,
    report::{default_path, write_part},
    sim::{
        directed,
        planted::{Bug, plant},
        runner::{Job, run, run_many},
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
    /// Where the report goes.
    #[arg(long, default_value_os_t = default_path())]
    report: PathBuf,
}

/// How a bug was caught: by what, after how many runs.
struct Found {
    violation: Option<Violation>,
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
    let directed = directed::plans(bug).iter().zip(1..).find_map(|(plan, runs)| {
        let violation = run(plan, false).violation;
        violation.map(|violation| Found { violation: Some(violation), runs, directed: true })
    });
    plant(None);
    directed.unwrap_or_else(|| {
        let job = Job { first: 1, seeds, until_found: true, bug: Some(bug), talks: false };
        let summary = run_many(&job);
        let violation = summary.violations.into_values().next();
        Found { violation, runs: summary.stats.runs, directed: false }
    })
}
