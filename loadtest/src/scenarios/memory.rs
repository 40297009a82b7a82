//! Very many Bookings, most of them over or far ahead, on many Resources; then one replica is restarted.

use booking_api::{Booking, Resource};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Failure,
    args::Args,
    bench::Bench,
    population::{booking, create, is_stopped, names, resource, wait_for},
    report::{Figure, Outcome},
    usage,
};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let (count, resources) =
        (args.sized(args.bookings, 100_000, 1000), args.sized(args.resources, 10_000, 100));
    let bench = Bench::start(args, "memory").await?;
    let groups = names("memory", resources);
    bench.machines(&groups, 1)?;
    let mut replicas = bench.replicas(args.replicas, &[]).await?;
    create(&bench.client, "resources", groups.iter().map(|group| resource(group, None)).collect()).await?;
    let start: jiff::Timestamp = "2080-01-01T08:00:00Z".parse()?;
    let bookings = (0..count).filter_map(|number| {
        let day = i64::try_from(number / resources).ok()?;
        let from = start + jiff::SignedDuration::from_hours(24 * day);
        let group = groups.get(number % resources)?;
        let window = (from, from + jiff::SignedDuration::from_hours(9));
        Some(booking(&format!("memory-{number:06}"), group, "ann", window))
    });
    create(&bench.client, "bookings", bookings.collect()).await?;
    let granted = |booking: &Booking| booking.status.as_ref().is_some_and(|it| it.granted_from.is_some());
    wait_for::<Booking>(&bench.client, "bookings granted", count, granted).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", resources, is_stopped).await?;
    #[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
    let resident = |pid: i32| usage::resident(pid) as f64 / MIB;
    let largest = replicas.iter().map(|replica| resident(replica.pid())).fold(0.0, f64::max);
    // One of them is restarted, as an update does.
    let Some(old) = replicas.pop() else { return Err("no replica".into()) };
    let name = old.name.clone();
    old.stop().await;
    let begun = Instant::now();
    let new = bench.spawn(&format!("{name}-again"), &[])?;
    new.ready().await?;
    let ready = begun.elapsed();
    println!("   a replica is ready again after {:.1} s", ready.as_secs_f64());
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    replicas.push(new);
    let later = replicas.iter().map(|replica| resident(replica.pid())).fold(0.0, f64::max);
    let mut outcome = Outcome {
        figures: vec![
            Figure::at_most("resident_mib", largest, 150.0),
            Figure::at_most("resident_after_restart_mib", later, 150.0),
            Figure::at_most("restart_ready_s", ready.as_secs_f64(), 10.0),
        ],
        ..Outcome::default()
    };
    outcome.details.insert("bookings".into(), json!(count));
    outcome.details.insert("resources".into(), json!(resources));
    for replica in replicas {
        replica.stop().await;
    }
    bench.stop().await;
    Ok(outcome)
}
