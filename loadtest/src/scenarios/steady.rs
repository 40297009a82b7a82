//! Many Resources at rest: nothing is due, and nothing changes.
//!
//! The physical limit: a call describes two hundred groups. So a poll of all groups once a minute costs one call for
//! each two hundred groups. Nothing else is needed.

use std::time::Duration;

use serde_json::json;

use crate::{
    Failure,
    args::Args,
    bench::{Bench, processor_ms},
    calls::Calls,
    population::at_rest,
    report::{Figure, Outcome},
};

/// The wait after all are at rest, until their last polls are over.
const SETTLES: Duration = Duration::from_secs(75);

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let count = args.sized(args.resources, 10_000, 500);
    let seconds = args.seconds.unwrap_or(if args.quick { 10 } else { 120 });
    let bench = Bench::start(args, "steady").await?;
    let (_, replicas) = at_rest(&bench, ("rest", count, 1), args.replicas).await?;
    tokio::time::sleep(if args.quick { SETTLES / 6 } else { SETTLES }).await;
    let (_, from) = Calls::since(bench.ec2.world(), u64::MAX);
    let before = bench.api_metrics().await?;
    let busy = processor_ms(&replicas);
    println!("   measuring for {seconds} s");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = bench.api_metrics().await?;
    let (calls, _) = Calls::since(bench.ec2.world(), from);
    #[allow(clippy::cast_precision_loss, reason = "some thousand calls")]
    let float = |number: usize| number as f64;
    let span = f64::from(u32::try_from(seconds)?);
    let processors = (processor_ms(&replicas) - busy) / 1000.0 / span;
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_most("cloud_calls_per_s", float(calls.0.len()) / span, 2.0),
            Figure::at_most("mutations", float(calls.mutations()), 0.0),
            Figure::at_most("api_writes", after.writes_of_objects() - before.writes_of_objects(), 0.0),
            Figure::told("lease_writes_per_s", (after.writes_of_leases() - before.writes_of_leases()) / span),
            Figure::told("processors", processors),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("resources".into(), json!(count));
    outcome.details.insert("calls".into(), calls.told());
    bench.stop(replicas).await;
    Ok(outcome)
}
