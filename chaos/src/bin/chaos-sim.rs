//! `make chaos-sim` and `make chaos-planted`.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use chaos::{
    report::{default_path, write_part},
    sim::{
        plan::Plan,
        runner::{Job, Summary, run, run_many},
        shrink::{describe, shrink},
    },
};
use clap::{Parser, Subcommand};
use serde_json::json;

/// The deterministic simulation of the ring and its controllers.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Where the report goes.
    #[arg(long, global = true, default_value_os_t = default_path())]
    report: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds, and fails if an invariant is violated.
    Run {
        /// How many seeds.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// One seed alone, with the end of its history.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Runs seeds with each planted bug, and fails unless every one is caught.
    #[cfg(feature = "planted")]
    Planted {
        /// Most seeds for each bug.
        #[arg(long, default_value_t = 2_000)]
        seeds: u64,
        /// Only bugs whose name holds this.
        #[arg(long, default_value = "")]
        only: String,
    },
}

/// Failing seeds that are shrunk and shown.
const SHOWN: usize = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    // Panics of runs are told with their seeds.
    std::panic::set_hook(Box::new(|_| {}));
    let good = match args.command {
        Command::Run { seed: Some(seed), .. } => one(seed),
        Command::Run { seeds, first, .. } => many(seeds, first, &args.report),
        #[cfg(feature = "planted")]
        Command::Planted { seeds, only } => planted::all(seeds, &only, &args.report),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64) -> bool {
    let outcome = run(&Arc::new(Plan::of(seed)), true);
    if outcome.violation.is_some() {
        println!("{}", describe(&outcome, &shrink(&outcome)));
        return false;
    }
    for fault in &outcome.plan.faults {
        println!("{fault}");
    }
    println!("{}", outcome.history.join("\n"));
    println!("{}seed {seed}: nothing is violated", outcome.stats.table());
    true
}

fn many(seeds: u64, first: u64, report: &std::path::Path) -> bool {
    let summary = run_many(&Job { first, seeds, until_found: false, bug: None, talks: true });
    for seed in summary.violations.keys().take(SHOWN) {
        let outcome = run(&Arc::new(Plan::of(*seed)), false);
        println!("{}\n", describe(&outcome, &shrink(&outcome)));
    }
    for (seed, violation) in summary.violations.iter().skip(SHOWN) {
        println!("seed {seed} violates {violation}; again: make chaos-sim SEED={seed}");
    }
    print!("{}", summary.stats.table());
    println!("{:<24}{:>12}", "wall seconds", summary.wall.as_secs());
    println!("{:<24}{:>12}", "violations", summary.violations.len());
    tell(report, "sim", part(&summary)) && summary.violations.is_empty()
}

fn part(summary: &Summary) -> serde_json::Value {
    let faults: serde_json::Map<String, serde_json::Value> =
        summary.stats.faults.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
    json!({
        "seeds": summary.stats.runs,
        "violations": summary.violations.len(),
        "faults": faults,
        "wall_seconds": summary.wall.as_secs(),
        "virtual_seconds": summary.stats.time / chaos::SECOND,
        "calls": summary.stats.cloud_calls,
        "handoffs": summary.stats.handoffs,
        "seals": summary.stats.seals,
        "late_in_flight": summary.stats.late_in_flight,
        "due": summary.stats.due,
    })
}

fn tell(report: &std::path::Path, name: &str, part: serde_json::Value) -> bool {
    let written = write_part(report, name, part);
    if let Err(error) = &written {
        eprintln!("chaos-sim: {}: {error}", report.display());
    }
    written.is_ok()
}

#[cfg(feature = "planted")]
mod planted {
    use std::path::Path;

    use chaos::{
        checker::Violation,
        sim::{
            directed,
            planted::{Bug, plant},
            runner::{Job, run, run_many},
        },
    };
    use serde_json::json;

    /// How a bug was caught: by what, after how many runs.
    struct Caught {
        violation: Option<Violation>,
        runs: u64,
        directed: bool,
    }

    /// Looks for every bug.
    pub fn all(seeds: u64, only: &str, report: &Path) -> bool {
        let bugs: Vec<Bug> = Bug::all().into_iter().filter(|bug| bug.to_string().contains(only)).collect();
        let mut caught = 0;
        for bug in &bugs {
            let found = look_for(*bug, seeds);
            let how = match &found.violation {
                Some(violation) => violation.invariant.as_str(),
                None => "NOT CAUGHT",
            };
            let kind = if found.directed { "directed" } else { "random" };
            println!("{:<36}{how:<24}{:>6} {kind} runs", bug.to_string(), found.runs);
            caught += usize::from(found.violation.is_some());
        }
        println!("{caught} of {} planted bugs are caught", bugs.len());
        let part = json!({ "total": bugs.len(), "caught": caught });
        super::tell(report, "planted", part) && caught == bugs.len()
    }

    fn look_for(bug: Bug, seeds: u64) -> Caught {
        plant(Some(bug));
        let plans = directed::plans(bug);
        let directed = plans.iter().zip(1..).find_map(|(plan, runs)| {
            run(plan, false).violation.map(|violation| Caught { violation: Some(violation), runs, directed: true })
        });
        plant(None);
        directed.unwrap_or_else(|| {
            let job = Job { first: 1, seeds, until_found: true, bug: Some(bug), talks: false };
            let summary = run_many(&job);
            let violation = summary.violations.into_values().next();
            Caught { violation, runs: summary.stats.runs, directed: false }
        })
    }
}
