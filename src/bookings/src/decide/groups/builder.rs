//! The decision in the making: what a Resource and its Bookings come to.

use std::time::Duration;

use crate::api::{Booking, OnDelete, Resource, ResourceStatus, WhenIdle, booking_state};
use jiff::Timestamp;

use crate::decide::{
    groups::{
        booking::ValidBooking,
        claim::has_finalizer,
        grant::{Grant, grant},
        group::{Blocked, Group},
        hold::{Hold, LockHistory, ManualHold, hold_now, is_unexpired, manual_hold},
        input::{GroupInput, Observation, ReadBooking},
        machine::Machine,
        machines::{Goal, GroupSummary, MachineActions, actions},
        output::{Decision, Occasion, Turn},
        prelock::{self, Next},
        progress::{self, Progress, progress, reason},
        release::{Release, release},
        status::{first_seen, is_finished},
    },
    injected_bugs::{Bug, planted},
    settings::Settings,
};
use booking_calendar::{
    instant::{self, after, elapsed},
    window::Window,
};
use booking_decision::{
    EventType, InvalidSpec,
    condition::Draft,
    wake::{Wake, poll_interval},
};

/// Reasons of the condition Unmanageable.
const OWNED_BY_OTHERS: &str = "OwnedByOthers";
const CANNOT_BE_STOPPED: &str = "CannotBeStopped";

/// How long before a window begins its group is looked at.
pub(crate) const OBSERVE_AHEAD: Duration = Duration::from_secs(10);

/// How long after a pass has told that a Booking is finished the next may delete it.
const AFTER_FINISHED: Duration = Duration::from_secs(1);

/// A Booking and what it means.
pub(crate) struct Known<'a> {
    pub(crate) booking: &'a Booking,
    pub(crate) read: &'a Result<ValidBooking, InvalidSpec>,
    /// Its index among the live ones, if it is one.
    pub(crate) live: Option<usize>,
}

impl Known<'_> {
    /// Whether it is over, and does not say so yet.
    fn is_finishing(&self) -> bool {
        let says = self.booking.status.as_ref().and_then(|status| status.status.as_deref());
        self.read.is_ok() && self.live.is_none() && says != Some(booking_state::FINISHED)
    }
}

/// See the module.
pub(crate) struct DecisionBuilder<'a> {
    pub(crate) world: GroupInput<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) known: Vec<Known<'a>>,
    /// Bookings that make sense, are not over and are not being deleted, in the order given.
    pub(crate) live: Vec<ValidBooking>,
    pub(crate) decision: Decision,
    pub(crate) wake: Wake,
}

impl<'a> DecisionBuilder<'a> {
    pub(crate) fn new(world: GroupInput<'a>, settings: &'a Settings) -> Self {
        let (mut live, mut expired) = (Vec::new(), Vec::new());
        let mut wake = Wake::new(world.now);
        let mut known = Vec::with_capacity(world.bookings.len());
        for ReadBooking { booking, read } in world.bookings {
            let mut index = None;
            match read.as_ref() {
                Ok(valid) if !is_finished(booking, valid, world.now) => {
                    wake.at(valid.window.from);
                    wake.at(valid.window.until);
                    if booking.metadata.deletion_timestamp.is_none() {
                        index = Some(live.len());
                        live.push(valid.clone());
                    }
                }
                Ok(valid) => {
                    wake.at_some(valid.expires);
                    if has_expired(booking, valid, world.now) {
                        expired.extend(booking.metadata.uid.clone());
                    } else if valid.expires.is_some_and(|expires| expires <= world.now) {
                        // It says that it has finished first.
                        wake.after(AFTER_FINISHED);
                    }
                }
                // From its start on, even such a one tells the original's trace from a person's hold.
                Err(_) => {
                    wake.at_some(booking.spec.start_at.as_deref().and_then(|at| instant::parse(at).ok()));
                }
            }
            known.push(Known { booking, read, live: index });
        }
        let expired = if settings.dry_run { Vec::new() } else { expired };
        Self { world, settings, known, live, decision: Decision { expired, ..Decision::default() }, wake }
    }

    pub(crate) fn finish(self) -> Decision {
        let mut decision = Decision { wake_at: self.wake.earliest(), ..self.decision };
        // One that still has something to say goes after it has said so.
        let said = |uid: &String| {
            !decision.booking_statuses.iter().any(|(of, _)| of == uid)
                && !decision.notices.iter().any(|notice| notice.id.booking_uid == *uid)
        };
        let before = decision.expired.len();
        decision.expired.retain(said);
        if decision.expired.len() < before {
            let soon = after(self.world.now, AFTER_FINISHED);
            decision.wake_at = Some(decision.wake_at.map_or(soon, |wake_at| wake_at.min(soon)));
        }
        decision
    }

    /// A Resource that acts on its group.
    pub(crate) fn serve(&mut self, resource: &Resource, group: &Group) {
        let now = self.world.now;
        let old = resource.status.clone().unwrap_or_default();
        let manual = manual_hold(resource, self.world.bookings, now);
        let first = match &manual {
            ManualHold::Trace(trace) => Some(trace.booking_uid.as_str()),
            _ => None,
        };
        let grants = grant(&self.live, first, now);
        let mut hold = hold_now(&manual, &self.live, &grants, old.holder.as_ref(), now);
        if planted(Bug::FinishedClearsHold) && self.known.iter().any(Known::is_finishing) {
            hold = None;
        }
        let mut lock_history = LockHistory::next(&old, hold.as_ref(), &manual, now);
        self.wake_for_windows(&grants, &manual);
        let (mut goal, grace_end) = self.goal(&old, group, hold.as_ref(), &manual, &lock_history);
        let next = self.next_hold(&grants, hold.as_ref(), &manual);
        self.decision.expects_lock = next.as_ref().filter(|next| self.is_unlocked(next)).map(Next::expected);
        let next =
            next.filter(|next| goal == (Goal::Idle { stop: true }) && self.is_locked_ahead(next, &old));
        if let Some(next) = &next {
            lock_history = LockHistory::ahead(&old, &next.hold, &manual, now);
            goal = next.goal(now);
        }
        self.wake.at_some(grace_end);
        let (actions, progress) = self.actions(group, &goal, &lock_history);
        self.decision.forgets_locks = hold.is_none()
            && lock_history.released.iter().any(|lock| is_unexpired(lock, now))
            && actions.as_ref().is_some_and(|actions| self.shows_no_lock_of(&lock_history, actions));
        self.publish_bookings(&grants, hold.as_ref(), &progress);
        let more = self.more_conditions(&old, actions.as_ref(), &goal, grace_end);
        let shown = match &manual {
            // The Resource's trouble; Bookings see how far the group is.
            ManualHold::Malformed(problem) => {
                Progress::new(false, reason::MANUAL_HOLD_MALFORMED, problem.clone())
            }
            _ => progress,
        };
        self.publish_resource(
            resource,
            &shown,
            actions.as_ref().map(|actions| &actions.summary),
            &lock_history,
            more,
        );
        self.forget_locks();
        self.take_over(&manual);
        if let Some(actions) = actions {
            self.decision.waits_for_budget = actions.summary.queued_until.is_some();
            self.decision.expects = if self.begins_soon(&grants) { actions.summary.stopped } else { 0 };
            self.send(resource, actions, &goal);
            if !self.decision.calls.is_empty() {
                self.decision.starts_first = self.rests_on_stored(&grants, hold.as_ref());
                self.decision.turn = match &next {
                    Some(next) => next.turn(),
                    None => self.turn(&old, hold.as_ref(), &grants, &lock_history),
                };
            }
        }
        self.look_later();
    }

    /// When to look at a group again that nothing happens to.
    fn look_later(&mut self) {
        let later = after(self.world.now, self.settings.observe_interval);
        self.decision.observe_by = Some(later).filter(|later| *later > self.world.now);
    }

    /// Whether somebody's window is about to begin.
    fn begins_soon(&self, grants: &[Grant]) -> bool {
        let (now, soon) = (self.world.now, after(self.world.now, OBSERVE_AHEAD));
        let begins = |window: Window| now < window.from && window.from <= soon;
        grants.iter().filter_map(|grant| grant.window).any(begins)
    }

    /// Whether the hold of now rests on what is stored: a manual hold stands in the spec, a granted window in its
    /// Booking's status. Then a start need not wait for the statuses that tell of it: cut off in between, the next pass
    /// decides the same.
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

    /// Where the calls stand among others'. What was ready before is being repaired.
    fn turn(
        &self,
        old: &ResourceStatus,
        hold: Option<&Hold>,
        grants: &[Grant],
        lock_history: &LockHistory,
    ) -> Turn {
        let before = booking_decision::condition::reason_of(&old.conditions, "Ready").unwrap_or_default();
        let now = self.world.now;
        let (is_repair, since, user) = match hold {
            None => {
                let idle_since =
                    lock_history.idle_since.as_deref().and_then(|text| instant::parse(text).ok());
                (before == reason::STOPPED, idle_since, String::new())
            }
            Some(hold) => {
                let windows =
                    grants.iter().zip(&self.live).filter_map(|(grant, live)| Some((grant.window?, live)));
                let begun = windows.filter(|(window, _)| window.contains(now));
                let held_before = old.holder.as_ref().is_some_and(|holder| holder.user == hold.user);
                // Nothing was due before somebody asked for it.
                let since = begun.map(|(window, live)| window.from.max(live.created)).min();
                (before == reason::HELD && held_before, since, hold.user.clone())
            }
        };
        if is_repair {
            return Turn { due: now, user, occasion: Occasion::Repair };
        }
        Turn { due: since.unwrap_or(now), user, occasion: Occasion::Due }
    }

    /// Whether an idle group that has come to rest shows no earlier lock of ours, nor will: they need not be remembered.
    fn shows_no_lock_of(&mut self, lock_history: &LockHistory, actions: &MachineActions) -> bool {
        let Observation::Seen(instances) = self.world.observation else {
            return false;
        };
        let at_rest = actions.is_empty()
            && actions.summary.moving == 0
            && self.world.attempts.last_unseen(instances).is_none();
        if !at_rest || instances.iter().any(|instance| instance.lock.is_one_of(&lock_history.released)) {
            return false;
        }
        // One that shows late is removed then, not at the next routine look.
        let may_show_until = lock_history.may_show_until(self.world.now);
        self.wake.at_some(may_show_until);
        may_show_until.is_none()
    }

    /// Drops earlier locks where the status is written anyway: what is remembered for longer harms nobody, and a write of its
    /// own for each booking would.
    fn forget_locks(&mut self) {
        let forgets = self.decision.forgets_locks;
        if let Some(status) = self.decision.resource_status.as_mut().filter(|_| forgets) {
            status.released_locks.clear();
        }
    }

    /// A Resource that is being deleted.
    pub(crate) fn release(&mut self, resource: &Resource, group: &Group) {
        let now = self.world.now;
        let old = resource.status.clone().unwrap_or_default();
        let manual = manual_hold(resource, self.world.bookings, now);
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
            if !self.decision.calls.is_empty() {
                self.decision.turn = Turn { due: now, ..Turn::default() };
            }
        }
        if !has_finalizer(resource) {
            return;
        }
        match release(resource, group.on_delete, self.world.observation, &lock_history, self.settings, now) {
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
        self.look_later();
    }

    /// A Resource that acts on nothing.
    pub(crate) fn block(&mut self, resource: &Resource, blocked: &Blocked) {
        let (progress, on_bookings) = match blocked {
            Blocked::Invalid(error) => {
                (Progress::new(false, reason::INVALID, error.to_string()), reason::RESOURCE_INVALID)
            }
            Blocked::NotAllowed(why) => {
                (Progress::new(false, reason::NOT_ALLOWED, why.to_string()), reason::RESOURCE_INVALID)
            }
            Blocked::Claimed => {
                // Names nothing: the other Resource may live in a namespace that the reader may not see.
                let message = "another Resource acts on the same group of machines";
                (Progress::new(false, reason::GROUP_CLAIMED, message), reason::GROUP_CLAIMED)
            }
        };
        self.block_bookings(&Progress { reason: on_bookings, ..progress.clone() });
        let mut more = Vec::new();
        if progress.reason != reason::GROUP_CLAIMED {
            more.push(Draft::new("Stalled", true, progress.reason, progress.message.clone()));
        }
        let old = resource.status.clone().unwrap_or_default();
        let (holder, released, idle_since) = (old.holder, old.released_locks, old.idle_since);
        // Who was not shown is not shown now.
        let is_ahead = old.locked_by.unwrap_or_default().is_empty();
        let lock_history = LockHistory { holder, released, idle_since, stands: false, is_ahead };
        self.publish_resource(resource, &progress, None, &lock_history, more);
        if resource.metadata.deletion_timestamp.is_some() && has_finalizer(resource) {
            self.remove_finalizer(EventType::Normal, "nothing of it is left to do".to_owned());
        }
        // Costs no call: what it stands by for may change unseen.
        self.wake.after(self.settings.observe_interval);
    }

    /// What the group should be, and when that changes because the adoption grace ends.
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
            // The end of a hold never waits for the grace.
            (_, None) if lock_history.idle_since.is_some() => stop(true),
            (_, None) => {
                let grace_end = after(first_seen(old, self.world.now), self.settings.adoption_grace);
                if self.world.now < grace_end {
                    (Goal::Idle { stop: false }, Some(grace_end))
                } else {
                    stop(true)
                }
            }
        }
    }

    /// What each machine needs; nothing where the group could not be observed.
    fn actions(
        &mut self,
        group: &Group,
        goal: &Goal,
        lock_history: &LockHistory,
    ) -> (Option<MachineActions>, Progress) {
        match self.world.observation {
            Observation::Seen(instances) => {
                let actions = actions(instances, goal, lock_history, self.world.attempts, self.world.now);
                let progress = progress(&group.key, &actions.summary, goal);
                self.wake_for_machines(instances, &actions);
                (Some(actions), progress)
            }
            Observation::Failed { message, retry_at } => {
                self.wake.at(*retry_at);
                (None, Progress::new(false, reason::CLOUD_ERROR, message.clone()))
            }
            Observation::NotNeeded => {
                (None, Progress::new(false, reason::CLOUD_ERROR, "the group has not been observed"))
            }
        }
    }

    /// The conditions of the Resource beside Ready. While the group cannot be observed, what was seen
    /// before stands: dropped and found again, it would be told again.
    fn more_conditions(
        &self,
        old: &ResourceStatus,
        actions: Option<&MachineActions>,
        goal: &Goal,
        grace_end: Option<Timestamp>,
    ) -> Vec<Draft> {
        let mut more = Vec::new();
        if let Some(actions) = actions {
            more = seen_conditions(&actions.summary, grace_end);
        } else {
            let mut seen = vec![
                ("Unmanageable", OWNED_BY_OTHERS),
                ("Unmanageable", CANNOT_BE_STOPPED),
                ("LockMalformed", "LockMalformed"),
            ];
            if grace_end.is_some() {
                seen.insert(0, ("IdleStopPending", "AdoptionGrace"));
            }
            for (type_, reason) in seen {
                let stands = old.conditions.iter().find(|it| it.type_ == type_ && it.reason == reason);
                more.extend(stands.map(|known| Draft::new(type_, true, reason, known.message.clone())));
            }
        }
        if self.settings.dry_run {
            let calls = actions.map_or(0, |actions| actions.clone().into_calls(goal).len());
            let message = format!("decided, but not sent: calls of {calls} kinds");
            more.push(Draft::new("DryRun", true, "DryRun", message));
        }
        more
    }

    fn wake_for_windows(&mut self, grants: &[Grant], manual: &ManualHold) {
        for (booking, grant) in self.live.iter().zip(grants) {
            let Some(window) = grant.window else { continue };
            self.wake.at(window.from);
            self.wake.at(window.until);
            for at in prelock::wakes(window.from, booking.created) {
                self.wake.at(at);
            }
            // What is known by then is young enough to start by at once.
            self.wake.at(window.from.checked_sub(OBSERVE_AHEAD).unwrap_or(window.from));
        }
        if let ManualHold::Held(hold) = manual {
            self.wake.at(hold.until);
        }
    }

    fn wake_for_machines(&mut self, instances: &[Machine], actions: &MachineActions) {
        self.wake.at_some(actions.summary.retry_at);
        self.wake.at_some(actions.summary.foreign_until);
        self.wake.at_some(actions.summary.restarts_at);
        let last = self.world.attempts.last_unseen(instances);
        let sends = !actions.is_empty() && !self.settings.dry_run;
        if actions.summary.moving > 0 || last.is_some() || sends {
            let since = last.filter(|_| !sends).map(|last| elapsed(last, self.world.now));
            self.wake.after(poll_interval(since, self.settings.poll_shortest, self.settings.poll_longest));
        }
    }
}

/// All Bookings of a key name the same one.
pub(crate) fn no_resource(world: &GroupInput<'_>) -> String {
    let name = world.bookings.first().and_then(|one| one.booking.spec.resource_name.as_deref());
    format!(
        "spec.resource_name: no Resource {:?} exists in the namespace",
        booking_decision::text::cut(name.unwrap_or_default())
    )
}

/// Whether a Booking is finished, says so, and its time to stay is over.
fn has_expired(booking: &Booking, valid: &ValidBooking, now: Timestamp) -> bool {
    let says = booking.status.as_ref().and_then(|status| status.status.as_deref());
    says == Some(booking_state::FINISHED)
        && booking.metadata.deletion_timestamp.is_none()
        && valid.expires.is_some_and(|expires| expires <= now)
}

fn seen_conditions(summary: &GroupSummary, grace_end: Option<Timestamp>) -> Vec<Draft> {
    let mut more = Vec::new();
    if let Some(end) = grace_end.filter(|_| summary.idle_running > 0) {
        let message = format!(
            "runs unbooked; stopped at {} unless booked, or when_idle is Keep",
            instant::seconds(end)
        );
        more.push(Draft::new("IdleStopPending", true, "AdoptionGrace", message));
    }
    if !summary.owned.is_empty() || !summary.unstoppable.is_empty() {
        let reason = if summary.owned.is_empty() { CANNOT_BE_STOPPED } else { OWNED_BY_OTHERS };
        more.push(Draft::new("Unmanageable", true, reason, progress::unmanageable(summary)));
    }
    if !summary.malformed.is_empty() {
        more.push(Draft::new("LockMalformed", true, "LockMalformed", progress::malformed(summary)));
    }
    more
}
