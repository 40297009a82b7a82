//! Decides which keys this replica owns, and issues the permits that its effects must hold.
//!
//! | module | what it does |
//! |---|---|
//! | [`ring`] | the keys of the slots that the ring gives to this replica, once they are opened |
//! | [`opener`] | opens slots that come, closes slots that go |
//! | [`predecessor`] | no permits while another operator works on the same objects |

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

/// Which keys are this replica's.
pub trait Ownership: Send + Sync {
    /// A permit for a key as it is owned now; none if it is not owned.
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>>;

    /// Whether this replica may have to act on what happens to a key: now, or before all keys of its slot are looked at anyway.
    fn concerns(&self, key: &Key) -> bool;
}

/// All keys: of a process that shares its work with nobody, in tests.
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
