//! The cost of one booking of a group of three machines at the API server, from its creation to its end.

use std::{collections::BTreeMap, time::Duration};

use bookings::api::{Booking, Resource};
use serde_json::json;

use crate::{
    Failure,
    args::Args,
    bench::Bench,
    calls::Calls,
    population::{at_rest, booking, create, has_reason, in_seconds, is_stopped, wait_for},
    prometheus::Metrics,
    report::{Figure, Outcome},
};

/// The number of bookings side by side.
const LIVES: usize = 30;
const MACHINES: usize = 3;
/// The time from creation to start, and from start to end.
const AHEAD_S: i64 = 10;
const LASTS_S: i64 = 10;

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let bench = Bench::start(args, "life").await?;
    let (groups, replicas) = at_rest(&bench, ("life", LIVES, MACHINES), args.replicas).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_, from) = Calls::since(bench.ec2.world(), u64::MAX);
    let before = counts(&bench.api_metrics().await?);
    let start = in_seconds(AHEAD_S)?;
    let window = (start, start + jiff::SignedDuration::from_secs(LASTS_S));
    let bookings = groups.iter().map(|group| booking(group, group, "ann", window));
    create(&bench.client, "bookings", bookings).await?;
    wait_for::<Booking>(&bench.client, "bookings held", LIVES, |it| has_reason(it, "Held")).await?;
    wait_for::<Booking>(&bench.client, "bookings finished", LIVES, |it| has_reason(it, "Finished")).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", LIVES, is_stopped).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = counts(&bench.api_metrics().await?);
    let (calls, _) = Calls::since(bench.ec2.world(), from);
    let each = |what: &str| {
        let lives = f64::from(u32::try_from(LIVES).unwrap_or(u32::MAX));
        let of = |counts: &BTreeMap<String, f64>| counts.get(what).copied().unwrap_or_default();
        (of(&after) - of(&before)) / lives
    };
    #[allow(clippy::cast_precision_loss, reason = "some hundred calls")]
    let cloud_calls = calls.0.len() as f64 / LIVES as f64;
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_most("booking_writes", each("bookings"), 4.0),
            Figure::at_most("resource_writes", each("resources"), 4.0),
            Figure::at_most("events", each("events"), 4.0),
            Figure::told("cloud_calls_per_life", cloud_calls),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("lives".into(), json!(LIVES));
    outcome.details.insert("calls".into(), calls.told());
    bench.stop(replicas).await;
    Ok(outcome)
}

/// The writes by kind of object, without the harness's own creations.
fn counts(metrics: &Metrics) -> BTreeMap<String, f64> {
    let of = |resource: &str, verbs: &[&str]| {
        metrics.sum("apiserver_request_total", |labels| {
            labels.get("resource").is_some_and(|it| it == resource)
                && labels.get("verb").is_some_and(|verb| verbs.contains(&verb.as_str()))
        })
    };
    BTreeMap::from([
        ("bookings".to_owned(), of("bookings", &["PATCH", "PUT", "APPLY", "DELETE"])),
        ("resources".to_owned(), of("resources", &["PATCH", "PUT", "APPLY", "DELETE"])),
        ("events".to_owned(), of("events", &["POST", "PATCH"])),
    ])
}
