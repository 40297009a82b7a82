//! The health of a watch.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long an error of a watch is reported. This is longer than the longest wait before the next try.
const ERROR_COUNTS_FOR: Duration = Duration::from_secs(45);

/// The health of a watch, for the readiness probe.
#[derive(Debug)]
pub struct WatchHealth {
    synced: tokio::sync::watch::Sender<bool>,
    last_error: Mutex<Option<Instant>>,
}

impl Default for WatchHealth {
    fn default() -> Self {
        Self { synced: tokio::sync::watch::Sender::new(false), last_error: Mutex::default() }
    }
}

impl WatchHealth {
    /// Whether a complete list has been read once.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until a complete list has been read.
    pub async fn synced(&self) {
        // The sender lives as long as this value, so the wait cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether the watch failed recently. A watch that recovers without events does not report that, so errors
    /// expire.
    pub fn is_failing(&self) -> bool {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < ERROR_COUNTS_FOR)
    }

    /// Whether the table shows what there is: a complete list was read, and the watch has not failed since.
    pub fn is_current(&self) -> bool {
        self.is_synced() && !self.is_failing()
    }

    pub(super) fn is_listed(&self) {
        self.synced.send_replace(true);
    }

    pub(super) fn heard(&self, error: bool) {
        let now = error.then(Instant::now);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
