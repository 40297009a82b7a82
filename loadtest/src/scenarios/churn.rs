//! Bookings are created and edited all the time, a hundred a second.

use std::time::Duration;

use bookings::api::Booking;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::{
    Failure,
    args::Args,
    bench::{Bench, metrics, processor_ms},
    population::{NAMESPACE, at_rest, booking, in_seconds},
    prometheus::quantile,
    report::{Figure, Outcome},
};

const RESOURCES: usize = 500;
/// The number of creations and edits per second.
const PER_SECOND: u32 = 100;
/// The number of requests of a flood that are under way at once.
const AT_ONCE: usize = 32;
const LATENCY: &str = "booking_operator_queue_latency_seconds";

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let seconds = args.seconds.unwrap_or(if args.quick { 10 } else { 60 });
    let bench = Bench::start(args, "churn").await?;
    let (groups, replicas) = at_rest(&bench, ("churn", RESOURCES, 1), args.replicas).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, busy) = (metrics(&replicas).await?, processor_ms(&replicas));
    println!("   {PER_SECOND} creations or edits a second for {seconds} s");
    let missed = churn(&bench, &groups, seconds).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (after, busy_after) = (metrics(&replicas).await?, processor_ms(&replicas));
    let depth: f64 = after.iter().map(|metrics| metrics.sum("booking_operator_queue_depth", |_| true)).sum();
    let latency = quantile(&before, &after, LATENCY, 0.99).unwrap_or(f64::NAN);
    #[allow(clippy::cast_precision_loss, reason = "seconds of some minutes")]
    let processors = (busy_after - busy) / 1000.0 / seconds as f64;
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_most("queue_latency_p99_ms", latency * 1000.0, 50.0),
            Figure::at_most("backlog", depth, 0.0),
            Figure::at_most("harness_behind_percent", missed, 5.0),
            Figure::told("processors", processors),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("per_second".into(), json!(PER_SECOND));
    outcome.details.insert("seconds".into(), json!(seconds));
    bench.stop(replicas).await;
    Ok(outcome)
}

/// Every other tick creates a Booking in the far future. The other ticks move the end of one. Returns the part of
/// ticks, in percent, that the harness could not keep up with.
async fn churn(bench: &Bench, groups: &[String], seconds: u64) -> Result<f64, Failure> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = tokio::time::Instant::now();
    let (mut requests, mut number) = (tokio::task::JoinSet::new(), 0_usize);
    while begun.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        requests.spawn(change(&bench.client, groups, number)?);
        number += 1;
        while let Some(done) = requests.try_join_next() {
            done??;
        }
    }
    let in_time = requests.len();
    while let Some(done) = requests.join_next().await {
        done??;
    }
    #[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
    let behind = in_time as f64 / number as f64 * 100.0;
    Ok(behind)
}

/// The same changes, this number of them, as fast as the API server takes them.
pub(super) async fn flood(bench: &Bench, groups: &[String], count: usize) -> Result<(), Failure> {
    // The first edits are all of the first Booking.
    change(&bench.client, groups, 0)?.await?;
    let changes: Vec<_> =
        (1..count).map(|number| change(&bench.client, groups, number)).collect::<Result<_, _>>()?;
    stream::iter(changes).buffered(AT_ONCE).try_collect::<()>().await?;
    Ok(())
}

/// A creation, or the edit of an earlier Booking.
fn change(
    client: &Client,
    groups: &[String],
    number: usize,
) -> Result<impl Future<Output = Result<(), kube::Error>> + Send + 'static, Failure> {
    let bookings: Api<Booking> = Api::namespaced(client.clone(), NAMESPACE);
    let made = number / 2;
    let start = in_seconds(86_400 * (1 + i64::try_from(made / groups.len())?))?;
    let end = start + jiff::SignedDuration::from_mins(60 + i64::try_from(number % 30)?);
    let group = groups.get(made % groups.len()).cloned().unwrap_or_default();
    let booking = booking(&format!("churn-{made}"), &group, "ann", (start, end));
    // The creation of the previous Booking may still be under way.
    let earlier = format!("churn-{}", made.saturating_sub(50));
    Ok(async move {
        if number.is_multiple_of(2) {
            return bookings.create(&PostParams::default(), &booking).await.map(drop);
        }
        let end = format!("2090-01-01T00:{:02}:00Z", number % 60);
        let patch = Patch::Merge(json!({ "spec": { "end_at": end } }));
        bookings.patch(&earlier, &PatchParams::default(), &patch).await.map(drop)
    })
}
