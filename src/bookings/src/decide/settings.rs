//! The operator's settings, as far as decisions depend on them.

use std::{sync::Arc, time::Duration};

use crate::decide::locations::Locations;

/// The operator's settings. Durations refer to passes, not to Bookings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The accounts and regions that namespaces may use.
    pub locations: Arc<Locations>,
    /// The adoption grace: how long unbooked machines that run when a Resource is first seen may go on running.
    pub adoption_grace: Duration,
    /// Dry run: decide and report, but send nothing to the cloud and do not change specs and finalizers.
    pub dry_run: bool,
    /// The shortest time between two observations of machines that change state.
    pub poll_shortest: Duration,
    /// The longest time between two observations of machines that change state.
    pub poll_longest: Duration,
    /// The time between two observations of a group at rest.
    pub observe_interval: Duration,
    /// How long the deletion of a Resource waits for the cloud.
    pub release_timeout: Duration,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The settings of a test's operator: an observation every five minutes.
    pub(crate) fn settings() -> Settings {
        Settings {
            locations: Arc::default(),
            adoption_grace: Duration::from_mins(30),
            dry_run: false,
            poll_shortest: Duration::from_secs(1),
            poll_longest: Duration::from_secs(10),
            observe_interval: Duration::from_mins(5),
            release_timeout: Duration::from_mins(5),
        }
    }
}
