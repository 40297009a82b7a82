//! The progress of a group, as its Ready condition reports it.

use crate::decide::groups::{
    group::GroupKey,
    machines::{Goal, GroupSummary},
};
use booking_calendar::instant;
use booking_decision::condition::list;
use jiff::Timestamp;

/// Reasons of the Ready condition, for Bookings and Resources.
pub mod reason {
    /// Resource: its group runs and is locked for the holder. Booking: the same, for this Booking.
    pub const HELD: &str = "Held";
    /// Machines are starting or are being locked.
    pub const STARTING: &str = "Starting";
    /// Machines are stopping or are being unlocked.
    pub const STOPPING: &str = "Stopping";
    /// Nobody holds the group; all machines are stopped.
    pub const STOPPED: &str = "Stopped";
    /// Nobody holds the group, and running machines are not stopped.
    pub const IDLE: &str = "Idle";
    /// The account's tokens are used up, and calls with a higher priority come first.
    pub const QUEUED_FOR_CLOUD_BUDGET: &str = "QueuedForCloudBudget";
    /// The cloud refuses a call. The message says which.
    pub const CLOUD_ERROR: &str = "CloudError";
    /// Machines carry another owner's lock, or a malformed one.
    pub const FOREIGN_LOCK: &str = "ForeignLock";
    /// No machine carries the tag of the group.
    pub const NO_INSTANCES: &str = "NoInstances";
    /// Every machine of the group belongs to another controller.
    pub const UNMANAGEABLE: &str = "Unmanageable";
    /// Another Resource acts on the same group.
    pub const GROUP_CLAIMED: &str = "GroupClaimed";
    /// The spec is invalid.
    pub const INVALID: &str = "Invalid";
    /// The spec asks for an account or region that the namespace may not use.
    pub const NOT_ALLOWED: &str = "NotAllowed";
    /// `booked_by` and `booked_until` do not form a hold.
    pub const MANUAL_HOLD_MALFORMED: &str = "ManualHoldMalformed";
    /// The Resource is being deleted.
    pub const DELETING: &str = "Deleting";
    /// Booking: its window has not begun.
    pub const SCHEDULED: &str = "Scheduled";
    /// Booking: another user's window or hold is in the way.
    pub const WAITING: &str = "Waiting";
    /// Booking: its Resource does not exist.
    pub const RESOURCE_NOT_FOUND: &str = "ResourceNotFound";
    /// Booking: its Resource acts on nothing. The Resource's conditions say why.
    pub const RESOURCE_INVALID: &str = "ResourceInvalid";
    /// Booking: it held its group and is over.
    pub const FINISHED: &str = "Finished";
    /// Booking: it is over and never held its group.
    pub const NEVER_HELD: &str = "NeverHeld";
}

/// The content of a Ready condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Status of the condition.
    pub ready: bool,
    /// A reason of [`reason`].
    pub reason: &'static str,
    /// The text for users. It has no counter and no time that changes, because each change would cost a write.
    pub message: String,
}

impl Progress {
    pub(crate) fn new(ready: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { ready, reason, message: message.into() }
    }
}

/// The progress of a group towards its goal.
pub fn progress(key: &GroupKey, summary: &GroupSummary, goal: &Goal) -> Progress {
    if summary.managed == 0 {
        return nothing_to_manage(key, summary);
    }
    if !summary.failing.is_empty() {
        return Progress::new(false, reason::CLOUD_ERROR, failing(summary));
    }
    if let Some(turn) = summary.queued_until {
        let message = format!(
            "the account's budget of calls is used up, others come first; its turn is expected by {}",
            instant::seconds(whole_minute(turn))
        );
        return Progress::new(false, reason::QUEUED_FOR_CLOUD_BUDGET, message);
    }
    match goal {
        Goal::Held(_) if summary.done == summary.managed => {
            Progress::new(true, reason::HELD, "all machines run and are locked for the holder")
        }
        _ if !summary.foreign.is_empty() => Progress::new(false, reason::FOREIGN_LOCK, foreign(summary)),
        Goal::Held(_) => Progress::new(false, reason::STARTING, "machines are being started and locked"),
        // The message names ids, not the tag's text, because anybody can write any text into a malformed tag.
        Goal::Idle { .. } | Goal::Prelocked { .. } if !summary.malformed.is_empty() => {
            Progress::new(false, reason::FOREIGN_LOCK, malformed(summary))
        }
        // Users see a group at rest.
        Goal::Prelocked { .. } => Progress::new(true, reason::STOPPED, "all machines are stopped"),
        Goal::Idle { .. } if summary.done < summary.managed && !summary.busy.is_empty() => {
            let busy = list(summary.busy.iter().map(|(id, at)| format!("{id} ({at})")));
            Progress::new(false, reason::STOPPING, format!("stopped once they can be: {busy}"))
        }
        Goal::Idle { .. } if summary.done < summary.managed => {
            Progress::new(false, reason::STOPPING, "machines are being stopped and unlocked")
        }
        Goal::Idle { stop: true } if !summary.unstoppable.is_empty() => {
            Progress::new(true, reason::IDLE, format!("nobody holds the group; {}", unstoppable(summary)))
        }
        Goal::Idle { stop } if *stop || summary.stopped == summary.managed => {
            Progress::new(true, reason::STOPPED, "all machines are stopped")
        }
        Goal::Idle { .. } => {
            Progress::new(true, reason::IDLE, "nobody holds the group; machines that run are left running")
        }
    }
}

/// An instant rounded up to a whole minute. The expected instant changes slightly, and each change would cost a
/// write.
fn whole_minute(instant: Timestamp) -> Timestamp {
    let second = instant.as_second();
    Timestamp::from_second(second + (60 - second.rem_euclid(60)) % 60).unwrap_or(instant)
}

fn nothing_to_manage(key: &GroupKey, summary: &GroupSummary) -> Progress {
    if summary.total == 0 {
        let message = format!(
            "no machine in {} is tagged {}={}",
            key.region,
            crate::decide::groups::machine::TAG_APPLICATION,
            key.tag
        );
        return Progress::new(false, reason::NO_INSTANCES, message);
    }
    Progress::new(false, reason::UNMANAGEABLE, "every machine of the group belongs to another controller")
}

fn failing(summary: &GroupSummary) -> String {
    list(summary.failing.iter().map(|(id, error)| format!("{id}: {error}")))
}

fn foreign(summary: &GroupSummary) -> String {
    let locks =
        summary.foreign.iter().map(|(id, lock)| format!("{id} by {} until {}", lock.user, lock.until));
    format!("locked by others, left alone: {}", list(locks))
}

/// The message about machines whose lock tags do not form a lock.
pub(crate) fn malformed(summary: &GroupSummary) -> String {
    format!(
        "lock tags that make no lock (both must be there, the end an RFC 3339 instant); left alone: {}",
        list(summary.malformed.iter().cloned())
    )
}

/// The message about machines that another controller owns, and about those that cannot be stopped.
pub(crate) fn unmanageable(summary: &GroupSummary) -> String {
    if summary.owned.is_empty() {
        return unstoppable(summary);
    }
    let owned = summary.owned.iter().map(|(id, owner)| format!("{id} ({owner})"));
    let owned = format!("neither started nor stopped, nor waited for: {}", list(owned));
    if summary.unstoppable.is_empty() { owned } else { format!("{owned}; {}", unstoppable(summary)) }
}

fn unstoppable(summary: &GroupSummary) -> String {
    let machines = summary.unstoppable.iter().map(|(id, why)| format!("{id} ({why})"));
    format!("left running, for they cannot be stopped: {}", list(machines))
}
