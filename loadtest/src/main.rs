//! `loadtest` measures how an operator of this API behaves under load. Each scenario has its own API server, its own
//! simulated EC2 with the token buckets that EC2 documents, and its own operator processes. The figures come from the
//! cloud's call log, the API server's metrics, the operator's metrics and the kernel.
//!
//! | module | what is there |
//! |---|---|
//! | `bench` | the world of a scenario: API server, cloud, replicas |
//! | `population` | Resources and Bookings, by the thousand |
//! | `copies` | very many objects, as copies that are written directly into the store |
//! | `calls` | the cloud's log: how late, how many, how often throttled |
//! | `prometheus` | the texts of metrics endpoints |
//! | `usage` | memory and processor time of processes |
//! | `scenarios` | one module for each: what is done, what is measured, what is promised |
//! | `growth` | cost by size |
//! | `report` | report.json, a table, a picture; a comparison of two reports |

mod args;
mod bench;
mod calls;
mod copies;
mod failure;
mod growth;
mod picture;
mod population;
mod prometheus;
mod report;
mod scenarios;
mod usage;

use std::{process::ExitCode, time::Instant};

use args::{Args, Command};
use clap::Parser;
use report::Report;

pub(crate) use failure::Failure;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Compare { before, after }) = &args.command {
        return match report::compare(before, after) {
            Ok(table) => {
                println!("{table}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        };
    }
    tokio::select! {
        outcome = run(&args) => match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => failed(&error),
        },
        _ = tokio::signal::ctrl_c() => failed(&"interrupted".into()),
    }
}

fn failed(error: &Failure) -> ExitCode {
    println!("loadtest: failed: {error}");
    ExitCode::FAILURE
}

/// Runs what the arguments ask for. Returns whether all figures are within their bounds.
async fn run(args: &Args) -> Result<bool, Failure> {
    let begun = Instant::now();
    std::fs::create_dir_all(&args.out)?;
    if matches!(args.command, Some(Command::Growth)) {
        growth::run(args).await?;
        return Ok(true);
    }
    let mut report = Report::new(args);
    for scenario in args.scenarios() {
        println!("== {scenario} ({} s)", begun.elapsed().as_secs());
        let outcome = scenarios::run(scenario, args).await?;
        println!("{}", outcome.line());
        report.add(scenario, outcome);
        // The results so far are kept, even if a later scenario fails.
        report.write(&args.out)?;
    }
    println!("\n{}\nreport: {}", report.table(), args.out.join("report.json").display());
    println!("picture: {}", args.out.join(report.picture()).display());
    println!("{} s", begun.elapsed().as_secs());
    Ok(report.passes())
}
