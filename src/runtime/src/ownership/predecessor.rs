//! Predecessors. A predecessor is another operator that works on the same objects. A family takes over from it, and
//! does nothing while it is at work.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use booking_decision::Permit;
use tokio::sync::watch;

use super::Ownership;
use crate::Key;

/// Whether a family's predecessor is at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Predecessor {
    /// Unknown so far.
    #[default]
    Unknown,
    /// It is not at work, as far as this replica can see.
    Absent,
    /// It is at work. The text says which process.
    AtWork(String),
}

/// Gives the permits of another ownership, but none to a family while its predecessor may be at work.
pub struct PausedByPredecessor {
    within: Arc<dyn Ownership>,
    /// By the sort of the key.
    predecessors: RwLock<HashMap<&'static str, watch::Receiver<Predecessor>>>,
}

impl PausedByPredecessor {
    /// Creates it without any predecessor.
    pub fn new(within: Arc<dyn Ownership>) -> Self {
        Self { within, predecessors: RwLock::default() }
    }

    /// Registers the predecessor for keys of one sort.
    pub fn has_predecessor(&self, kind: &'static str, state: watch::Receiver<Predecessor>) {
        self.predecessors.write().unwrap_or_else(PoisonError::into_inner).insert(kind, state);
    }
}

impl fmt::Debug for PausedByPredecessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PausedByPredecessor")
    }
}

impl Ownership for PausedByPredecessor {
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>> {
        let known = self.predecessors.read().unwrap_or_else(PoisonError::into_inner);
        let is_free = known.get(key.kind).is_none_or(|state| *state.borrow() == Predecessor::Absent);
        is_free.then(|| self.within.permit(key))?
    }

    fn concerns(&self, key: &Key) -> bool {
        self.within.concerns(key)
    }
}
