//! The same churn on one, three and five replicas. It shows how evenly the work is divided, and how much each replica
//! does.
//!
//! If all replicas share one machine, time only shows how they share the machine. So the scenario counts passes
//! instead. A pass is a decision with all its writes and calls. The busiest replica limits a ring: n replicas get n
//! times the passes of one done if the busiest has an n-th of them.
//!
//! Passes are not all work. Each replica is told of each change of each object, because it may gain any slot at any
//! time. The report gives the processor time, less what a replica takes at rest, and the efficiency that follows from
//! both. The churn comes as fast as the API server takes it, as it would at the limit. An event that comes alone costs
//! as much in switches of threads as in work.

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

/// The sizes of the ring, with the names of their figures. The others are compared with the first one.
const SIZES: [(u8, &str, &str); 3] = [
    (1, "efficiency_1", "processor_efficiency_1"),
    (3, "efficiency_3", "processor_efficiency_3"),
    (5, "efficiency_5", "processor_efficiency_5"),
];
/// The number of Resources. With so many, chance alone does not make one replica's part a tenth larger than another's.
const RESOURCES: (usize, usize) = (2000, 500);
const PASSES: &str = "booking_operator_passes_total";
/// The number of creations and edits.
const CHANGES: usize = 6000;
/// How long the replicas are measured at rest.
const REST: Duration = Duration::from_secs(20);
/// The least part of n times the passes of one that n replicas must get done. It is smaller if there are few groups,
/// because of chance.
const EFFICIENCY: (f64, f64) = (0.85, 0.75);

/// The work of one replica.
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
    // With few changes, processor times cannot be compared. Then the largest ring is enough.
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
        // The number of passes depends on which changes meet in one pass. So only their division counts.
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

/// Measures this number of changes on this number of replicas.
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

/// Waits until no more passes run.
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

/// The passes of each replica since it began.
async fn passes(replicas: &[Replica]) -> Result<Vec<f64>, Failure> {
    Ok(metrics(replicas).await?.iter().map(|metrics| metrics.sum(PASSES, |_| true)).collect())
}
