//! Events that happen to Pods while bookings fall due. Each booking must be started in time, by one replica.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{
    bookings::{Due, Pace},
    cluster::{Cluster, Pod},
    failure::Failure,
    names::{NAMESPACE, USERS},
    report::Row,
};

/// One booking a second, while replicas hand over their slots.
const STEADILY: Pace = Pace { count: 30, per_second: 1, ahead: SignedDuration::from_secs(8) };
/// So many bookings that some of them belong to a replica that is gone.
const DENSELY: Pace = Pace { count: 36, per_second: 3, ahead: SignedDuration::from_secs(8) };
/// How late a start may be while replicas hand over.
const HANDED_OVER_MS: i64 = 2000;
/// How late a start may be after a death that the kubelet reports. It covers the time of a call that may be under way
/// (4 s), the time until the kubelet notices, and the seal.
const DEATH_PROVEN_MS: i64 = 6000;

/// An event for the Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The leader's Pod is deleted.
    LeaderDeleted,
    /// The leader's Pod is evicted, as a drain does, and immediately afterwards another one.
    Evicted,
    /// All Pods are replaced.
    RolloutRestart,
    /// The Deployment is scaled to this number.
    Scale(u8),
    /// The leader's process is killed.
    Killed,
    /// A process that is not the leader is killed because it has no memory.
    OutOfMemory,
}

const SHORT: [Event; 2] = [Event::LeaderDeleted, Event::RolloutRestart];
const LONG: [Event; 6] =
    [Event::Evicted, Event::Scale(5), Event::Scale(1), Event::Scale(3), Event::Killed, Event::OutOfMemory];

impl Event {
    fn name(self) -> String {
        match self {
            Self::LeaderDeleted => "the leader's Pod is deleted".to_owned(),
            Self::Evicted => "the leader's Pod is evicted".to_owned(),
            Self::RolloutRestart => "rollout restart".to_owned(),
            Self::Scale(count) => format!("scaled to {count}"),
            Self::Killed => "the leader's process is killed".to_owned(),
            Self::OutOfMemory => "a process is killed for its memory".to_owned(),
        }
    }

    /// The prefix of the names of its groups: letters, digits and hyphens.
    fn prefix(self) -> String {
        self.name().to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// Whether the event is a death, after which nothing is handed over.
    fn is_death(self) -> bool {
        matches!(self, Self::Killed | Self::OutOfMemory)
    }
}

/// Runs all scenarios, or only those that a change must pass, and adds the results to `rows`.
pub(crate) async fn run(cluster: &Cluster<'_>, short: bool, rows: &mut Vec<Row>) -> Result<(), Failure> {
    rows.push(Row::took("installed, all replicas ready", cluster.installed));
    rows.push(life(cluster).await?);
    rows.push(samples(cluster).await?);
    let long = LONG.into_iter().filter(|_| !short);
    for event in SHORT.into_iter().chain(long) {
        rows.push(during(cluster, event).await?);
    }
    rows.push(deleted_while_held(cluster).await?);
    rows.extend(nothing_was_forbidden(cluster)?);
    Ok(())
}

/// Checks in the audit log that the installed roles had each right that was needed.
fn nothing_was_forbidden(cluster: &Cluster<'_>) -> Result<Option<Row>, Failure> {
    let Some(log) = cluster.site.audit_log() else { return Ok(None) };
    let account = format!("system:serviceaccount:{NAMESPACE}:booking-operator");
    let (mut requests, mut forbidden) = (0, Vec::new());
    for line in log?.lines() {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        let of = |pointer: &str| entry.pointer(pointer).cloned().unwrap_or_default();
        if of("/user/username") == account.as_str() {
            requests += 1;
            if of("/responseStatus/code") == 403 {
                forbidden.push(of("/requestURI").to_string());
            }
        }
    }
    if !forbidden.is_empty() {
        return Err(format!("the operator was forbidden {}", forbidden.join(", ")).into());
    }
    let note = format!("{requests} requests of the operator, none forbidden");
    Ok(Some(Row::took("the audit log", Duration::ZERO).noting(note)))
}

/// One booking that is started in time, becomes ready, is ended early, and is stopped.
async fn life(cluster: &Cluster<'_>) -> Result<Row, Failure> {
    println!("a booking ...");
    let pace = Pace { count: 1, per_second: 1, ahead: SignedDuration::from_secs(5) };
    let due = cluster.bookings("first", pace).await?;
    let begun = Instant::now();
    let (booking, resource) = ("booking/first-0", "resource/first-0");
    cluster.wait_for("condition=Ready", booking).await?;
    let row = Row::new("a booking, until it is ready", begun.elapsed(), HANDED_OVER_MS);
    let row = row.with(cluster, &due, None).await?;
    let end = format!(r#"{{"spec":{{"end_at":"{}"}}}}"#, Timestamp::now());
    cluster.kubectl(&["patch", booking, "-n", USERS, "--type=merge", "-p", &end]).await?;
    cluster.wait_for("jsonpath={.status.status}=FINISHED", booking).await?;
    cluster.wait_for("jsonpath={.status.status}=STOPPED", resource).await?;
    cluster.over(&due).await?;
    Ok(row)
}

/// Checks that the samples are accepted and that their group is found.
async fn samples(cluster: &Cluster<'_>) -> Result<Row, Failure> {
    println!("the samples ...");
    let begun = Instant::now();
    let directory = crate::host::root().join("deploy/samples").display().to_string();
    cluster.kubectl(&["apply", "-n", USERS, "-f", &directory]).await?;
    cluster.wait_for("jsonpath={.status.instances}=3", "resource/ec2.analytics").await?;
    cluster.wait_for("condition=Accepted", "booking/quarterly-report").await?;
    cluster.wait_for("condition=Ready", "bookingscheduler/standup").await?;
    let row = Row::took("the samples, until they are accepted", begun.elapsed());
    cluster.kubectl(&["delete", "-n", USERS, "-f", &directory, "--timeout=60s"]).await?;
    cluster.kubectl(&["delete", "bookings", "--all", "-n", USERS, "--timeout=60s"]).await?;
    Ok(row)
}

async fn during(cluster: &Cluster<'_>, event: Event) -> Result<Row, Failure> {
    let pace = if event.is_death() { DENSELY } else { STEADILY };
    println!("{}, {} bookings fall due ...", event.name(), pace.count);
    let due = cluster.bookings(&event.prefix(), pace).await?;
    // The event happens while the first bookings of the second second fall due.
    if let Some(Due { at, .. }) = due.get(pace.per_second) {
        sleep(until(*at)).await;
    }
    let begun = Instant::now();
    let (note, death) = happen(cluster, event).await?;
    let took = begun.elapsed();
    if let Some(Due { at, .. }) = due.last() {
        sleep(until(*at + SignedDuration::from_secs(3))).await;
    }
    let promised = if event.is_death() { DEATH_PROVEN_MS } else { HANDED_OVER_MS };
    let row = Row::new(&event.name(), took, promised).with(cluster, &due, death).await?;
    cluster.over(&due).await?;
    Ok(row.noting(note))
}

fn until(instant: Timestamp) -> Duration {
    Duration::try_from(instant.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Makes the event happen, and waits until all is well again. Returns other observations, and when a replica died.
async fn happen(cluster: &Cluster<'_>, event: Event) -> Result<(String, Option<Timestamp>), Failure> {
    match event {
        Event::LeaderDeleted => {
            let leader = cluster.leader().await?;
            cluster.kubectl(&["delete", "pod", &leader.name, "-n", NAMESPACE, "--wait=false"]).await?;
        }
        Event::Evicted => {
            let note = evict_two(cluster).await?;
            cluster.rolled_out().await?;
            return Ok((note, None));
        }
        Event::RolloutRestart => {
            cluster.kubectl(&["rollout", "restart", "deployment/booking-operator", "-n", NAMESPACE]).await?;
        }
        Event::Scale(count) => {
            let replicas = format!("--replicas={count}");
            cluster.kubectl(&["scale", "deployment/booking-operator", "-n", NAMESPACE, &replicas]).await?;
        }
        Event::Killed => {
            let leader = cluster.leader().await?;
            let death = cluster.site.kill(&leader.node, &leader.container).await?;
            return Ok((restarted(cluster, &leader, "Error").await?, Some(death)));
        }
        Event::OutOfMemory => {
            let leader = cluster.leader().await?;
            let pods = cluster.pods().await?;
            let other = pods.into_iter().find(|pod| pod.name != leader.name && pod.restarts == 0);
            let other = other.ok_or("all have been restarted")?;
            let death = cluster.site.starve(&other.node, &other.container).await?;
            return Ok((restarted(cluster, &other, "OOMKilled").await?, Some(death)));
        }
    }
    cluster.rolled_out().await?;
    Ok((String::new(), None))
}

/// Checks that one Pod may be evicted at a time: the second eviction is refused until the next Pod is ready.
async fn evict_two(cluster: &Cluster<'_>) -> Result<String, Failure> {
    let leader = cluster.leader().await?;
    let pods = cluster.pods().await?;
    let other = pods.iter().find(|pod| pod.name != leader.name).ok_or("it is alone")?;
    cluster.evict(&leader.name).await?;
    match cluster.evict(&other.name).await {
        Err(refused) if refused.contains("disruption budget") => {
            Ok("a second one at once: refused by the PodDisruptionBudget".to_owned())
        }
        answer => Err(format!("a second Pod was evicted: {answer:?}").into()),
    }
}

/// Waits until the kubelet has restarted a container, and looks at the termination message of the dead one.
async fn restarted(cluster: &Cluster<'_>, before: &Pod, reason: &str) -> Result<String, Failure> {
    let is_back = || async {
        let pod = cluster.pod(&before.name).await;
        pod.is_ok_and(|pod| pod.restarts > before.restarts && pod.is_ready)
    };
    cluster.until("the container is back", is_back).await?;
    let Some((code, why, message)) = cluster.pod(&before.name).await?.ended else {
        return Err("nothing is told of how it ended".into());
    };
    if code != 137 || why != reason {
        return Err(format!("it ended with {code}, {why}, not with 137, {reason}").into());
    }
    // The process wrote the message at its start, as a user without rights, on a read-only root.
    if !message.contains(&before.name) {
        return Err(format!("its termination message does not name it: {message:?}").into());
    }
    Ok(format!("{why}; its termination message names the incarnation"))
}

/// Deletes a Resource under a booking. Its machine must run on without a lock.
async fn deleted_while_held(cluster: &Cluster<'_>) -> Result<Row, Failure> {
    println!("a Resource is deleted while held ...");
    let pace = Pace { count: 1, per_second: 1, ahead: SignedDuration::from_secs(5) };
    let due = cluster.bookings("last", pace).await?;
    cluster.wait_for("condition=Ready", "booking/last-0").await?;
    let begun = Instant::now();
    cluster.kubectl(&["delete", "resource/last-0", "-n", USERS, "--timeout=60s"]).await?;
    let took = begun.elapsed();
    for Due { machine, .. } in &due {
        let machine = cluster.cloud.instance(machine).await?;
        let locks = machine.tags.keys().filter(|key| key.contains("locked")).count();
        if machine.state.name() != "running" || locks > 0 {
            return Err(format!("left behind: {machine:?}").into());
        }
    }
    cluster.kubectl(&["delete", "booking/last-0", "-n", USERS, "--timeout=60s"]).await?;
    Ok(Row::took("a held Resource, until it is deleted", took)
        .noting("its machine runs on, without lock tags"))
}
