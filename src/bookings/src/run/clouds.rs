//! The clouds in use: one dispatcher for each account, region and service. It is opened when it is first needed.
//! There are at most as many as allowed locations times kinds of machines.

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

/// All open clouds, and how to open others.
pub struct OpenClouds {
    clouds: Arc<dyn Clouds>,
    /// With the external id with which it was opened. If the id changes, the cloud is opened again.
    open: Mutex<HashMap<CloudKey, Opened>>,
    /// The share of a budget that this replica has while nobody waits for anything.
    even: SyncMutex<f64>,
}

impl OpenClouds {
    /// Creates it without any open cloud.
    pub fn new(clouds: Arc<dyn Clouds>) -> Self {
        Self { clouds, open: Mutex::default(), even: SyncMutex::new(1.0) }
    }

    /// The cloud of a location and a kind of machines (`ec2` or `rds`).
    pub async fn get(&self, location: &Location, service: &str) -> Arc<Dispatcher> {
        let cloud = Cloud { key: key(location, service), external_id: location.external_id.clone() };
        let mut open = self.open.lock().await;
        if let Some((_, known)) = open.get(&cloud.key).filter(|(id, _)| *id == cloud.external_id) {
            return known.clone();
        }
        // Opening sends nothing, so no caller waits for a call while the mutex is locked.
        let provider = Arc::new(Metered(self.clouds.open(&cloud).await));
        let dispatcher = Arc::new(Dispatcher::new(provider, TAG_APPLICATION));
        let even = *self.even.lock().unwrap_or_else(PoisonError::into_inner);
        for action in Action::ALL {
            dispatcher.set_share(action, even, 1.0);
        }
        open.insert(cloud.key, (cloud.external_id, dispatcher.clone()));
        dispatcher
    }

    /// Sets the share of their budgets with which clouds start that are opened from now on.
    pub fn set_even(&self, part: f64) {
        *self.even.lock().unwrap_or_else(PoisonError::into_inner) = part;
    }

    /// All open clouds.
    pub async fn all(&self) -> Vec<Arc<Dispatcher>> {
        self.open.lock().await.values().map(|(_, cloud)| cloud.clone()).collect()
    }
}

/// The identity of a location's cloud.
pub fn key(location: &Location, service: &str) -> CloudKey {
    CloudKey {
        account: location.role_arn.clone(),
        region: location.region.clone(),
        service: service.to_owned(),
    }
}
