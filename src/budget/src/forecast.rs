//! The requests that will come soon. Replicas share a budget by them, among other things.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use booking_decision::impossible;

/// A start is announced at most this long before it is requested.
pub const FORESEEN: Duration = Duration::from_secs(15);

/// Requests that are no longer expected are searched for at most once in this time.
const PRUNE: Duration = Duration::from_secs(1);

/// A request that will come soon.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The number of its machines.
    pub machines: usize,
    /// Requests of the same kind can share a call.
    pub kind: Arc<str>,
    /// From this time on the request is no longer expected.
    pub until: Instant,
}

/// The requests that will come soon: at most one of each asker.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    by_asker: BTreeMap<Arc<str>, Expected>,
    /// The number of requests of each kind.
    kinds: BTreeMap<Arc<str>, usize>,
    pruned: Instant,
}

impl Forecast {
    pub(crate) fn new(now: Instant) -> Self {
        Self { by_asker: BTreeMap::new(), kinds: BTreeMap::new(), pruned: now }
    }

    /// Adds a request, in place of the last one of the same asker.
    pub(crate) fn add(&mut self, asker: &Arc<str>, expected: Expected) {
        self.remove(asker);
        *self.kinds.entry(expected.kind.clone()).or_default() += 1;
        self.by_asker.insert(asker.clone(), expected);
    }

    pub(crate) fn remove(&mut self, asker: &str) {
        let Some(Expected { kind, .. }) = self.by_asker.remove(asker) else { return };
        match self.kinds.get_mut(&kind) {
            Some(1) => drop(self.kinds.remove(&kind)),
            Some(count) => *count = count.saturating_sub(1),
            None => impossible("budget.forecast"),
        }
    }

    /// Removes the requests that are no longer expected.
    pub(crate) fn prune(&mut self, now: Instant) {
        if now.saturating_duration_since(self.pruned) < PRUNE {
            return;
        }
        self.pruned = now;
        let over = self.by_asker.iter().filter(|(_, expected)| expected.until <= now);
        for asker in over.map(|(asker, _)| asker.clone()).collect::<Vec<_>>() {
            self.remove(&asker);
        }
    }

    /// The number of machines of all requests.
    pub(crate) fn machines(&self) -> usize {
        self.by_asker.values().map(|expected| expected.machines).sum()
    }

    /// The number of kinds that the requests have.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }
}
