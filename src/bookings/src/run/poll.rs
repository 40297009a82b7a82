//! Polls: observes groups at rest, many in one call.
//!
//! A group at rest needs no call and no pass of its own. Groups whose last observation is about to be too old are
//! observed together, a few hundred per call. Only a group that has changed gets a pass.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use booking_cloud::{CloudError, CloudKey, Dispatcher};
use booking_runtime::{clock::Clock, queue::WorkQueue};
use tokio::time::Instant;

use super::{clouds::OpenClouds, observations::Observations, observe};

/// The longest time between two searches for groups that are due. If a twentieth of the interval is shorter, that is
/// used.
const TICK: Duration = Duration::from_secs(1);

/// Clouds that are being polled. Each has at most one poll at a time, so that a cloud that hangs is not asked
/// repeatedly.
#[derive(Debug, Default)]
struct Busy(Mutex<HashSet<CloudKey>>);

/// Marks a cloud as being polled until it is dropped, however the poll ends.
struct BusyCloud(Arc<Busy>, CloudKey);

impl Busy {
    fn enter(self: &Arc<Self>, cloud: &CloudKey) -> Option<BusyCloud> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(cloud.clone());
        is_new.then(|| BusyCloud(self.clone(), cloud.clone()))
    }
}

impl Drop for BusyCloud {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Polls forever, so that observations stay young.
pub async fn poll(
    observations: Arc<Observations>,
    clouds: Arc<OpenClouds>,
    queue: Arc<WorkQueue>,
    clock: Clock,
    interval: Duration,
) {
    let mut ticks = tokio::time::interval(TICK.min(interval / 20).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let busy: Arc<Busy> = Arc::default();
    let mut polls = tokio::task::JoinSet::new();
    loop {
        ticks.tick().await;
        while polls.try_join_next().is_some() {}
        for cloud in clouds.all().await {
            let tags = observations.due(cloud.key(), interval);
            if tags.is_empty() {
                continue;
            }
            let Some(busy) = busy.enter(cloud.key()) else { continue };
            let (observations, queue, clock) = (observations.clone(), queue.clone(), clock.clone());
            polls.spawn(async move {
                let _busy = busy;
                poll_one(&observations, &cloud, &tags, (&queue, &clock)).await;
            });
        }
    }
}

async fn poll_one(
    observations: &Observations,
    cloud: &Dispatcher,
    tags: &[String],
    (queue, clock): (&WorkQueue, &Clock),
) {
    let (at, asked) = (clock.now(), Instant::now());
    let answer = cloud.poll(tags).await;
    let keys = match answer {
        Ok(found) => {
            let read = |(tag, machines): (&String, &Vec<_>)| {
                (tag.clone(), machines.iter().cloned().map(observe::read).collect())
            };
            observations.found(cloud.key(), tags, found.iter().map(read).collect(), (at, asked))
        }
        Err(error) => {
            log(cloud.key(), &error);
            observations.failed(cloud.key(), tags, asked)
        }
    };
    for key in keys {
        queue.add(key);
    }
}

fn log(cloud: &CloudKey, error: &CloudError) {
    let CloudKey { account, region, service } = cloud;
    tracing::warn!(account, region, service, class = error.class.as_str(), "a poll failed: {error}");
}
