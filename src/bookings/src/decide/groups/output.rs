//! The result of a decision about a group: effects, hints, and when to decide again.

use crate::api::{BookingStatus, Lock, ResourceStatus};
use jiff::Timestamp;

use crate::decide::{
    groups::{attempts::Action, notices::Notice, priority::CallPriority},
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
    /// Remove lock tags that have exactly these values.
    Unlock(Lock, Vec<String>),
}

impl Call {
    /// The machines for which the call is.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Start(ids) | Self::Stop(ids) | Self::Lock(_, ids) | Self::Unlock(_, ids) => ids,
        }
    }

    /// The machines that it is for, to be changed.
    pub fn ids_mut(&mut self) -> &mut Vec<String> {
        match self {
            Self::Start(ids) | Self::Stop(ids) | Self::Lock(_, ids) | Self::Unlock(_, ids) => ids,
        }
    }

    /// What it does to each machine.
    pub fn action(&self) -> Action {
        match self {
            Self::Start(_) => Action::Start,
            Self::Stop(_) => Action::Stop,
            Self::Lock(lock, _) => Action::Lock(lock.clone()),
            Self::Unlock(lock, _) => Action::Unlock(lock.clone()),
        }
    }

    /// The name under which a key asks for its tokens. A group may have several different locks to remove, so the lock
    /// is part of the name.
    pub fn asker(&self, key: &str) -> String {
        match self {
            Self::Unlock(lock, _) => format!("{key} {} {}", lock.user, lock.until),
            _ => key.to_owned(),
        }
    }
}

/// What happens to the finalizer of the Resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finalizer {
    /// It does not change.
    #[default]
    Keep,
    /// It is added before anything is sent to the cloud.
    Add,
    /// It is removed after everything else.
    Remove,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The finalizer. The value `Remove` is carried out last instead.
    pub finalizer: Finalizer,
    /// New statuses of Bookings, by uid, without unchanged ones.
    pub booking_statuses: Vec<(String, BookingStatus)>,
    /// New status of the Resource, unless unchanged.
    pub resource_status: Option<ResourceStatus>,
    /// If `booked_by` and `booked_until` still have these values, they are cleared.
    pub clear_trace: Option<Lock>,
    /// Calls to the cloud.
    pub calls: Vec<Call>,
    /// Bookings to delete, by uid: they are finished, and the time to keep them is over.
    pub expired: Vec<String>,
    /// Notices for recipients. Some may have been handed out before.
    pub notices: Vec<Notice>,
    /// Events to publish after the statuses were written.
    pub events: Vec<Note>,
    /// Hints for carrying out the decision. If they are lost, only time or calls are lost.
    pub hints: Hints,
    /// When to decide again, even if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// When to observe the group again, unless something requires it earlier.
    pub observe_by: Option<Timestamp>,
}

/// Information for the dispatcher and the observer. No effect depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The priority of the calls, compared to those of other groups.
    pub priority: CallPriority,
    /// The starts among the calls rest on stored objects, so they need not wait for any write.
    pub starts_first: bool,
    /// The number of machines that will be started in a moment, because a window is about to begin.
    pub starts_soon: usize,
    /// A lock that will be wanted soon, and from when on, because a window is about to begin.
    pub locks_soon: Option<(Lock, Timestamp)>,
    /// Whether machines wait for their turn in the action budget.
    pub waits_for_budget: bool,
    /// Whether earlier locks that have not expired can be forgotten, because no machine shows them.
    pub forgets_locks: bool,
}

impl Decision {
    /// Whether there is nothing to do but wait.
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
