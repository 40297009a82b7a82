//! Decides which keys this replica owns, and issues the permits that its effects must hold.
//!
//! | module | what it does |
//! |---|---|
//! | [`ring`] | owns the keys of the slots that the ring gives to this replica, after they are opened |
//! | [`opener`] | opens slots that are gained, closes slots that are lost |
//! | [`predecessor`] | refuses permits while another operator works on the same objects |

pub mod opener;
pub mod predecessor;
pub mod ring;

use std::sync::Arc;

use booking_decision::{Permit, Unlimited};

pub use self::{
    predecessor::{PausedByPredecessor, Predecessor},
    ring::RingOwnership,
};
use crate::Key;

/// Decides which keys this replica owns.
pub trait Ownership: Send + Sync {
    /// A permit for a key. None if this replica does not own the key now.
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>>;

    /// Whether this replica may have to act on a change of a key. If it returns false, the key is worked on anyway
    /// when its slot is opened.
    fn concerns(&self, key: &Key) -> bool;
}

/// Ownership of all keys, for a process that shares its work with no other process, in tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllKeys;

impl Ownership for AllKeys {
    fn permit(&self, _: &Key) -> Option<Arc<dyn Permit>> {
        Some(Arc::new(Unlimited))
    }

    fn concerns(&self, _: &Key) -> bool {
        true
    }
}
