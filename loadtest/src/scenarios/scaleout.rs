//! The same churn on more and more replicas: how evenly the work is divided, and what each of them does of it.
//!
//! On a machine that all share, time would tell how the machine is shared. So work is metered instead, by passes: a
//! pass is a decision with all its writes and calls. The busiest replica is what limits a ring; n replicas get n times
//! the passes of one done if the busiest has a n-th of them.
//!
//! Passes are not all: each replica is told of each change of each object, for a slot may come to it at any time. What
//! that costs is told as processor time, less what a replica takes at rest, with the efficiency that comes of both. The
//! churn comes as fast as the API server takes it, as it would at the limit: an event that comes alone costs as much in
//! switches of threads as in work.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::churn::flood;
use crate::{
    Failure,
    args::Args,
    bench::{Bench, Replica, metrics},
    population::at_rest,
    report::{Figure, Outcome},
};

/// Sizes of the ring, the first of which is what the others are compared with, and what is told of each.
const SIZES: [(u8, &str, &str); 3] = [
    (1, "efficiency_1", "processor_efficiency_1"),
    (3, "efficiency_3", "processor_efficiency_3"),
    (5, "efficiency_5", "processor_efficiency_5"),
];
/// Enough that chance alone does not make one replica's part a tenth larger than another's.
const RESOURCES: (usize, usize) = (2000, 500);
const PASSES: &str = "booking_operator_passes_total";
/// Creations and edits.
const CHANGES: usize = 6000;
/// How long rest is measured.
const REST: Duration = Duration::from_secs(20);
/// Least part of n times the passes of one that n replicas get done; less where there are few groups, by chance.
const EFFICIENCY: (f64, f64) = (0.85, 0.75);

/// What one replica did.
pub(crate) struct Work {
    /// Processor milliseconds per second at rest.
    rest: f64,
    /// Processor milliseconds for the churn alone.
    pub(crate) churn: f64,
    passes: f64,
}

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let changes = if args.quick { 1000 } else { CHANGES };
    let mut outcome = Outcome::default();
    let mut one = None;
    // With few changes processor time tells nothing that could be compared: then the largest is enough.
    let sizes = SIZES.into_iter().skip(if args.quick { SIZES.len() - 1 } else { 0 });
    for (size, name, processor_name) in sizes {
        println!("   {size} replicas");
        let work = measure(args, size, changes).await?;
        let busiest = |of: fn(&Work) -> f64| work.iter().map(of).fold(0.0, f64::max);
        let all = |of: fn(&Work) -> f64| work.iter().map(of).sum::<f64>();
        let (passes, churn) = (busiest(|it| it.passes), busiest(|it| it.churn));
        if size == 1 {
            one = Some((passes, churn));
        }
        let of_n = |one: f64, busiest: f64| one / (f64::from(size) * busiest);
        // How many passes a churn takes depends on which changes meet in one: what counts is how they are divided.
        let divided = all(|it| it.passes) / (f64::from(size) * passes);
        println!("   {size}: {:.0} passes, {:.0} ms", all(|it| it.passes), all(|it| it.churn));
        let told = work
            .iter()
            .map(|it| json!({ "rest_ms_per_s": it.rest, "churn_ms": it.churn, "passes": it.passes }));
        outcome.details.insert(format!("replicas_{size}"), told.collect());
        let bound = if args.quick { EFFICIENCY.1 } else { EFFICIENCY.0 };
        let shared = one.map_or(divided, |(of_one, _)| of_n(of_one, passes).min(divided));
        outcome.figures.push(Figure::at_least(name, shared, bound));
        if let Some((_, of_one)) = one {
            outcome.figures.push(Figure::told(processor_name, of_n(of_one, churn)));
        }
    }
    outcome.details.insert("changes".into(), json!(changes));
    outcome.details.insert("metered".into(), json!("passes; processor time beside it"));
    Ok(outcome)
}

/// Measures so many changes on so many replicas.
pub(crate) async fn measure(args: &Args, size: u8, changes: usize) -> Result<Vec<Work>, Failure> {
    let bench = Bench::start(args, &format!("scaleout-{size}")).await?;
    let count = if args.quick { RESOURCES.1 } else { RESOURCES.0 };
    let (groups, replicas) = at_rest(&bench, ("scaleout", count, 1), size).await?;
    let rest = if args.quick { REST / 4 } else { REST };
    tokio::time::sleep(rest).await;
    let processor = || -> Vec<f64> { replicas.iter().map(Replica::processor_ms).collect() };
    let begun = processor();
    tokio::time::sleep(rest).await;
    let (rested, earlier) = (processor(), passes(&replicas).await?);
    let flood_begun = Instant::now();
    flood(&bench, &groups, changes).await?;
    all_done(&replicas).await?;
    let (churned, later) = (processor(), passes(&replicas).await?);
    let lasted = flood_begun.elapsed().as_secs_f64();
    println!("   {changes} changes in {lasted:.1} s");
    let passes = later.iter().zip(earlier).map(|(later, earlier)| later - earlier);
    let work =
        begun.iter().zip(&rested).zip(&churned).zip(passes).map(|(((begun, rested), churned), passes)| {
            let rest = (rested - begun) / rest.as_secs_f64();
            Work { rest, churn: churned - rested - rest * lasted, passes }
        });
    let work = work.collect();
    bench.stop(replicas).await;
    Ok(work)
}

/// Waits until no more passes are made.
async fn all_done(replicas: &[Replica]) -> Result<(), Failure> {
    let mut before = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = passes(replicas).await?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

/// Passes of each replica since it began.
async fn passes(replicas: &[Replica]) -> Result<Vec<f64>, Failure> {
    Ok(metrics(replicas).await?.iter().map(|metrics| metrics.sum(PASSES, |_| true)).collect())
}
