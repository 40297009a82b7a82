//! What a decision about a group comes to: effects, hints, and when to decide again.

use crate::api::{BookingStatus, Lock, ResourceStatus};
use jiff::Timestamp;

use crate::decide::{
    groups::{notices::Notice, priority::CallPriority},
    subject::Note,
};

/// A call to the cloud for some machines of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Start them.
    Start(Vec<String>),
    /// Stop them.
    Stop(Vec<String>),
    /// Write these lock tags.
    Lock(Lock, Vec<String>),
    /// Remove lock tags that hold exactly this.
    Unlock(Lock, Vec<String>),
}

impl Call {
    /// The machines it is for.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Start(ids) | Self::Stop(ids) | Self::Lock(_, ids) | Self::Unlock(_, ids) => ids,
        }
    }
}

/// What happens to the finalizer of the Resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finalizer {
    /// Nothing.
    #[default]
    Keep,
    /// It is added, before anything is sent to the cloud.
    Add,
    /// It is removed, after everything else.
    Remove,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The finalizer; `Remove` comes last instead.
    pub finalizer: Finalizer,
    /// New statuses of Bookings, by uid; unchanged ones are left out.
    pub booking_statuses: Vec<(String, BookingStatus)>,
    /// New status of the Resource, unless unchanged.
    pub resource_status: Option<ResourceStatus>,
    /// `booked_by` and `booked_until` are cleared, if they still say this.
    pub clear_trace: Option<Lock>,
    /// Calls to the cloud.
    pub calls: Vec<Call>,
    /// Bookings to be deleted, by uid: finished, and their time to stay is over.
    pub expired: Vec<String>,
    /// To be told to people who asked to be; some may have been handed out before.
    pub notices: Vec<Notice>,
    /// Events, once the statuses stand.
    pub events: Vec<Note>,
    /// What helps to carry it out well. If it is lost, only time or calls are.
    pub hints: Hints,
    /// When to decide again, whatever happens.
    pub wake_at: Option<Timestamp>,
    /// When to observe the group again, if nothing calls for it before.
    pub observe_by: Option<Timestamp>,
}

/// What helps the dispatcher and the observer, but is no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Where the calls stand among those of others.
    pub priority: CallPriority,
    /// The starts among the calls rest on what is stored already: they need not wait for any write.
    pub starts_first: bool,
    /// So many machines will be started in a moment, because a window is about to begin.
    pub starts_soon: usize,
    /// A lock that will be wanted soon, and from when on, because somebody's window is about to begin.
    pub locks_soon: Option<(Lock, Timestamp)>,
    /// Machines wait for their turn in the cloud's budget.
    pub waits_for_budget: bool,
    /// Earlier locks, which might be in force, need not be remembered: no machine shows them.
    pub forgets_locks: bool,
}

impl Decision {
    /// Whether nothing is to be done but wait.
    pub fn is_empty(&self) -> bool {
        let quiet = Self {
            wake_at: None,
            observe_by: None,
            notices: Vec::new(),
            hints: Hints::default(),
            ..self.clone()
        };
        quiet == Self::default()
    }

    /// When to decide or to observe again.
    pub fn next(&self) -> Option<Timestamp> {
        self.wake_at.into_iter().chain(self.observe_by).min()
    }
}
