//! What the audit knows in addition to the store.

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

/// How long after its end a fault still explains lateness.
pub(super) const RECOVERY: Micros = 60 * SECOND;
/// The time by which a new ring has opened, and machines that ran at the beginning have stopped.
const FORMED: Micros = 60 * SECOND;
/// A start that found no capacity is tried again within five minutes.
const CAPACITY_RECOVERY: Micros = 310 * SECOND;

/// What the audit knows in addition to the store.
#[derive(Debug, Default)]
pub struct Audit {
    /// The periods in which faults explain lateness.
    pub(super) disturbed: Vec<(Micros, Micros)>,
    /// Whether the store ever went back to an older state.
    pub(super) restored: bool,
    /// All windows that were ever asked for, by number of the Booking.
    pub(super) windows: HashMap<usize, (usize, Vec<(Micros, Micros)>)>,
    /// When a user last changed something about each group.
    pub(super) touched: HashMap<usize, Micros>,
    pub(super) bookings: BTreeMap<Arc<str>, Arc<Booking>>,
    pub(super) members: BTreeMap<Arc<str>, Arc<MemberLease>>,
    pub(super) leader: Option<Incarnation>,
    pub(super) ring: Option<Arc<Ring>>,
    /// The last write that was not a renewal.
    pub(super) last_write: (Micros, String),
    pub(super) last_mutation: Micros,
    /// When the present rolling update began, and how often it moved each slot.
    pub(super) rollout: Option<(Micros, BTreeMap<Slot, usize>)>,
    /// When the permit of each process lapsed, by its own monotonic clock.
    pub(super) lapses: HashMap<ProcessId, Vec<Micros>>,
    /// Until then a member that lapsed too often takes no slots.
    pub(super) rests_until: Micros,
}

impl Audit {
    /// The state at the beginning.
    pub fn new(plan: &Plan) -> Self {
        let disturbed = plan.faults.iter().map(|fault| (fault.at, Plan::over(fault) + recovery(fault.kind)));
        Self { disturbed: disturbed.chain([(0, FORMED)]).collect(), ..Self::default() }
    }

    /// Whether a fault explains a problem between two instants.
    pub(super) fn is_disturbed(&self, from: Micros, until: Micros) -> bool {
        self.disturbed.iter().any(|(begin, end)| *begin <= until && from <= *end)
    }
}

/// How long after its end a fault of this kind still explains lateness.
pub(super) fn recovery(kind: FaultKind) -> Micros {
    if kind == FaultKind::CloudCapacity { CAPACITY_RECOVERY } else { RECOVERY }
}
