//! The clouds in use: one dispatcher for each account, region and service, opened when it is first needed.
//!
//! Each account has so many places for passes, and no more: where one does not answer, its keys wait for a place, and
//! those of others go on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_cloud::{Cloud, CloudKey, Clouds, Dispatcher, budget::Action};
use bookings::decide::{groups::instance::TAG_APPLICATION, locations::Place};
use tokio::sync::Mutex;

use crate::{
    controller::{Key, queue::WorkQueue},
    telemetry::metered::Metered,
};

/// See the module. There are as many as places are allowed, times the kinds of machines.
pub struct OpenClouds {
    clouds: Arc<dyn Clouds>,
    /// With the external id that it was opened with: another one takes its place.
    open: Mutex<HashMap<CloudKey, Opened>>,
    /// Which part of a budget is ours as long as nobody waits for anything.
    even: SyncMutex<f64>,
    lanes: Arc<Lanes>,
}

/// A cloud, and the external id that it was opened with.
type Opened = (Option<String>, Arc<Dispatcher>);

/// A key that waits for a place asks again by itself after so long.
pub const LONGEST_TURN: Duration = Duration::from_secs(10);

/// Passes at clouds, and the keys that wait for a place.
struct Lanes {
    /// By account: its role.
    state: SyncMutex<HashMap<String, Lane>>,
    places: usize,
    queue: Arc<WorkQueue>,
}

#[derive(Debug, Default)]
struct Lane {
    taken: usize,
    waiting: VecDeque<Key>,
    waits: HashSet<Key>,
}

/// A place at an account; free again when it is dropped.
pub struct Visit {
    lanes: Arc<Lanes>,
    account: String,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.account) else { return };
        lane.taken -= 1;
        while let Some(next) = lane.waiting.pop_front() {
            if lane.waits.remove(&next) {
                self.lanes.queue.add(next);
                break;
            }
        }
    }
}

impl OpenClouds {
    /// None is open yet. Each will have so many places; keys that wait for one come back to `queue`.
    pub fn new(clouds: Arc<dyn Clouds>, places: usize, queue: Arc<WorkQueue>) -> Self {
        let lanes = Arc::new(Lanes { state: SyncMutex::default(), places, queue });
        Self { clouds, open: Mutex::default(), even: SyncMutex::new(1.0), lanes }
    }

    /// Takes a place for a pass over `key`; if there is none, the key is due again when one is free. A key whose turn
    /// comes may have no use for its place, so nobody relies on that alone: see [`LONGEST_TURN`].
    pub fn enter(&self, cloud: &CloudKey, key: &Key) -> Option<Visit> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(cloud.account.clone()).or_default();
        if lane.taken >= self.lanes.places {
            if lane.waits.insert(key.clone()) {
                lane.waiting.push_back(key.clone());
            }
            return None;
        }
        // It may have come by itself before its turn.
        lane.waits.remove(key);
        lane.taken += 1;
        Some(Visit { lanes: self.lanes.clone(), account: cloud.account.clone() })
    }

    /// The cloud of a place for a kind of machines, `ec2` or `rds`.
    pub async fn get(&self, place: &Place, service: &str) -> Arc<Dispatcher> {
        let cloud = Cloud { key: key(place, service), external_id: place.external_id.clone() };
        let mut open = self.open.lock().await;
        if let Some((_, known)) = open.get(&cloud.key).filter(|(id, _)| *id == cloud.external_id) {
            return known.clone();
        }
        // Sends nothing, so nobody waits for a call behind the lock.
        let provider = Arc::new(Metered(self.clouds.open(&cloud).await));
        let dispatcher = Arc::new(Dispatcher::new(provider, TAG_APPLICATION));
        let even = *self.even.lock().unwrap_or_else(PoisonError::into_inner);
        for action in Action::ALL {
            dispatcher.set_share(action, even, 1.0);
        }
        open.insert(cloud.key, (cloud.external_id, dispatcher.clone()));
        dispatcher
    }

    /// Clouds that are opened from now on begin with this part of their budgets.
    pub fn set_even(&self, part: f64) {
        *self.even.lock().unwrap_or_else(PoisonError::into_inner) = part;
    }

    /// Those that are open.
    pub async fn all(&self) -> Vec<Arc<Dispatcher>> {
        self.open.lock().await.values().map(|(_, cloud)| cloud.clone()).collect()
    }
}

/// What tells the cloud of a place from others.
pub fn key(place: &Place, service: &str) -> CloudKey {
    CloudKey { account: place.role_arn.clone(), region: place.region.clone(), service: service.to_owned() }
}

#[cfg(test)]
mod tests {
    use booking_cloud::{Aws, Cloud, Provider};

    use super::*;
    use crate::controller::Kind;

    struct Nowhere;

    #[async_trait::async_trait]
    impl Clouds for Nowhere {
        fn region(&self) -> &'static str {
            "here-1"
        }

        async fn open(&self, _: &Cloud) -> Arc<dyn Provider> {
            let config = aws_config::SdkConfig::builder().region(aws_config::Region::new("here-1")).build();
            Aws::new(config, "group", "tests").unwrap().open(&cloud("x")).await
        }
    }

    fn cloud(account: &str) -> Cloud {
        let key = CloudKey { account: account.into(), region: "here-1".into(), service: "ec2".into() };
        Cloud { key, external_id: None }
    }

    fn key(name: &str) -> Key {
        Key { kind: Kind::Resource, namespace: "n".into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cloud_without_a_place_keeps_its_own_keys_waiting_and_no_others() {
        // given two places at each cloud, both taken at one
        let queue = Arc::new(WorkQueue::default());
        let clouds = OpenClouds::new(Arc::new(Nowhere), 2, queue.clone());
        let (bad, good) = (cloud("bad").key, cloud("good").key);
        let first = clouds.enter(&bad, &key("a")).unwrap();
        let _second = clouds.enter(&bad, &key("b")).unwrap();
        // when others come, then those of that cloud wait
        assert!(clouds.enter(&bad, &key("c")).is_none());
        assert!(clouds.enter(&bad, &key("c")).is_none());
        assert!(clouds.enter(&good, &key("d")).is_some());
        assert_eq!(queue.depth(), 0);
        // when a place is free, then the first of them is due, once
        drop(first);
        assert_eq!(queue.next().await, key("c"));
        let none = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(none.await.is_err());
        assert!(clouds.enter(&bad, &key("c")).is_some());
    }
}
