//! What the controller of a replica knows: its keys, its cache, what is under way.

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

/// What works on keys.
#[derive(Debug)]
pub struct Controller {
    /// What it knows.
    pub cache: Cache,
    /// By number of the group.
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
    /// Where it belongs.
    pub slot: Slot,
    /// What this process sent.
    pub attempts: Attempts,
    /// Passes cut short in a row.
    pub failed: u32,
    /// It was read since it was gained.
    pub fresh: bool,
    /// How often it was gained.
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
    /// What it works on.
    pub snapshot: Snapshot,
    /// What the cloud said.
    pub observation: Observation,
    /// What is left to do.
    pub steps: VecDeque<Step>,
    /// The Resource as this pass wrote it last.
    pub known: Option<Object>,
    /// Where its calls stand among those of others.
    pub priority: CallPriority,
    /// When the key is due again.
    pub wake_at: Option<Timestamp>,
    /// The slot was lost: nothing more is begun.
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

/// A call that has passed its check and was not replied to.
#[derive(Debug)]
pub struct Open {
    /// Which key.
    pub key: usize,
    /// Which pass.
    pub pass: u64,
    /// The ring's number for it.
    pub call: CallId,
    /// What it is.
    pub step: Step,
    /// Where it belongs.
    pub slot: Slot,
    /// When it passed its check.
    pub begun: Micros,
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Reads {
    /// Keys, and how often they had been gained when it was sent.
    pub(super) keys: Vec<(usize, u64)>,
    /// The newest revision known then.
    pub(super) known: u64,
}

impl Controller {
    /// One that knows nothing yet.
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

    /// What the queue calls a key.
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
