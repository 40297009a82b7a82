//! A decision about one group while it is made: its input, and the result so far.

use std::time::Duration;

use crate::api::{Booking, booking_state};
use jiff::Timestamp;

use crate::decide::{
    groups::{
        booking::{ReadBooking, ValidBooking},
        grant::Grant,
        group::Group,
        hold::ManualHold,
        input::{GroupInput, Observation},
        locks::LockHistory,
        machine::Machine,
        machines::{Goal, MachineActions, actions},
        output::Decision,
        prelock,
        progress::{Progress, progress, reason},
        status::is_finished,
    },
    settings::Settings,
};
use booking_calendar::instant::{self, after, elapsed};
use booking_decision::{
    InvalidSpec,
    wake::{Wake, poll_interval},
};

/// How long before a window begins its group is observed.
pub(crate) const OBSERVE_AHEAD: Duration = Duration::from_secs(10);

/// After the pass that reports that a Booking is finished, the next pass may delete the Booking this much later.
const AFTER_FINISHED: Duration = Duration::from_secs(1);

/// A Booking and what it means.
pub(crate) struct KnownBooking<'a> {
    pub(crate) booking: &'a Booking,
    pub(crate) read: &'a Result<ValidBooking, InvalidSpec>,
    /// Its index in `live`, if it is live.
    pub(crate) live: Option<usize>,
}

impl KnownBooking<'_> {
    /// Whether the Booking is over but its status does not say so yet.
    pub(crate) fn is_finishing(&self) -> bool {
        let says = self.booking.status.as_ref().and_then(|status| status.status.as_deref());
        self.read.is_ok() && self.live.is_none() && says != Some(booking_state::FINISHED)
    }
}

/// A decision while it is made. Its methods are in the files of the questions that they answer.
pub(crate) struct DecisionBuilder<'a> {
    pub(crate) input: GroupInput<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) known: Vec<KnownBooking<'a>>,
    /// Valid Bookings that are not over and are not being deleted, in the order given.
    pub(crate) live: Vec<ValidBooking>,
    pub(crate) decision: Decision,
    pub(crate) wake: Wake,
}

impl<'a> DecisionBuilder<'a> {
    pub(crate) fn new(input: GroupInput<'a>, settings: &'a Settings) -> Self {
        let (mut live, mut expired) = (Vec::new(), Vec::new());
        let mut wake = Wake::new(input.now);
        let mut known = Vec::with_capacity(input.bookings.len());
        for ReadBooking { booking, read } in input.bookings {
            let mut index = None;
            match read.as_ref() {
                Ok(valid) if !is_finished(booking, valid, input.now) => {
                    wake.at(valid.window.from);
                    wake.at(valid.window.until);
                    if booking.metadata.deletion_timestamp.is_none() {
                        index = Some(live.len());
                        live.push(valid.clone());
                    }
                }
                Ok(valid) => {
                    wake.at_some(valid.expires);
                    if has_expired(booking, valid, input.now) {
                        expired.extend(booking.metadata.uid.clone());
                    } else if valid.expires.is_some_and(|expires| expires <= input.now) {
                        // The Booking's status must say first that it has finished.
                        wake.after(AFTER_FINISHED);
                    }
                }
                // From the start of an invalid Booking on, the pass can still use it to tell the predecessor's trace
                // from a user's manual hold.
                Err(_) => {
                    wake.at_some(booking.spec.start_at.as_deref().and_then(|at| instant::parse(at).ok()));
                }
            }
            known.push(KnownBooking { booking, read, live: index });
        }
        let expired = if settings.dry_run { Vec::new() } else { expired };
        Self { input, settings, known, live, decision: Decision { expired, ..Decision::default() }, wake }
    }

    pub(crate) fn finish(self) -> Decision {
        let mut decision = Decision { wake_at: self.wake.earliest(), ..self.decision };
        // If a Booking still has a status or a notice to publish, it is deleted after that.
        let said = |uid: &String| {
            !decision.booking_statuses.iter().any(|(of, _)| of == uid)
                && !decision.notices.iter().any(|notice| notice.id.booking_uid == *uid)
        };
        let before = decision.expired.len();
        decision.expired.retain(said);
        if decision.expired.len() < before {
            let soon = after(self.input.now, AFTER_FINISHED);
            decision.wake_at = Some(decision.wake_at.map_or(soon, |wake_at| wake_at.min(soon)));
        }
        decision
    }

    /// Sets when a group to which nothing happens is observed again.
    pub(crate) fn observe_later(&mut self) {
        let later = after(self.input.now, self.settings.observe_interval);
        self.decision.observe_by = Some(later).filter(|later| *later > self.input.now);
    }

    /// What each machine needs. None if the group could not be observed.
    pub(crate) fn actions(
        &mut self,
        group: &Group,
        goal: &Goal,
        lock_history: &LockHistory,
    ) -> (Option<MachineActions>, Progress) {
        match self.input.observation {
            Observation::Seen(instances) => {
                let actions = actions(instances, goal, lock_history, self.input.attempts, self.input.now);
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

    /// Wakes for everything that is due before, at and after each window.
    pub(crate) fn wake_for_windows(&mut self, grants: &[Grant], manual: &ManualHold) {
        for (booking, grant) in self.live.iter().zip(grants) {
            let Some(window) = grant.window else { continue };
            self.wake.at(window.from);
            self.wake.at(window.until);
            for at in prelock::wakes(window.from, booking.created) {
                self.wake.at(at);
            }
            // An observation at this instant is young enough to start the machines when the window begins.
            self.wake.at(window.from.checked_sub(OBSERVE_AHEAD).unwrap_or(window.from));
        }
        if let ManualHold::Held(hold) = manual {
            self.wake.at(hold.until);
        }
    }

    /// Wakes for what the machines are expected to do.
    fn wake_for_machines(&mut self, instances: &[Machine], actions: &MachineActions) {
        self.wake.at_some(actions.summary.retry_at);
        self.wake.at_some(actions.summary.foreign_until);
        self.wake.at_some(actions.summary.restarts_at);
        let last = self.input.attempts.last_unseen(instances);
        let sends = !actions.is_empty() && !self.settings.dry_run;
        if actions.summary.moving > 0 || last.is_some() || sends {
            let since = last.filter(|_| !sends).map(|last| elapsed(last, self.input.now));
            self.wake.after(poll_interval(since, self.settings.poll_shortest, self.settings.poll_longest));
        }
    }
}

/// Whether a Booking is finished, its status says so, and the time to keep it is over.
fn has_expired(booking: &Booking, valid: &ValidBooking, now: Timestamp) -> bool {
    let says = booking.status.as_ref().and_then(|status| status.status.as_deref());
    says == Some(booking_state::FINISHED)
        && booking.metadata.deletion_timestamp.is_none()
        && valid.expires.is_some_and(|expires| expires <= now)
}
