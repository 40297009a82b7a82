//! When a Resource that is being deleted may go: its locks are removed, its machines left as they are
//! or stopped, and a cloud that does not answer holds it up for a stated time only.

use crate::api::{OnDelete, Resource};
use jiff::Timestamp;

use crate::decide::{
    groups::{
        hold::{LockHistory, LockStanding, lock_standing},
        input::Observation,
        machine::{Machine, MachineState},
    },
    settings::Settings,
};
use booking_calendar::instant::after;

/// Whether the finalizer may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Something is left to do; try until this time.
    NotYet(Timestamp),
    /// All done; that many machines run on.
    Done { running: usize },
    /// Time is up.
    GivenUp,
}

/// Decides on the finalizer of a Resource that acts on its group and is being deleted.
pub(crate) fn release(
    resource: &Resource,
    on_delete: OnDelete,
    observation: &Observation,
    lock_history: &LockHistory,
    settings: &Settings,
    now: Timestamp,
) -> Release {
    let begun = resource.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let deadline = after(begun, settings.release_timeout);
    if let Observation::Seen(instances) = observation
        && !instances.iter().any(|instance| is_left(instance, on_delete, lock_history, now))
    {
        // A lock or a start that appears after the Resource has gone would stay for ever.
        if let Some(until) = lock_history.may_show_until(now).filter(|_| now < deadline) {
            return Release::NotYet(until.min(deadline));
        }
        let running = instances.iter().filter(|i| i.state.runs()).count();
        return Release::Done { running };
    }
    if now >= deadline { Release::GivenUp } else { Release::NotYet(deadline) }
}

/// Whether something of ours is left on a machine.
fn is_left(instance: &Machine, on_delete: OnDelete, lock_history: &LockHistory, now: Timestamp) -> bool {
    if instance.state == MachineState::Terminated {
        return false;
    }
    let standing = lock_standing(&instance.lock, None, lock_history, now);
    let can_stop = instance.owner.is_none() && instance.unstoppable.is_none();
    let runs = instance.state.runs() || instance.state == MachineState::Pending;
    match standing {
        LockStanding::Stale(_) => true,
        LockStanding::Free => on_delete == OnDelete::Stop && runs && can_stop,
        _ => false,
    }
}
