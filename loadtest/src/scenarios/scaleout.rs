//! The same churn on more and more replicas: how much of the work is divided, how much is done by each.
//!
//! On a machine that all share, time would tell how the machine is shared. So work is metered instead: the processor time of
//! each replica, less what it takes at rest. The busiest replica is what limits a ring whose replicas have a processor each;
//! n replicas get n times the churn of one done if it has a n-th of the work of one.

use std::time::Duration;

use booking_api::Resource;
use serde_json::json;

use super::churn::churn;
use crate::{
    Failure,
    args::Args,
    bench::{Bench, Replica},
    population::{create, is_stopped, names, resource, wait_for},
    report::{Figure, Outcome},
    usage,
};

/// Sizes of the ring, the first of which is what the others are compared with, and what is told of each.
const SIZES: [(u8, &str, &str); 3] = [
    (1, "busiest_of_1_ms", "efficiency_1"),
    (3, "busiest_of_3_ms", "efficiency_3"),
    (5, "busiest_of_5_ms", "efficiency_5"),
];
const RESOURCES: usize = 500;
/// How long rest is measured.
const REST: Duration = Duration::from_secs(20);
/// Least part of n times the work of one that n replicas get done.
const EFFICIENCY: f64 = 0.85;

/// What one replica did.
pub(crate) struct Work {
    /// Processor milliseconds per second at rest.
    rest: f64,
    /// Processor milliseconds for the churn alone.
    pub(crate) churn: f64,
}

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let seconds = args.seconds.unwrap_or(if args.quick { 10 } else { 60 });
    let mut outcome = Outcome::default();
    let mut one = None;
    for (size, busiest_name, efficiency_name) in SIZES {
        println!("   {size} replicas");
        let work = measure(args, size, seconds).await?;
        let busiest = work.iter().map(|it| it.churn).fold(0.0, f64::max);
        let sum: f64 = work.iter().map(|it| it.churn).sum();
        let one = *one.get_or_insert(busiest);
        let efficiency = one / (f64::from(size) * busiest);
        println!("   {size}: the busiest {busiest:.0} ms, all {sum:.0} ms, efficiency {efficiency:.2}");
        let told = work.iter().map(|it| json!({ "rest_ms_per_s": it.rest, "churn_ms": it.churn }));
        outcome.details.insert(format!("replicas_{size}"), told.collect());
        outcome.figures.push(Figure::told(busiest_name, busiest));
        outcome.figures.push(Figure::at_least(efficiency_name, efficiency, EFFICIENCY));
    }
    outcome.details.insert("seconds".into(), json!(seconds));
    outcome
        .details
        .insert("metered".into(), json!("processor time of each replica, less what it takes at rest"));
    Ok(outcome)
}

/// Measures a churn of so many seconds on so many replicas.
pub(crate) async fn measure(args: &Args, size: u8, seconds: u64) -> Result<Vec<Work>, Failure> {
    let bench = Bench::start(args, &format!("scaleout-{size}")).await?;
    let groups = names("scaleout", RESOURCES);
    bench.machines(&groups, 1)?;
    let replicas = bench.replicas(size, &[]).await?;
    create(&bench.client, "resources", groups.iter().map(|group| resource(group, None)).collect()).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", RESOURCES, is_stopped).await?;
    let rest = if args.quick { REST / 2 } else { REST };
    tokio::time::sleep(rest).await;
    let begun = processor(&replicas);
    tokio::time::sleep(rest).await;
    let rested = processor(&replicas);
    churn(&bench, &groups, seconds).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let churned = processor(&replicas);
    #[allow(clippy::cast_precision_loss, reason = "seconds of some minutes")]
    let lasted = seconds as f64 + 1.0;
    let work = begun.iter().zip(&rested).zip(&churned).map(|((begun, rested), churned)| {
        let rest = (rested - begun) / rest.as_secs_f64();
        Work { rest, churn: churned - rested - rest * lasted }
    });
    let work = work.collect();
    for replica in replicas {
        replica.stop().await;
    }
    bench.stop().await;
    Ok(work)
}

/// Processor milliseconds of each replica since it began.
fn processor(replicas: &[Replica]) -> Vec<f64> {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of some minutes")]
    let of = |replica: &Replica| usage::processor_ms(replica.pid()) as f64;
    replicas.iter().map(of).collect()
}
