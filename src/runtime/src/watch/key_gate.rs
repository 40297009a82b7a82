//! Holds keys back until all kinds of a family are synced.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{Key, ownership::Ownership, queue::WorkQueue};

/// Lets keys of a family through to the queue after all its kinds are synced. If a pass ran with Resources but
/// without their Bookings, it would stop booked groups. Keys of slots that are not open here are never let through:
/// all keys of a slot are due when it is opened.
pub struct KeyGate {
    ownership: Arc<dyn Ownership>,
    queue: Arc<WorkQueue>,
    open: AtomicBool,
}

impl KeyGate {
    /// Creates a closed gate.
    pub fn new(ownership: Arc<dyn Ownership>, queue: Arc<WorkQueue>) -> Self {
        Self { ownership, queue, open: AtomicBool::new(false) }
    }

    /// Lets keys through whose objects are in a table.
    pub fn pass(&self, keys: impl IntoIterator<Item = Key>) {
        if self.is_open() {
            self.queue.add_all(keys.into_iter().filter(|key| self.ownership.concerns(key)));
        }
    }

    /// Whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Opens the gate. The caller must then read the tables' keys and pass them. Keys that are added in between are
    /// let through by their watch.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }
}
