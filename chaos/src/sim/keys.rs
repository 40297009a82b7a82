//! The state of a replica's controller: its keys, its cache, and what is under way.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use booking_ring::{
    permit::{CallId, SlotPermit},
    slot::{Slot, slot_of},
};
use booking_runtime::{Key as QueueKey, queue::KeyOrder};
use bookings::decide::groups::{
    attempts::Attempts, input::Observation, output::Call, priority::CallPriority,
};
use jiff::Timestamp;

use super::{
    budgets::Budgets,
    cache::{Cache, Snapshot},
    store::{NAMESPACE, Object},
};
use crate::Micros;

/// The controller of a replica.
#[derive(Debug)]
pub struct Controller {
    /// What it knows of objects.
    pub cache: Cache,
    /// The keys, by number of the group.
    pub keys: Vec<Key>,
    /// Calls under way, by number.
    pub open: HashMap<u64, Open>,
    /// Reads under way, by number.
    pub(super) reads: HashMap<u64, Reads>,
    /// The operator's own queue, on the monotonic clock of the process.
    pub(super) queue: KeyOrder<Micros>,
    /// The operator's own token buckets, on the monotonic clock of the process.
    pub(super) budgets: Budgets,
}

/// A Resource with its Bookings.
#[derive(Debug)]
pub struct Key {
    /// Name of the Resource.
    pub name: Arc<str>,
    /// The slot of the key.
    pub slot: Slot,
    /// What this process has sent.
    pub attempts: Attempts,
    /// The number of passes in a row that were cut short.
    pub failed: u32,
    /// Whether it has been read since it was gained.
    pub fresh: bool,
    /// The number of times that it was gained.
    pub gains: u64,
    /// The pass that works on it.
    pub pass: Option<Pass>,
}

/// A pass over a key.
#[derive(Debug)]
pub struct Pass {
    /// Its number.
    pub number: u64,
    /// The permit to work on the slot.
    pub permit: SlotPermit,
    /// The objects that it works on.
    pub snapshot: Snapshot,
    /// What the cloud said.
    pub observation: Observation,
    /// The effects that are left.
    pub steps: VecDeque<Step>,
    /// The Resource as this pass wrote it last.
    pub known: Option<Object>,
    /// Where its calls stand among those of others.
    pub priority: CallPriority,
    /// When the key is due again.
    pub wake_at: Option<Timestamp>,
    /// Whether the slot was lost. Then nothing more begins.
    pub lost: bool,
}

/// One effect of a pass.
#[derive(Clone, Debug)]
pub enum Step {
    /// Replaces a Booking's status.
    Booking(Object, Box<bookings::api::BookingStatus>),
    /// Replaces the Resource's status.
    Resource(Box<bookings::api::ResourceStatus>),
    /// Adds or removes the finalizer.
    Finalizer(bool),
    /// Calls the cloud.
    Call(Call),
}

/// A call that has passed its check and has no reply yet.
#[derive(Debug)]
pub struct Open {
    /// The key.
    pub key: usize,
    /// The number of the pass.
    pub pass: u64,
    /// The ring's id of the call.
    pub call: CallId,
    /// The effect.
    pub step: Step,
    /// The slot.
    pub slot: Slot,
    /// When it passed its check.
    pub begun: Micros,
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Reads {
    /// The keys, and how often each had been gained when the read was sent.
    pub(super) keys: Vec<(usize, u64)>,
    /// The newest known revision when the read was sent.
    pub(super) known: u64,
}

impl Controller {
    /// A controller that knows nothing yet.
    pub fn new(groups: &[Arc<str>], slots: u16) -> Self {
        let key = |name: &Arc<str>| Key {
            name: name.clone(),
            slot: slot_of(NAMESPACE, name, slots),
            attempts: Attempts::default(),
            failed: 0,
            fresh: false,
            gains: 0,
            pass: None,
        };
        Self {
            cache: Cache::default(),
            keys: groups.iter().map(key).collect(),
            open: HashMap::new(),
            reads: HashMap::new(),
            queue: KeyOrder::default(),
            budgets: Budgets::default(),
        }
    }

    /// The name of a key in the queue.
    pub(super) fn queue_key(&self, number: usize) -> Option<QueueKey> {
        self.keys.get(number).map(|key| QueueKey::new("resource", NAMESPACE, &*key.name))
    }

    pub(super) fn of_slots(&self, slots: &[Slot]) -> Vec<usize> {
        let keys = self.keys.iter().enumerate().filter(|(_, key)| slots.contains(&key.slot));
        keys.map(|(number, _)| number).collect()
    }

    pub(super) fn key_of(&self, object: &Object) -> Option<usize> {
        let resource = match object.booking() {
            Some(booking) => booking.spec.resource_name.as_deref()?,
            None => &object.name,
        };
        self.keys.iter().position(|key| &*key.name == resource)
    }
}
