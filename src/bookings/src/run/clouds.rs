//! The clouds in use: one dispatcher for each account, region and service, opened when it is first needed. There are as many as
//! locations are allowed, times the kinds of machines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
};

use booking_budget::Action;
use booking_cloud::{Cloud, CloudKey, Clouds, Dispatcher};
use tokio::sync::Mutex;

use super::metered::Metered;
use crate::decide::{groups::machine::TAG_APPLICATION, locations::Location};

/// A cloud, and the external id that it was opened with.
type Opened = (Option<String>, Arc<Dispatcher>);

/// See the module.
pub struct OpenClouds {
    clouds: Arc<dyn Clouds>,
    /// With the external id that it was opened with: another one takes its place.
    open: Mutex<HashMap<CloudKey, Opened>>,
    /// Which part of a budget is ours as long as nobody waits for anything.
    even: SyncMutex<f64>,
}

impl OpenClouds {
    /// None is open yet.
    pub fn new(clouds: Arc<dyn Clouds>) -> Self {
        Self { clouds, open: Mutex::default(), even: SyncMutex::new(1.0) }
    }

    /// The cloud of a location for a kind of machines, `ec2` or `rds`.
    pub async fn get(&self, location: &Location, service: &str) -> Arc<Dispatcher> {
        let cloud = Cloud { key: key(location, service), external_id: location.external_id.clone() };
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

/// What tells the cloud of a location from others.
pub fn key(location: &Location, service: &str) -> CloudKey {
    CloudKey {
        account: location.role_arn.clone(),
        region: location.region.clone(),
        service: service.to_owned(),
    }
}
