//! The faults that hit one ring. Each begins and ends with a settled ring.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    clock::At,
    history::{KeyId, Pause},
    kinds::{Kind, LEASE},
    process::{Process, RING},
    proxy::Mode,
    ring::{REPLICAS, Ring},
    site::Failure,
    view::rings,
};

/// How long to wait for a new owner's first call.
const TAKEN_LIMIT: Duration = Duration::from_secs(40);
/// How long a process may take to end when it is told to.
const EXIT_LIMIT: Duration = Duration::from_secs(30);
/// How long after its end a fault without a promise explains lateness.
const RECOVERY: Duration = Duration::from_secs(10);

/// The result of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The fault.
    pub(crate) kind: Kind,
    /// The times from each loss of an owner to the first call of the new one, for the last of its keys.
    pub(crate) failovers: Vec<Duration>,
    /// The number of rings that the same fault hit.
    pub(crate) rings: usize,
    /// The most changes of owners of one slot, if a limit is promised.
    pub(crate) moves: Option<usize>,
}

/// Causes a fault and waits for its end.
///
/// # Errors
/// If the ring does not settle before or after it, or nobody takes over.
pub(crate) async fn run(ring: &mut Ring, kind: Kind) -> Result<Sample, Failure> {
    ring.settle().await?;
    ring.any_phase().await;
    let mut sample = Sample { kind, failovers: Vec::new(), rings: 1, moves: None };
    sample.failovers = match kind {
        Kind::Sigkill | Kind::Proof | Kind::Restart => {
            let victim = ring.any_victim().ok_or("nobody owns a key")?;
            kill(ring, kind, &victim).await?
        }
        Kind::LeaderKill => {
            let leader = ring.leader().ok_or("nobody leads")?;
            kill(ring, kind, &leader).await?
        }
        Kind::Sigstop => freeze(ring).await?,
        Kind::Partition | Kind::PartitionRequests | Kind::PartitionReplies => partition(ring, kind).await?,
        Kind::Slow | Kind::WatchStall => hinder(ring, kind).await?,
        Kind::Skew => skew(ring).await?,
        Kind::Graceful => {
            let victim = ring.any_victim().ok_or("nobody owns a key")?;
            hand_over(ring, kind, &[victim]).await?
        }
        Kind::Rollout => {
            let begun = At::now();
            let failovers = rollout(ring).await?;
            sample.moves = Some(most_moves(ring, begun));
            failovers
        }
        Kind::Scale => scale(ring).await?,
        Kind::RingDeleted => vec![delete_ring(ring).await?],
        Kind::ApiRestart | Kind::ApiOutage | Kind::EtcdRestore => {
            return Err(format!("{kind} hits all rings").into());
        }
    };
    while ring.processes.len() < REPLICAS {
        ring.add(None).await?;
    }
    ring.settle().await?;
    Ok(sample)
}

/// Records a fault for the keys of a Pod's process, for as long as the kind's bound excuses. Returns the keys.
fn strike(ring: &mut Ring, kind: Kind, pod: &str, at: At) -> BTreeSet<KeyId> {
    let keys = ring.keys_of(&ring.viewer.now(), pod);
    ring.note(kind, at, at.plus(kind.bound().unwrap_or_default()), Some(keys.clone()));
    keys
}

/// When each of the keys saw the first call of another process.
async fn taken_over(
    ring: &Ring,
    keys: &BTreeSet<KeyId>,
    gone: &[Arc<str>],
    from: At,
) -> Result<BTreeMap<KeyId, At>, Failure> {
    let gone = gone.iter().cloned().collect();
    let taken = ring.taken_over(keys, &gone, from, TAKEN_LIMIT).await;
    taken.ok_or_else(|| format!("{keys:?} of {gone:?} are not taken over").into())
}

/// How long the last of the keys was without an owner. None if there are no keys, as a leader may own none.
fn last_since(taken: &BTreeMap<KeyId, At>, from: At) -> Option<Duration> {
    taken.values().max().map(|last| last.since(from))
}

/// Returns how long the victim's keys were without an owner. It returns nothing if the victim had none, as a leader may
/// own none.
async fn kill(ring: &mut Ring, kind: Kind, victim: &str) -> Result<Vec<Duration>, Failure> {
    let process = ring.take(victim)?;
    let incarnation = ring.viewer.now().member(process.pod()).map(str::to_owned);
    let at = At::now();
    process.guarded().kill()?;
    let keys = strike(ring, kind, process.pod(), at);
    match kind {
        Kind::Proof => {
            let incarnation = incarnation.ok_or("the victim is no member")?;
            process.place.report_death(&ring.site.client, &ring.namespace, &incarnation).await?;
        }
        Kind::Restart => drop(ring.add_in(&process.place, None).await?),
        // Some are replaced at once, others after the ring has noticed.
        _ if ring.random.bool() => drop(ring.add(None).await?),
        _ => {}
    }
    let taken = taken_over(ring, &keys, std::slice::from_ref(&process.name), at).await?;
    process.stop().await;
    Ok(last_since(&taken, at).into_iter().collect())
}

async fn freeze(ring: &mut Ring) -> Result<Vec<Duration>, Failure> {
    let victim = ring.any_victim().ok_or("nobody owns a key")?;
    let process = ring.take(&victim)?;
    let at = At::now();
    process.guarded().pause()?;
    let keys = strike(ring, Kind::Sigstop, process.pod(), at);
    let longer = Duration::from_millis(ring.random.u64(3_000..10_000));
    let thaw = async {
        sleep(LEASE + longer).await;
        let resumed = At::now();
        process.guarded().resume().map(|()| resumed)
    };
    let gone = [victim.clone()];
    let (resumed, taken) = tokio::join!(thaw, taken_over(ring, &keys, &gone, at));
    ring.pauses.push(Pause { process: victim, paused: at, resumed: resumed? });
    ring.processes.push(process);
    Ok(last_since(&taken?, at).into_iter().collect())
}

async fn partition(ring: &mut Ring, kind: Kind) -> Result<Vec<Duration>, Failure> {
    let victim = ring.any_victim().ok_or("nobody owns a key")?;
    let process = ring.take(&victim)?;
    let proxy = process.place.proxy.clone();
    let at = At::now();
    let (requests, replies) = (kind != Kind::PartitionReplies, kind != Kind::PartitionRequests);
    proxy.set(Mode::Hold { requests, replies });
    let keys = strike(ring, kind, process.pod(), at);
    let taken = taken_over(ring, &keys, &[victim], at).await;
    sleep(Duration::from_millis(ring.random.u64(0..8_000))).await;
    // If replies are lost, the next renewal still takes effect, and it is the last one. The later ones start from an
    // old version, because their writer never heard of the new one. The same is true of the leader Lease.
    let silent = proxy.traffic().last_renewals_since(at).filter(|_| !requests).unwrap_or(at);
    proxy.set(Mode::Pass);
    ring.processes.push(process);
    Ok(last_since(&taken?, silent).into_iter().collect())
}

/// Causes faults under which a process may keep its slots.
async fn hinder(ring: &mut Ring, kind: Kind) -> Result<Vec<Duration>, Failure> {
    let victim = ring.any_victim().ok_or("nobody owns a key")?;
    let process = ring.take(&victim)?;
    let proxy = process.place.proxy.clone();
    let keys = ring.keys_of(&ring.viewer.now(), process.pod());
    let at = At::now();
    proxy.set(match kind {
        Kind::WatchStall => Mode::StallWatches,
        _ => Mode::Slow(Duration::from_millis(ring.random.u64(200..1_200))),
    });
    sleep(LEASE + Duration::from_millis(ring.random.u64(3_000..12_000))).await;
    proxy.set(Mode::Pass);
    // If only watches stand still, nothing may be late, because the process knows long before what is due.
    let excused = if kind == Kind::WatchStall { at } else { At::now().plus(RECOVERY) };
    ring.note(kind, at, excused, Some(keys));
    ring.processes.push(process);
    Ok(Vec::new())
}

async fn skew(ring: &mut Ring) -> Result<Vec<Duration>, Failure> {
    let replaced = ring.any_victim().ok_or("nobody owns a key")?;
    ring.note(Kind::Skew, At::now(), At::now(), Some(BTreeSet::new()));
    end(ring.take(&replaced)?).await?;
    let skew = if ring.random.bool() { "+1h" } else { "-1h" };
    let skewed = ring.add(Some(skew)).await?;
    ring.settle().await?;
    // For a while it works by its wrong clock. Then it must notice that another process is gone, or others must notice
    // that it is gone.
    sleep(Duration::from_millis(ring.random.u64(12_000..20_000))).await;
    let other = ring.any_victim().ok_or("nobody owns a key")?;
    let victim = if ring.random.bool() { skewed.clone() } else { other };
    let taken = kill(ring, Kind::Skew, &victim).await;
    if let Ok(process) = ring.take(&skewed) {
        end(process).await?;
    }
    taken
}

/// Tells a process to end, and waits for its end.
async fn end(process: Process) -> Result<(), Failure> {
    process.guarded().terminate()?;
    exited(process).await
}

async fn exited(process: Process) -> Result<(), Failure> {
    let code = timeout(EXIT_LIMIT, process.guarded().wait()).await;
    let code = code.map_err(|_| format!("{} has not ended {EXIT_LIMIT:?} after SIGTERM", process.name))?;
    if code == Some(0) {
        return Ok(());
    }
    let last = process.guarded().log_tail(10);
    Err(format!("{} ended with {code:?} after SIGTERM; its last words:\n{last}", process.name).into())
}

/// Tells processes to end at the same time. Times count from the end of their last calls.
async fn hand_over(ring: &mut Ring, kind: Kind, victims: &[Arc<str>]) -> Result<Vec<Duration>, Failure> {
    let mut leaving = Vec::new();
    let at = At::now();
    for victim in victims {
        let process = ring.take(victim)?;
        process.guarded().terminate()?;
        leaving.push((strike(ring, kind, process.pod(), at), process));
    }
    let mut failovers = Vec::new();
    for (keys, process) in leaving {
        let taken = taken_over(ring, &keys, victims, at).await?;
        let name = process.name.clone();
        exited(process).await?;
        // The process works until its successors are named, and its running calls may end.
        failovers.extend(last_since(&taken, ring.calls_ended(&name, at)));
    }
    Ok(failovers)
}

/// Starts one process and ends another one, until all are new. A Deployment does the same with maxSurge 1 and
/// maxUnavailable 0.
async fn rollout(ring: &mut Ring) -> Result<Vec<Duration>, Failure> {
    ring.next_release();
    let old: Vec<Arc<str>> = ring.processes.iter().map(|process| process.name.clone()).collect();
    let mut failovers = Vec::new();
    for victim in old {
        ring.add(None).await?;
        failovers.extend(hand_over(ring, Kind::Rollout, &[victim]).await?);
    }
    Ok(failovers)
}

fn most_moves(ring: &Ring, since: At) -> usize {
    let mut slots: Vec<u16> =
        ring.viewer.owned().into_iter().filter(|owned| owned.seen >= since).map(|owned| owned.slot).collect();
    slots.sort_unstable();
    slots.chunk_by(PartialEq::eq).map(<[u16]>::len).max().unwrap_or(0)
}

async fn scale(ring: &mut Ring) -> Result<Vec<Duration>, Failure> {
    let mut failovers = leave(ring, 2).await?;
    ring.settle().await?;
    for _ in 0..4 {
        ring.add(None).await?;
    }
    ring.settle().await?;
    failovers.extend(leave(ring, 3).await?);
    ring.settle().await?;
    Ok(failovers)
}

/// Lets this number of processes leave together.
async fn leave(ring: &mut Ring, count: usize) -> Result<Vec<Duration>, Failure> {
    let mut names: Vec<Arc<str>> = ring.processes.iter().map(|process| process.name.clone()).collect();
    ring.random.shuffle(&mut names);
    names.truncate(count);
    hand_over(ring, Kind::Scale, &names).await
}

/// Deletes the ring. The time counts from the deletion until a new ring is like the old one.
async fn delete_ring(ring: &mut Ring) -> Result<Duration, Failure> {
    let rings = rings(ring.site.client.clone(), &ring.namespace);
    let old = ring.viewer.now().uid;
    let permission = json!({"metadata": {"annotations": {"manager.kotaico.de/allow-deletion": "true"}}});
    rings.patch(RING, &PatchParams::default(), &Patch::Merge(&permission)).await?;
    let at = At::now();
    rings.delete(RING, &DeleteParams::default()).await?;
    let another =
        timeout(TAKEN_LIMIT, ring.viewer.until(|view| !view.uid.is_empty() && view.uid != old)).await;
    let settled = ring.settle().await;
    ring.note(Kind::RingDeleted, at, At::now(), None);
    another.map_err(|_| "nobody made a new ring")?;
    settled.map(|()| At::now().since(at))
}
