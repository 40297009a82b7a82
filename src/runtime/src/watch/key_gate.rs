//! Holds keys back until all kinds of a family are synced.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{Key, ownership::Ownership, queue::WorkQueue};

/// Lets keys of a family through to the queue once all its kinds are synced: a pass that ran on Resources without their
/// Bookings would stop what is booked. It never lets keys of slots through that are not open here: a slot is looked through
/// for its keys once it opens.
pub struct KeyGate {
    ownership: Arc<dyn Ownership>,
    queue: Arc<WorkQueue>,
    open: AtomicBool,
}

impl KeyGate {
    /// A gate that is shut.
    pub fn new(ownership: Arc<dyn Ownership>, queue: Arc<WorkQueue>) -> Self {
        Self { ownership, queue, open: AtomicBool::new(false) }
    }

    /// Lets keys through of which something stands in a table.
    pub fn pass(&self, keys: impl IntoIterator<Item = Key>) {
        if self.is_open() {
            self.queue.add_all(keys.into_iter().filter(|key| self.ownership.concerns(key)));
        }
    }

    /// Whether keys go through.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Opens the gate. The caller reads the tables' keys afterwards and passes them: what comes in between is let through by
    /// its watch.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }
}
