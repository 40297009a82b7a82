//! What the operator is set to, as far as decisions depend on it.

use std::{sync::Arc, time::Duration};

use crate::decide::locations::Locations;

/// What the operator is set to. Durations of the pass, not of a Booking.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which accounts and regions there are.
    pub locations: Arc<Locations>,
    /// How long what runs unbooked when a Resource is first seen is left running.
    pub adoption_grace: Duration,
    /// Decide and report, but send nothing to the cloud and leave specs and finalizers alone.
    pub dry_run: bool,
    /// Shortest time between two looks at machines on their way.
    pub poll_shortest: Duration,
    /// Longest time between two looks at machines on their way.
    pub poll_longest: Duration,
    /// Time between two looks at a group that is as it should be.
    pub observe_interval: Duration,
    /// How long the deletion of a Resource waits for the cloud.
    pub release_timeout: Duration,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a test's operator is set to: a look each five minutes.
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
