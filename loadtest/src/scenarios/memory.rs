//! Very many Bookings on many Resources. Most of the Bookings are over or far ahead. Then one replica is restarted.

use std::{collections::BTreeMap, time::Duration};

use bookings::api::{Booking, Resource};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Failure,
    args::Args,
    bench::{Bench, Replica, processor_ms},
    calls::Calls,
    copies::copy,
    population::{booking, create, has_reason, in_seconds, is_stopped, names, resource, wait_for},
    report::{Figure, Outcome},
    usage::MIB,
};

/// The operator works on these objects. All others are copies of them.
const OVER: &str = "over-000000";
const AHEAD: &str = "ahead-000000";
const GROUP: &str = "memory-000000";
/// When the Booking that is far ahead begins and ends. Its copies begin days later.
const WINDOW: (&str, &str) = ("2080-01-01T08:00:00Z", "2080-01-01T17:00:00Z");
/// One Booking of three is far ahead. The others are over.
const OVER_OF: (usize, usize) = (2, 3);
/// The wait after the replicas are ready. In this time they look at everything, and read it once more for the slots
/// that they gained.
const SETTLES: Duration = Duration::from_mins(1);

/// The cost of a population.
pub(crate) struct Cost {
    /// The memory of the largest replica in MiB, and of the largest one after a restart of one replica.
    pub(crate) resident: (f64, f64),
    /// The seconds until the restarted replica was ready.
    pub(crate) ready: f64,
    /// Processor milliseconds a second of all replicas at rest.
    pub(crate) processor: f64,
    /// Cloud calls a second of all replicas at rest.
    pub(crate) calls_per_s: f64,
    writes: BTreeMap<String, f64>,
    calls: Calls,
}

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let bookings = args.sized(args.bookings, 100_000, 2000);
    let resources = args.sized(args.resources, 10_000, 200);
    let cost = measure(args, bookings, resources, (settles(args), settles(args))).await?;
    // Writes of the ring do not count.
    let of_objects = |what: &&String| what.contains("booking") || what.contains("resource");
    let writes = cost.writes.keys().filter(of_objects).filter_map(|what| cost.writes.get(what));
    #[allow(clippy::cast_precision_loss, reason = "some mutations")]
    let mutations = cost.calls.mutations() as f64;
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_most("resident_mib", cost.resident.0, 150.0),
            Figure::at_most("resident_after_restart_mib", cost.resident.1, 150.0),
            Figure::at_most("restart_ready_s", cost.ready, 10.0),
            // The sum of nothing is -0.
            Figure::at_most("api_writes_at_start", writes.sum::<f64>() + 0.0, 0.0),
            Figure::at_most("cloud_mutations", mutations, 0.0),
            Figure::told("processor_ms_per_s", cost.processor),
            Figure::told("cloud_calls_per_s", cost.calls_per_s),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("bookings".into(), json!(bookings));
    outcome.details.insert("resources".into(), json!(resources));
    outcome.details.insert("calls".into(), cost.calls.told());
    outcome.details.insert("writes".into(), json!(cost.writes));
    Ok(outcome)
}

/// Measures this number of Bookings on this number of Resources. First it lets the replicas come to rest for the given
/// time. Then it measures them at rest while all groups are polled once, and then after a restart.
pub(crate) async fn measure(
    args: &Args,
    bookings: usize,
    resources: usize,
    (settles, rests): (Duration, Duration),
) -> Result<Cost, Failure> {
    let bench = Bench::start(args, "memory").await?;
    bench.machines(&names("memory", resources), 1)?;
    one_of_each(args, &bench).await?;
    let begun = Instant::now();
    population(&bench, bookings, resources).await?;
    println!("   {bookings} bookings, {resources} resources in {:.1} s", begun.elapsed().as_secs_f64());

    let (_, first_call) = Calls::since(bench.ec2.world(), u64::MAX);
    let before = bench.api_metrics().await?;
    let mut replicas = bench.replicas(args.replicas, &[]).await?;
    tokio::time::sleep(settles).await;
    let (busy, (_, rest_from), rest) =
        (processor_ms(&replicas), Calls::since(bench.ec2.world(), u64::MAX), Instant::now());
    tokio::time::sleep(rests).await;
    let processor = (processor_ms(&replicas) - busy) / rest.elapsed().as_secs_f64();
    let (at_rest, _) = Calls::since(bench.ec2.world(), rest_from);
    #[allow(clippy::cast_precision_loss, reason = "some hundred calls")]
    let calls_per_s = at_rest.0.len() as f64 / rest.elapsed().as_secs_f64();
    let largest = largest(&replicas);
    let writes = bench.api_metrics().await?.writes_since(&before);
    // One replica is restarted, as in an update.
    let Some(old) = replicas.pop() else { return Err("no replica".into()) };
    let name = old.name.clone();
    old.stop().await;
    let new = bench.spawn(&format!("{name}-again"), &[])?;
    let ready = new.ready().await?.as_secs_f64();
    println!("   a replica is ready again after {ready:.1} s");
    replicas.push(new);
    tokio::time::sleep(settles).await;
    let (calls, _) = Calls::since(bench.ec2.world(), first_call);
    let resident = (largest, self::largest(&replicas));
    bench.stop(replicas).await;
    Ok(Cost { resident, ready, processor, calls_per_s, writes, calls })
}

fn settles(args: &Args) -> Duration {
    if args.quick { SETTLES / 12 } else { SETTLES }
}

/// The memory of the largest replica, in MiB.
fn largest(replicas: &[Replica]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
    let resident = |replica: &Replica| replica.resident() as f64 / MIB;
    replicas.iter().map(resident).fold(0.0, f64::max)
}

/// Lets the operator make one Resource at rest with two Bookings: one is over, the other is granted and far ahead.
async fn one_of_each(args: &Args, bench: &Bench) -> Result<(), Failure> {
    let replicas = bench.replicas(args.replicas.min(1), &[]).await?;
    create(&bench.client, "resources", vec![resource(GROUP, None)]).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", 1, is_stopped).await?;
    let (soon, then) = (in_seconds(3)?, in_seconds(8)?);
    let ahead = booking(AHEAD, GROUP, "ann", (WINDOW.0.parse()?, WINDOW.1.parse()?));
    create(&bench.client, "bookings", vec![booking(OVER, GROUP, "ann", (soon, then)), ahead]).await?;
    wait_for::<Booking>(&bench.client, "bookings over", 1, |it| has_reason(it, "Finished")).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", 1, is_stopped).await?;
    let granted = |booking: &Booking| booking.status.as_ref().is_some_and(|it| it.granted_from.is_some());
    wait_for::<Booking>(&bench.client, "bookings granted", 2, granted).await?;
    // The operator removes what it remembers of the end, in a separate write.
    tokio::time::sleep(settles(args)).await;
    for replica in replicas {
        replica.stop().await;
    }
    Ok(())
}

async fn population(bench: &Bench, bookings: usize, resources: usize) -> Result<(), Failure> {
    let store = bench.control_plane.store().await?;
    let numbered = |prefix: &str, number: usize| format!("{prefix}-{number:06}");
    let group = |number: usize| (GROUP.to_owned(), numbered("memory", number % resources));
    copy(&store, ("resources", GROUP), 1..resources, |number| vec![group(number)]).await?;
    let over = bookings * OVER_OF.0 / OVER_OF.1;
    copy(&store, ("bookings", OVER), 1..over, |number| {
        vec![group(number), (OVER.to_owned(), numbered("over", number))]
    })
    .await?;
    copy(&store, ("bookings", AHEAD), 1..bookings - over, |number| {
        let later = |text: &str| -> String {
            let days = i64::try_from(number / resources).unwrap_or_default();
            let at: Option<Timestamp> = text.parse().ok();
            at.map(|at| (at + SignedDuration::from_hours(24 * days)).to_string()).unwrap_or_default()
        };
        vec![
            group(number),
            (AHEAD.to_owned(), numbered("ahead", number)),
            (WINDOW.0.to_owned(), later(WINDOW.0)),
            (WINDOW.1.to_owned(), later(WINDOW.1)),
        ]
    })
    .await
}
