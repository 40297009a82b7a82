//! The vocabulary of a decision: what it depends on, and what it comes to. It is made in `pass`, and told
//! in `publish`.

use crate::api::{BookingStatus, Lock, ResourceStatus};
use jiff::Timestamp;

use crate::decide::{groups::notices::Notice, subject::Note};

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
    /// The starts among them rest on what is stored already: they need not wait for any write.
    pub starts_first: bool,
    /// Where the calls stand among others'.
    pub turn: Turn,
    /// Machines that will be started in a moment, for a window is about to begin.
    pub expects: usize,
    /// A lock that will be wanted soon, and from when on: somebody's window is about to begin.
    pub expects_lock: Option<(Lock, Timestamp)>,
    /// Machines wait for their turn in the cloud's budget.
    pub waits_for_budget: bool,
    /// Earlier locks, which might be in force, need not be remembered: no machine shows them.
    pub forgets_locks: bool,
    /// Bookings to be deleted, by uid: finished, and their time to stay is over.
    pub expired: Vec<String>,
    /// To be told to people who asked to be; some may have been handed out before.
    pub notices: Vec<Notice>,
    /// Events, once the statuses stand.
    pub events: Vec<Note>,
    /// When to decide again, whatever happens.
    pub wake_at: Option<Timestamp>,
    /// When to look at the group again, if nothing calls for it before.
    pub observe_by: Option<Timestamp>,
}

/// Where the calls of a decision stand among those of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Since when they are due.
    pub due: Timestamp,
    /// For whom; empty for nobody.
    pub user: String,
    /// What they are about.
    pub occasion: Occasion,
}

/// What calls are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    /// Something has fallen due.
    #[default]
    Due,
    /// What was as it should be has got out of order.
    Repair,
    /// Something will fall due.
    Upcoming,
}

impl Decision {
    /// Whether nothing is to be done but wait.
    pub fn is_empty(&self) -> bool {
        let quiet = Self {
            wake_at: None,
            observe_by: None,
            notices: Vec::new(),
            expects: 0,
            expects_lock: None,
            waits_for_budget: false,
            forgets_locks: false,
            ..self.clone()
        };
        quiet == Self::default()
    }

    /// When to decide or to look again.
    pub fn next(&self) -> Option<Timestamp> {
        self.wake_at.into_iter().chain(self.observe_by).min()
    }
}
