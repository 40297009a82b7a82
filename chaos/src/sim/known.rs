//! What the audit knows beside the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use booking_ring::{
    record::{Incarnation, MemberLease, Ring},
    slot::Slot,
};
use bookings::api::Booking;

use super::{messages::ProcessId, plan::Plan};
use crate::{Micros, SECOND, faults::FaultKind};

/// How long after a fault's end it still explains what is late.
pub(super) const RECOVERY: Micros = 60 * SECOND;
/// A new ring has opened by then, and machines that ran at first have stopped.
const FORMED: Micros = 60 * SECOND;
/// A start that found no room is tried again within five minutes.
const CAPACITY_RECOVERY: Micros = 310 * SECOND;

/// What is known beside the store.
#[derive(Debug, Default)]
pub struct Audit {
    /// From when until when faults explain what is late.
    pub(super) disturbed: Vec<(Micros, Micros)>,
    /// Whether the store ever went back.
    pub(super) restored: bool,
    /// All windows that were ever asked for, by number of the Booking.
    pub(super) windows: HashMap<usize, (usize, Vec<(Micros, Micros)>)>,
    /// When a user last did something about each group.
    pub(super) touched: HashMap<usize, Micros>,
    pub(super) bookings: BTreeMap<Arc<str>, Arc<Booking>>,
    pub(super) members: BTreeMap<Arc<str>, Arc<MemberLease>>,
    pub(super) leader: Option<Incarnation>,
    pub(super) ring: Option<Arc<Ring>>,
    /// The last write that was no renewal.
    pub(super) last_write: (Micros, String),
    pub(super) last_mutation: Micros,
    /// Since when a rolling update goes on, and what slots it moved how often.
    pub(super) rollout: Option<(Micros, BTreeMap<Slot, usize>)>,
    /// When each process lapsed, by its own monotonic clock.
    pub(super) lapses: HashMap<ProcessId, Vec<Micros>>,
    /// A member that lapsed too often takes nothing until then.
    pub(super) rests_until: Micros,
}

impl Audit {
    /// Before anything happened.
    pub fn new(plan: &Plan) -> Self {
        let disturbed = plan.faults.iter().map(|fault| (fault.at, Plan::over(fault) + recovery(fault.kind)));
        Self { disturbed: disturbed.chain([(0, FORMED)]).collect(), ..Self::default() }
    }

    /// Whether a fault explains what went wrong between two instants.
    pub(super) fn is_disturbed(&self, from: Micros, until: Micros) -> bool {
        self.disturbed.iter().any(|(begin, end)| *begin <= until && from <= *end)
    }
}

/// How long after a fault's end it still explains what is late.
pub(super) fn recovery(kind: FaultKind) -> Micros {
    if kind == FaultKind::CloudCapacity { CAPACITY_RECOVERY } else { RECOVERY }
}
