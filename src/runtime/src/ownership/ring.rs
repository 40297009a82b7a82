//! Ownership by the ring: which slots this replica owns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_decision::{Permit, PermitLapsed, RunningCall};
use booking_ring::{
    kubernetes::{CallGuard, RingHandle},
    permit::SlotPermit,
    slot::Slot,
};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;

use super::Ownership;
use crate::Key;

/// How a process takes part in the work.
pub enum RingMembership {
    /// It does all the work, because there is no other process: in tests.
    None,
    /// It works on the slots that the ring gives to it.
    Member {
        /// The ring from this process's point of view.
        handle: RingHandle,
        /// The ring object, for Events.
        reference: ObjectReference,
        /// The task that takes part in the ring. It must be polled.
        run: BoxFuture<'static, ()>,
    },
}

/// Owns the keys of the slots that the ring gives to this replica, after they are opened.
#[derive(Debug)]
pub struct RingOwnership {
    ring: RingHandle,
    /// The longest time of a call, from the ring's timing.
    call_timeout: Duration,
    /// The open slots, each with the permit under which its tables caught up. If a slot was lost and gained again
    /// since, it is not open.
    open: Mutex<BTreeMap<Slot, SlotPermit>>,
}

impl RingOwnership {
    /// Creates it without open slots. `call_timeout` is that of the ring's timing.
    pub fn new(ring: RingHandle, call_timeout: Duration) -> Self {
        Self { ring, call_timeout, open: Mutex::default() }
    }

    /// The ring.
    pub fn ring(&self) -> &RingHandle {
        &self.ring
    }

    pub(super) fn open(&self) -> MutexGuard<'_, BTreeMap<Slot, SlotPermit>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot(&self, key: &Key) -> Option<Slot> {
        self.ring.slot_of(&key.namespace, &key.name)
    }
}

impl Ownership for RingOwnership {
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>> {
        let slot = self.slot(key)?;
        let permit = self.open().get(&slot).copied().filter(|permit| self.ring.holds(*permit))?;
        Some(Arc::new(RingPermit { ring: self.ring.clone(), permit, call_timeout: self.call_timeout }))
    }

    fn concerns(&self, key: &Key) -> bool {
        self.slot(key).is_some_and(|slot| self.open().contains_key(&slot))
    }
}

/// A permit for a slot, as it was owned when the pass began.
#[derive(Debug)]
struct RingPermit {
    ring: RingHandle,
    permit: SlotPermit,
    call_timeout: Duration,
}

impl Permit for RingPermit {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        let call = self.ring.begin(self.permit).map_err(|_| PermitLapsed)?;
        Ok(Box::new(RingCall(call)))
    }

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }
}

struct RingCall(CallGuard);

impl RunningCall for RingCall {
    fn replied(self: Box<Self>) {
        self.0.replied();
    }
}
