//! What happens to Pods while bookings fall due, one a second: each must be started in time, by one replica.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{
    Failure,
    cluster::{Cluster, Due, NAMESPACE},
};

/// Bookings that fall due during each scenario.
const DUE: usize = 30;
/// From their creation to the first that is due.
const AHEAD: SignedDuration = SignedDuration::from_secs(20);
/// How late a start may be.
const LATEST_MS: i64 = 2000;

/// What is done to the Pods.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The leader's Pod is deleted, as a drain does.
    LeaderDeleted,
    /// All are replaced.
    RolloutRestart,
    /// There are to be so many.
    Scale(u8),
}

/// What came of it.
struct Row {
    what: String,
    took_s: f64,
    late_p50_ms: i64,
    late_max_ms: i64,
    twice: usize,
}

/// Runs all, or those that a change must pass, and prints a table; whether all is as promised.
pub(crate) async fn run(cluster: &Cluster<'_>, short: bool) -> Result<bool, Failure> {
    let mut rows = vec![booking(cluster).await?];
    let mut events = vec![Event::LeaderDeleted, Event::RolloutRestart];
    if !short {
        events.extend([Event::Scale(5), Event::Scale(1), Event::Scale(3)]);
    }
    for event in events {
        rows.push(during(cluster, event).await?);
    }
    println!(
        "\n{:<34} {:>8} {:>13} {:>13} {:>14}",
        "while", "took s", "late p50 ms", "late max ms", "started twice"
    );
    println!("{:<34} {:>8.1}", "installed, all replicas ready", cluster.installed.as_secs_f64());
    for Row { what, took_s, late_p50_ms, late_max_ms, twice } in &rows {
        println!("{what:<34} {took_s:>8.1} {late_p50_ms:>13} {late_max_ms:>13} {twice:>14}");
    }
    let passes = |row: &Row| (0..=LATEST_MS).contains(&row.late_max_ms) && row.twice == 0;
    Ok(rows.iter().all(passes))
}

/// One booking, from applied to ready.
async fn booking(cluster: &Cluster<'_>) -> Result<Row, Failure> {
    println!("a booking ...");
    let due = cluster.bookings("first", 1, SignedDuration::from_secs(5)).await?;
    let begun = Instant::now();
    cluster
        .kubectl(&["wait", "--for=condition=Ready", "booking", "first-0", "-n", "default", "--timeout=60s"])
        .await?;
    let row = row(cluster, "a booking, until it is ready", begun.elapsed(), &due).await?;
    cluster.over(&due).await?;
    Ok(row)
}

async fn during(cluster: &Cluster<'_>, event: Event) -> Result<Row, Failure> {
    let (what, prefix) = match event {
        Event::LeaderDeleted => ("the leader's Pod is deleted".to_owned(), "leader".to_owned()),
        Event::RolloutRestart => ("rollout restart".to_owned(), "rollout".to_owned()),
        Event::Scale(count) => (format!("scaled to {count}"), format!("scale-{count}")),
    };
    println!("{what}, {DUE} bookings fall due ...");
    let due = cluster.bookings(&prefix, DUE, AHEAD).await?;
    // It happens while the second of them is due.
    if let Some(Due { at, .. }) = due.get(1) {
        sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()).await;
    }
    let begun = Instant::now();
    match event {
        Event::LeaderDeleted => {
            let leader = cluster.leader().await?;
            cluster.kubectl(&["delete", "pod", &leader, "-n", NAMESPACE, "--wait=false"]).await?;
        }
        Event::RolloutRestart => {
            cluster.kubectl(&["rollout", "restart", "deployment/booking-operator", "-n", NAMESPACE]).await?;
        }
        Event::Scale(count) => {
            let replicas = format!("--replicas={count}");
            cluster.kubectl(&["scale", "deployment/booking-operator", "-n", NAMESPACE, &replicas]).await?;
        }
    }
    cluster.rolled_out().await?;
    let took = begun.elapsed();
    if let Some(Due { at, .. }) = due.last() {
        let last = *at + SignedDuration::from_secs(3);
        sleep(Duration::try_from(last.duration_since(Timestamp::now())).unwrap_or_default()).await;
    }
    let row = row(cluster, &what, took, &due).await?;
    cluster.over(&due).await?;
    Ok(row)
}

async fn row(cluster: &Cluster<'_>, what: &str, took: Duration, due: &[Due]) -> Result<Row, Failure> {
    let started = cluster.started(due).await?;
    for (due, it) in due.iter().zip(&started).filter(|(_, it)| it.late_ms > LATEST_MS) {
        println!(
            "  {} was due at {} and started {} ms late by {}",
            due.name,
            due.at,
            it.late_ms,
            it.callers.join(", ")
        );
    }
    let mut late: Vec<i64> = started.iter().map(|it| it.late_ms).collect();
    late.sort_unstable();
    let at = |place: usize| late.get(place).copied().unwrap_or(i64::MAX);
    let twice = started.iter().filter(|it| it.callers.len() != 1).count();
    let (middle, last) = (at(late.len() / 2), at(late.len().saturating_sub(1)));
    Ok(Row {
        what: what.to_owned(),
        took_s: took.as_secs_f64(),
        late_p50_ms: middle,
        late_max_ms: last,
        twice,
    })
}
