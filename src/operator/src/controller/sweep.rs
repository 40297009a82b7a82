//! Which groups of machines there are. Monitors of one kind of machines share a sweep, however many they are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use booking_cloud::{CloudError, InstanceState, Provider};
use booking_core::{
    instance::{TAG_APPLICATION, TAG_MANAGED},
    monitor::Groups,
};
use jiff::Timestamp;
use tokio::{sync::Mutex, time::Instant};

/// A sweep that is younger than this part of an interval serves for another monitor, too.
const SHARED_FOR: u32 = 2;

/// The last sweep of each kind of machines.
#[derive(Debug, Default)]
pub struct Sweeps(Mutex<HashMap<String, Swept>>);

#[derive(Clone, Debug)]
struct Swept {
    begun: Instant,
    at: Timestamp,
    groups: Arc<Groups>,
}

impl Sweeps {
    /// The groups that there are, at an instant not longer ago than half an interval.
    ///
    /// # Errors
    /// Whatever the cloud answers.
    pub async fn find(
        &self,
        provider: &dyn Provider,
        interval: Duration,
        now: Timestamp,
    ) -> Result<(Timestamp, Arc<Groups>), CloudError> {
        // Whoever comes meanwhile waits for this one, instead of asking the same.
        let mut last = self.0.lock().await;
        let service = &provider.key().service;
        if let Some(swept) = last.get(service).filter(|swept| swept.begun.elapsed() < interval / SHARED_FOR) {
            return Ok((swept.at, swept.groups.clone()));
        }
        let begun = Instant::now();
        let machines = provider.discover(&(TAG_MANAGED.to_owned(), "true".to_owned())).await?;
        let mut groups: Groups = BTreeMap::new();
        for machine in machines.into_iter().filter(|machine| machine.state != InstanceState::Terminated) {
            if let Some(tag) = machine.tags.get(TAG_APPLICATION).filter(|tag| !tag.is_empty()) {
                groups.entry(tag.clone()).or_default().insert(machine.id);
            }
        }
        let swept = Swept { begun, at: now, groups: Arc::new(groups) };
        last.insert(service.clone(), swept.clone());
        Ok((swept.at, swept.groups))
    }
}
