//! Many bookings begin in the same second, each of a group of one machine. EC2's buckets are full.
//!
//! The physical limit: `StartInstances` has five tokens, and a thousand tokens for machines. So it takes a few calls of
//! hundreds of machines each. A client that sends more calls waits half a second for each.

use std::time::Duration;

use bookings::api::Booking;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Failure,
    args::Args,
    bench::Bench,
    calls::{Calls, percentile},
    population::{at_rest, booking, create, has_reason, in_seconds, wait_for},
    report::{Figure, Outcome},
};

/// The number of users of the bookings. Locks of one user with the same end share a call.
const USERS: usize = 100;
/// Bookings are created this long before they begin, so that their locks can be written ahead.
const AHEAD_S: i64 = 150;
/// With `--quick` they are created only this long before they begin.
const QUICK_AHEAD_S: i64 = 14;

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let count = args.sized(args.due, 1000, 100);
    let bench = Bench::start(args, "due_at_once").await?;
    let (groups, replicas) = at_rest(&bench, ("due", count, 1), args.replicas).await?;
    // A thousand creations take some seconds. If bookings began before the last creation, the result would measure the
    // creations.
    let ahead = if args.quick { QUICK_AHEAD_S } else { AHEAD_S };
    let start = in_seconds(ahead + i64::try_from(count / 60)?)?;
    let end = start + jiff::SignedDuration::from_mins(30);
    let bookings = groups
        .iter()
        .enumerate()
        .map(|(number, group)| booking(group, group, &format!("user-{}", number % USERS), (start, end)));
    create(&bench.client, "bookings", bookings).await?;
    wait_for::<Booking>(&bench.client, "bookings granted", count, |it| has_reason(it, "Scheduled")).await?;
    let (_, from) = Calls::since(bench.ec2.world(), u64::MAX);
    let until_start = Duration::try_from(start.duration_since(jiff::Timestamp::now())).unwrap_or_default();
    if until_start < Duration::from_secs(3) {
        return Err("the bookings were not made in time: this machine is too slow for as many".into());
    }
    println!("   due in {:.1} s", until_start.as_secs_f64());
    tokio::time::sleep(until_start).await;
    let begun = Instant::now();
    wait_for::<Booking>(&bench.client, "bookings ready", count, |it| has_reason(it, "Held")).await?;
    let all_ready = begun.elapsed();
    let (calls, _) = Calls::since(bench.ec2.world(), from);
    let late = calls.lateness("StartInstances", start);
    let throttled: usize = calls.throttled().values().sum();
    let starts = calls.by_action().get("StartInstances").copied().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "some thousand calls")]
    let float = |number: usize| number as f64;
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_least("started", float(late.len()), float(count)),
            Figure::at_least("start_earliest_ms", late.first().copied().unwrap_or(f64::NAN), 0.0),
            Figure::at_most("start_late_p50_ms", percentile(&late, 0.5), 300.0),
            Figure::at_most("start_late_p99_ms", percentile(&late, 0.99), 1000.0),
            Figure::told("start_late_max_ms", late.last().copied().unwrap_or(f64::NAN)),
            Figure::at_most("throttled_calls", float(throttled), 0.0),
            Figure::told("start_calls", float(starts)),
            Figure::told("all_ready_s", all_ready.as_secs_f64()),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("bookings".into(), json!(count));
    outcome.details.insert("calls".into(), calls.told());
    outcome.samples.insert("start call after start_at", late);
    bench.stop(replicas).await;
    Ok(outcome)
}
