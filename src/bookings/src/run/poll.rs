//! Looks at groups at rest, many at once.
//!
//! A group at rest costs no call and no pass of its own: groups whose last observation is about to be too old are observed
//! together, a few hundred a call, and only a group that has changed gets a pass.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use booking_cloud::{CloudError, CloudKey, Dispatcher};
use booking_runtime::{clock::Clock, queue::WorkQueue};
use tokio::time::Instant;

use super::{clouds::OpenClouds, observations::Observations, observe};

/// Time between two searches for groups that are due, at most; a twentieth of the interval, if that is less.
const TICK: Duration = Duration::from_secs(1);

/// Clouds that are being polled: one poll at a time, because a cloud that hangs is not asked again and again.
#[derive(Debug, Default)]
struct Busy(Mutex<HashSet<CloudKey>>);

/// Ends with the poll, however that ends.
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

/// Keeps what was seen young, for ever.
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
