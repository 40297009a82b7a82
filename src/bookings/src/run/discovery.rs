//! Finds out which groups of machines exist. All monitors of one cloud share a discovery scan. Monitors of other
//! clouds neither wait for it nor fail because of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::decide::{
    groups::machine::{TAG_APPLICATION, TAG_MANAGED},
    monitors::Groups,
};
use booking_calendar::instant;
use booking_cloud::{CloudError, CloudKey, Dispatcher, InstanceState};
use booking_runtime::clock::Clock;
use jiff::Timestamp;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// A scan that is younger than an interval divided by this is used for another monitor, too.
const SHARED_FOR: u32 = 2;

/// The last scan of each cloud. An entry is locked while its scan is under way.
#[derive(Debug, Default)]
pub struct Discovery(Mutex<HashMap<CloudKey, Arc<AsyncMutex<Option<Scanned>>>>>);

#[derive(Clone, Debug)]
struct Scanned {
    ended: Instant,
    at: Timestamp,
    groups: Arc<Groups>,
}

impl Discovery {
    fn of(&self, cloud: &CloudKey) -> Arc<AsyncMutex<Option<Scanned>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(cloud.clone()).or_default().clone()
    }

    /// The groups that exist, from a scan that is at most half an interval old. None while a scan is under way.
    pub async fn find(
        &self,
        cloud: &Dispatcher,
        interval: Duration,
        clock: &Clock,
    ) -> Option<Result<(Timestamp, Arc<Groups>), CloudError>> {
        let of_cloud = self.of(cloud.key());
        let mut last = of_cloud.try_lock().ok()?;
        let now = clock.now();
        let is_fresh = |scanned: &&Scanned| {
            scanned.ended.elapsed() < interval / SHARED_FOR
                && scanned.at <= now
                && instant::elapsed(scanned.at, now) < interval
        };
        if let Some(scanned) = last.as_ref().filter(is_fresh) {
            return Some(Ok((scanned.at, scanned.groups.clone())));
        }
        let machines = match cloud.discover(&(TAG_MANAGED.to_owned(), "true".to_owned())).await {
            Ok(machines) => machines,
            Err(error) => return Some(Err(error)),
        };
        let mut groups: Groups = BTreeMap::new();
        for machine in machines.into_iter().filter(|machine| machine.state != InstanceState::Terminated) {
            if let Some(tag) = machine.tags.get(TAG_APPLICATION).filter(|tag| !tag.is_empty()) {
                groups.entry(tag.clone()).or_default().insert(machine.id);
            }
        }
        let scanned = Scanned { ended: Instant::now(), at: now, groups: Arc::new(groups) };
        *last = Some(scanned.clone());
        Some(Ok((scanned.at, scanned.groups)))
    }
}
