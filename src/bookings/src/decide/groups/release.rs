//! Decides what is done for a Resource that is being deleted, and when its finalizer is removed. Its locks are
//! removed first, and its machines are stopped if the spec asks for that. If the cloud does not answer, the deletion
//! waits only for a limited time.

use crate::api::{OnDelete, Resource};
use jiff::Timestamp;

use crate::decide::{
    groups::{
        builder::DecisionBuilder,
        claim::has_finalizer,
        group::Group,
        hold::manual_hold,
        input::Observation,
        locks::{LockHistory, LockStanding, lock_standing},
        machine::{Machine, MachineState},
        machines::Goal,
        priority::CallPriority,
        progress::{Progress, reason},
    },
    settings::Settings,
};
use booking_calendar::instant::after;
use booking_decision::EventType;

impl DecisionBuilder<'_> {
    /// Decides for a Resource that is being deleted.
    pub(crate) fn release(&mut self, resource: &Resource, group: &Group) {
        let now = self.input.now;
        let old = resource.status.clone().unwrap_or_default();
        let manual = manual_hold(resource, self.input.bookings, now);
        let lock_history = LockHistory::next(&old, None, &manual, now);
        let goal = Goal::Idle { stop: group.on_delete == OnDelete::Stop };
        let (actions, _) = self.actions(group, &goal, &lock_history);
        let gone = Progress::new(false, reason::RESOURCE_NOT_FOUND, "the Resource is being deleted");
        self.block_bookings(&gone);
        let progress = Progress::new(false, reason::DELETING, "lock tags are being removed");
        self.publish_resource(
            resource,
            &progress,
            actions.as_ref().map(|actions| &actions.summary),
            &lock_history,
            vec![],
        );
        if let Some(actions) = actions {
            self.send(resource, actions, &goal);
            self.decision.hints.priority = CallPriority { due: now, ..CallPriority::default() };
        }
        if !has_finalizer(resource) {
            return;
        }
        match may_go(resource, group.on_delete, self.input.observation, &lock_history, self.settings, now) {
            Release::NotYet(deadline) => self.wake.at(deadline),
            Release::Done { running } => {
                let text = format!("locks are removed; {running} machines run on");
                self.remove_finalizer(EventType::Normal, text);
            }
            Release::GivenUp => {
                let text = "the cloud did not answer in time: lock tags may be left on the machines, which may run on";
                self.remove_finalizer(EventType::Warning, text.to_owned());
            }
        }
        self.observe_later();
    }
}

/// Whether the finalizer may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Release {
    /// Something is left to do. Try until this time.
    NotYet(Timestamp),
    /// Everything is done. This many machines keep running.
    Done { running: usize },
    /// The time limit has passed.
    GivenUp,
}

/// Decides about the finalizer of a Resource that acts on its group and is being deleted.
fn may_go(
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
        // A lock or a start that appears after the Resource is gone would stay forever.
        if let Some(until) = lock_history.may_show_until(now).filter(|_| now < deadline) {
            return Release::NotYet(until.min(deadline));
        }
        let running = instances.iter().filter(|i| i.state.runs()).count();
        return Release::Done { running };
    }
    if now >= deadline { Release::GivenUp } else { Release::NotYet(deadline) }
}

/// Whether a machine still has something to undo.
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
