//! What is decided for a Resource that acts on its group.

use crate::api::{Resource, ResourceStatus, WhenIdle};
use jiff::Timestamp;

use crate::decide::{
    groups::{
        builder::{DecisionBuilder, KnownBooking, OBSERVE_AHEAD},
        grant::{Grant, grant},
        group::Group,
        hold::{Hold, ManualHold, hold_now, manual_hold},
        input::Observation,
        locks::{LockHistory, is_unexpired},
        machines::{Goal, MachineActions},
        prelock::{self, Next},
        priority::priority,
        progress::{Progress, reason},
        status::first_seen,
    },
    injected_bugs::{Bug, is_injected},
};
use booking_calendar::{instant::after, window::Window};

/// The hold of now, and the windows that are granted.
struct Tenure {
    manual: ManualHold,
    grants: Vec<Grant>,
    hold: Option<Hold>,
}

/// What the group should be.
struct Plan {
    goal: Goal,
    lock_history: LockHistory,
    /// The next holder, if its locks are written before its window.
    prelock: Option<Next>,
    /// When the adoption grace ends, if the goal rests on it.
    grace_end: Option<Timestamp>,
}

impl DecisionBuilder<'_> {
    /// Decides for a Resource that acts on its group.
    pub(crate) fn serve(&mut self, resource: &Resource, group: &Group) {
        let old = resource.status.clone().unwrap_or_default();
        let tenure = self.tenure(resource, &old);
        let plan = self.plan(group, &old, &tenure);
        self.wake_for_windows(&tenure.grants, &tenure.manual);
        self.wake.at_some(plan.grace_end);
        let (actions, progress) = self.actions(group, &plan.goal, &plan.lock_history);
        self.decision.hints.forgets_locks = self.forgets_locks(&tenure, &plan, actions.as_ref());
        self.publish_bookings(&tenure.grants, tenure.hold.as_ref(), &progress);
        self.publish_served(resource, &old, (&tenure, &plan), actions.as_ref(), progress);
        self.take_over(&tenure.manual);
        if let Some(actions) = actions {
            self.hint(&old, &tenure, &plan, &actions);
            self.send(resource, actions, &plan.goal);
        }
        self.observe_later();
    }

    /// The hold of now: a manual hold, or that of the Booking whose granted window it is.
    fn tenure(&self, resource: &Resource, old: &ResourceStatus) -> Tenure {
        let now = self.input.now;
        let manual = manual_hold(resource, self.input.bookings, now);
        let first = match &manual {
            ManualHold::Trace(trace) => Some(trace.booking_uid.as_str()),
            _ => None,
        };
        let grants = grant(&self.live, first, now);
        let mut hold = hold_now(&manual, &self.live, &grants, old.holder.as_ref(), now);
        if is_injected(Bug::FinishedClearsHold) && self.known.iter().any(KnownBooking::is_finishing) {
            hold = None;
        }
        Tenure { manual, grants, hold }
    }

    /// What the group should be. In the two minutes before a window it may already be prelocked.
    fn plan(&mut self, group: &Group, old: &ResourceStatus, tenure: &Tenure) -> Plan {
        let (now, Tenure { manual, grants, hold }) = (self.input.now, tenure);
        let lock_history = LockHistory::next(old, hold.as_ref(), manual, now);
        let (goal, grace_end) = self.goal(old, group, hold.as_ref(), manual, &lock_history);
        let next = prelock::next_hold((&self.live, grants), hold.as_ref(), manual, now);
        self.decision.hints.locks_soon = next
            .as_ref()
            .filter(|next| prelock::is_unlocked(next, self.input.observation))
            .map(Next::expected);
        let prelock = next.filter(|next| {
            goal == (Goal::Idle { stop: true }) && prelock::is_prelocked(next, old, &self.input)
        });
        match &prelock {
            None => Plan { goal, lock_history, prelock, grace_end },
            Some(next) => {
                let lock_history = LockHistory::prelock(old, &next.hold, manual, now);
                Plan { goal: next.goal(now), lock_history, prelock, grace_end }
            }
        }
    }

    /// Publishes the status of a Resource that acts on its group.
    fn publish_served(
        &mut self,
        resource: &Resource,
        old: &ResourceStatus,
        (tenure, plan): (&Tenure, &Plan),
        actions: Option<&MachineActions>,
        progress: Progress,
    ) {
        let more = self.more_conditions(old, actions, &plan.goal, plan.grace_end);
        let shown = match &tenure.manual {
            // This is a problem of the Resource. Bookings see the progress of the group.
            ManualHold::Malformed(problem) => {
                Progress::new(false, reason::MANUAL_HOLD_MALFORMED, problem.clone())
            }
            _ => progress,
        };
        let summary = actions.map(|actions| &actions.summary);
        self.publish_resource(resource, &shown, summary, &plan.lock_history, more);
        // Earlier locks are dropped only if the status is written anyway. It is harmless to remember them for longer,
        // but one more write per Booking would be costly.
        let forgets = self.decision.hints.forgets_locks;
        if let Some(status) = self.decision.resource_status.as_mut().filter(|_| forgets) {
            status.released_locks.clear();
        }
    }

    /// Adds hints for the dispatcher and the observer.
    fn hint(&mut self, old: &ResourceStatus, tenure: &Tenure, plan: &Plan, actions: &MachineActions) {
        let (now, Tenure { grants, hold, .. }) = (self.input.now, tenure);
        let begins_soon = self.begins_soon(grants);
        let starts_first = self.rests_on_stored(grants, hold.as_ref());
        let priority = match &plan.prelock {
            Some(next) => next.priority(),
            None => priority(old, hold.as_ref(), (&self.live, grants), &plan.lock_history, now),
        };
        let hints = &mut self.decision.hints;
        hints.starts_soon = if begins_soon { actions.summary.stopped } else { 0 };
        hints.waits_for_budget = actions.summary.queued_until.is_some();
        (hints.starts_first, hints.priority) = (starts_first, priority);
    }

    /// Whether earlier locks can be forgotten: nobody holds the group, and no machine shows such a lock.
    fn forgets_locks(&mut self, tenure: &Tenure, plan: &Plan, actions: Option<&MachineActions>) -> bool {
        let remembers = plan.lock_history.released.iter().any(|lock| is_unexpired(lock, self.input.now));
        tenure.hold.is_none()
            && remembers
            && actions.is_some_and(|actions| self.shows_no_lock_of(&plan.lock_history, actions))
    }

    /// Whether a window is about to begin.
    fn begins_soon(&self, grants: &[Grant]) -> bool {
        let (now, soon) = (self.input.now, after(self.input.now, OBSERVE_AHEAD));
        let begins = |window: Window| now < window.from && window.from <= soon;
        grants.iter().filter_map(|grant| grant.window).any(begins)
    }

    /// Whether the present hold rests on stored objects: a manual hold is in the spec, and a granted window is in its
    /// Booking's status. If it does, a start need not wait for status writes. If the process dies in between, the
    /// next pass decides the same.
    fn rests_on_stored(&self, grants: &[Grant], hold: Option<&Hold>) -> bool {
        let Some(hold) = hold else { return false };
        let Some((uid, _)) = &hold.booking else { return true };
        self.known.iter().any(|known| {
            let is_it = known.booking.metadata.uid.as_ref() == Some(uid);
            let granted = known.live.and_then(|index| grants.get(index)).and_then(|grant| grant.window);
            let stored = known.read.as_ref().ok().and_then(|valid| valid.granted);
            is_it && granted.is_some() && granted == stored
        })
    }

    /// Whether an idle group at rest shows no earlier lock of ours, and cannot show one later.
    fn shows_no_lock_of(&mut self, lock_history: &LockHistory, actions: &MachineActions) -> bool {
        let Observation::Seen(instances) = self.input.observation else {
            return false;
        };
        let at_rest = actions.is_empty()
            && actions.summary.moving == 0
            && self.input.attempts.last_unseen(instances).is_none();
        if !at_rest || instances.iter().any(|instance| instance.lock.is_one_of(&lock_history.released)) {
            return false;
        }
        // Wakes then, so that a lock that shows late is removed at once and not after the next poll.
        let may_show_until = lock_history.may_show_until(self.input.now);
        self.wake.at_some(may_show_until);
        may_show_until.is_none()
    }

    /// The goal for the group, and when the adoption grace ends if the goal rests on it.
    fn goal(
        &self,
        old: &ResourceStatus,
        group: &Group,
        hold: Option<&Hold>,
        manual: &ManualHold,
        lock_history: &LockHistory,
    ) -> (Goal, Option<Timestamp>) {
        if let Some(hold) = hold {
            return (Goal::Held(hold.lock()), None);
        }
        let stop = |stop| (Goal::Idle { stop }, None);
        match (manual, group.when_idle) {
            (ManualHold::Malformed(_), _) | (_, Some(WhenIdle::Keep)) => stop(false),
            (_, Some(WhenIdle::Stop)) => stop(true),
            // The adoption grace never delays the stop after a hold has ended.
            (_, None) if lock_history.idle_since.is_some() => stop(true),
            (_, None) => {
                let grace_end = after(first_seen(old, self.input.now), self.settings.adoption_grace);
                if self.input.now < grace_end {
                    (Goal::Idle { stop: false }, Some(grace_end))
                } else {
                    stop(true)
                }
            }
        }
    }
}
