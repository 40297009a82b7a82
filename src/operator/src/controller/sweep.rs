//! Which groups of machines there are. Monitors of one kind of machines share a sweep, however many they are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use booking_cloud::{CloudError, InstanceState, Provider};
use booking_core::{
    instance::{TAG_APPLICATION, TAG_MANAGED},
    instant,
    monitor::Groups,
};
use jiff::Timestamp;
use tokio::{sync::Mutex, time::Instant};

use crate::clock::Clock;

/// A sweep that is younger than this part of an interval serves for another monitor, too.
const SHARED_FOR: u32 = 2;

/// The last sweep of each kind of machines.
#[derive(Debug, Default)]
pub struct Sweeps(Mutex<HashMap<String, Swept>>);

#[derive(Clone, Debug)]
struct Swept {
    ended: Instant,
    at: Timestamp,
    groups: Arc<Groups>,
}

impl Sweeps {
    /// The groups that there are, at an instant not longer ago than half an interval. None while a sweep is
    /// under way.
    pub async fn find(
        &self,
        provider: &dyn Provider,
        interval: Duration,
        clock: &Clock,
    ) -> Option<Result<(Timestamp, Arc<Groups>), CloudError>> {
        let mut last = self.0.try_lock().ok()?;
        let now = clock.now();
        let service = &provider.key().service;
        let is_fresh = |swept: &&Swept| {
            swept.ended.elapsed() < interval / SHARED_FOR
                && swept.at <= now
                && instant::elapsed(swept.at, now) < interval
        };
        if let Some(swept) = last.get(service).filter(is_fresh) {
            return Some(Ok((swept.at, swept.groups.clone())));
        }
        let machines = match provider.discover(&(TAG_MANAGED.to_owned(), "true".to_owned())).await {
            Ok(machines) => machines,
            Err(error) => return Some(Err(error)),
        };
        let mut groups: Groups = BTreeMap::new();
        for machine in machines.into_iter().filter(|machine| machine.state != InstanceState::Terminated) {
            if let Some(tag) = machine.tags.get(TAG_APPLICATION).filter(|tag| !tag.is_empty()) {
                groups.entry(tag.clone()).or_default().insert(machine.id);
            }
        }
        let swept = Swept { ended: Instant::now(), at: now, groups: Arc::new(groups) };
        last.insert(service.clone(), swept.clone());
        Some(Ok((swept.at, swept.groups)))
    }
}
