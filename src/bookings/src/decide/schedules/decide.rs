//! The decision about one BookingScheduler.

use crate::api::{Booking, BookingScheduler, BookingSchedulerStatus, BookingSpec, booking_state};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt};

use super::{
    occurrences::{self, CaughtUp, Due, LEAD},
    spec::ValidScheduler,
};
use crate::decide::{
    groups::{events::ready_warning, progress::reason},
    subject::{Note, Subject},
};
use booking_calendar::{instant, window::Window};
use booking_decision::{
    EventType, InvalidSpec,
    condition::{Draft, reason_of, settle},
    meta::created,
    names,
    text::cut,
};

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleInput<'a> {
    /// The BookingScheduler.
    pub scheduler: &'a BookingScheduler,
    /// What its spec means, or what is wrong with it.
    pub valid: &'a Result<ValidScheduler, InvalidSpec>,
    /// The Bookings that it owns.
    pub bookings: &'a [&'a Booking],
    /// The time.
    pub now: Timestamp,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulerDecision {
    /// Bookings to create. If one exists already, that is as good.
    pub create: Vec<Booking>,
    /// The status to write after these exist, if it changes.
    pub status: Option<BookingSchedulerStatus>,
    /// Names of finished Bookings to delete, by uid and version. Empty if Bookings are to be created.
    pub remove: Vec<String>,
    /// Events to publish.
    pub events: Vec<Note>,
    /// When to decide again, if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

/// Decides about a BookingScheduler.
pub fn decide_scheduler(input: &ScheduleInput<'_>) -> SchedulerDecision {
    if input.scheduler.metadata.deletion_timestamp.is_some() {
        return SchedulerDecision::default();
    }
    match input.valid {
        Ok(valid) => follow(input, valid),
        Err(error) => refuse(input, error),
    }
}

impl SchedulerDecision {
    /// The status to write if the API server refused some of the Bookings. `start` is the start of the first of them.
    /// They are tried again while their windows last.
    #[must_use]
    pub fn refused(
        &self,
        old: Option<&BookingSchedulerStatus>,
        start: &str,
        why: &str,
    ) -> Option<BookingSchedulerStatus> {
        let mut status = self.status.clone()?;
        let stands = old.into_iter().flat_map(|old| &old.conditions).find(|known| known.type_ == "Ready");
        let before = instant::parse(start).map(occurrences::just_before).ok()?;
        status.caught_up_to = Some(before.to_string());
        for ready in status.conditions.iter_mut().filter(|condition| condition.type_ == "Ready") {
            "False".clone_into(&mut ready.status);
            BOOKING_REFUSED.clone_into(&mut ready.reason);
            ready.message = format!("the Booking from {start} on is refused: {why}");
            if let Some(stands) = stands.filter(|stands| stands.status == "False") {
                ready.last_transition_time = stands.last_transition_time.clone();
            }
        }
        (old != Some(&status)).then_some(status)
    }
}

/// Reason: the API server, a quota or a policy refuses a Booking.
pub const BOOKING_REFUSED: &str = "BookingRefused";

fn refuse(input: &ScheduleInput<'_>, error: &InvalidSpec) -> SchedulerDecision {
    let mut drafts = vec![
        Draft::new("Ready", false, reason::INVALID, error.to_string()),
        Draft::new("Stalled", true, reason::INVALID, error.to_string()),
    ];
    if input.scheduler.spec.suspend == Some(true) || was_suspended(input) {
        drafts.push(suspended());
    }
    publish(input, at_rest(input), drafts)
}

/// A status without a next occurrence. It keeps the instant up to which the scheduler has come.
fn at_rest(input: &ScheduleInput<'_>) -> BookingSchedulerStatus {
    let old = input.scheduler.status.clone().unwrap_or_default();
    let to = caught_up(input).recorded(input.now).unwrap_or(input.now);
    BookingSchedulerStatus { next: None, caught_up_to: Some(to.to_string()), ..old }
}

fn suspended() -> Draft {
    Draft::new(SUSPENDED, true, SUSPENDED, "what falls into this time is not made up for")
}

fn was_suspended(input: &ScheduleInput<'_>) -> bool {
    let status = input.scheduler.status.as_ref();
    status.is_some_and(|status| reason_of(&status.conditions, SUSPENDED).is_some())
}

fn caught_up(input: &ScheduleInput<'_>) -> CaughtUp {
    let born = created(input.scheduler.metadata.creation_timestamp.as_ref());
    CaughtUp::of(input.scheduler.status.as_ref(), born, input.now)
}

fn follow(input: &ScheduleInput<'_>, valid: &ValidScheduler) -> SchedulerDecision {
    let old = input.scheduler.status.clone().unwrap_or_default();
    let caught_up = caught_up(input);
    if valid.suspended {
        let ready = Draft::new("Ready", false, SUSPENDED, "suspend is true: nothing is booked");
        return publish(input, at_rest(input), vec![ready, suspended()]);
    }
    if was_suspended(input) {
        return resume(input, valid, caught_up);
    }
    let due = occurrences::due(valid, caught_up, input.now);
    let status = BookingSchedulerStatus {
        next: due.next.map(|next| next.to_string()),
        last: due.to_book.back().map(|window| window.from.to_string()).or(old.last),
        caught_up_to: CaughtUp::to(due.caught_up_to).recorded(input.now).map(|to| to.to_string()),
        ..old
    };
    let mut decision = publish(input, status, readiness(input, valid, caught_up, &due));
    decision.create = due.to_book.iter().map(|window| booking(input.scheduler, valid, *window)).collect();
    decision.events.extend(missed(input, valid, caught_up, &due));
    if decision.create.is_empty() {
        decision.remove = outdated(input, valid.finished_kept);
    }
    decision.wake_at = if due.more {
        Some(input.now)
    } else {
        due.wake_for.map(|start| start.checked_sub(LEAD).unwrap_or(start))
    };
    decision
}

/// Occurrences during a suspension are not booked afterwards. The status that says so is written before anything is
/// booked again. Otherwise, if the process dies in between, more occurrences would be passed over.
fn resume(input: &ScheduleInput<'_>, valid: &ValidScheduler, caught_up: CaughtUp) -> SchedulerDecision {
    let to = valid.schedule.passed_over(input.now, caught_up.anchor).max(caught_up.to);
    let status = BookingSchedulerStatus { caught_up_to: Some(to.to_string()), ..at_rest(input) };
    let ready = Draft::new("Ready", true, SCHEDULED, "goes on");
    SchedulerDecision { wake_at: Some(input.now), ..publish(input, status, vec![ready]) }
}

const SUSPENDED: &str = "Suspended";
const NEVER_FIRES: &str = "NeverFires";
const FIRES_EACH_MINUTE: &str = "FiresEachMinute";
const SCHEDULED: &str = "Scheduled";
const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);

fn readiness(
    input: &ScheduleInput<'_>,
    valid: &ValidScheduler,
    caught_up: CaughtUp,
    due: &Due,
) -> Vec<Draft> {
    if due.wake_for.is_none() && !due.more {
        let schedule = input.scheduler.spec.schedule.as_deref().map(cut).unwrap_or_default();
        let never = format!("spec.schedule: {schedule:?} has no occurrence within five years");
        return vec![
            Draft::new("Ready", false, NEVER_FIRES, never.clone()),
            Draft::new("Stalled", true, NEVER_FIRES, never),
        ];
    }
    let gaps = occurrences::gaps(valid, input.now, caught_up.anchor);
    let each_minute = gaps.windows(2).any(|two| two.iter().all(|gap| *gap <= MINUTE));
    let mut message = format!("books {} minutes each time", valid.length.as_secs() / 60);
    if each_minute {
        message.push_str("; it fires each minute, is that meant?");
    }
    if gaps.iter().any(|gap| *gap < valid.length) {
        message.push_str("; that is longer than the time between two of them, so they overlap");
    }
    if valid.template.start_at.is_some() || valid.template.end_at.is_some() {
        message.push_str("; start_at and end_at of bookingTemplate are ignored");
    }
    vec![Draft::new("Ready", true, if each_minute { FIRES_EACH_MINUTE } else { SCHEDULED }, message)]
}

/// The Event about occurrences that the status promised and that were not booked in time.
fn missed(input: &ScheduleInput<'_>, valid: &ValidScheduler, caught_up: CaughtUp, due: &Due) -> Option<Note> {
    let promised = input.scheduler.status.as_ref()?.next.as_deref()?;
    let promised = instant::parse(promised).ok().filter(|promised| *promised > caught_up.to)?;
    // If the schedule was edited since, it promises other occurrences.
    let still = valid.schedule.next_after(caught_up.to, caught_up.anchor)? <= promised;
    let booked_from = due.to_book.front().map(|window| window.from).or(due.wake_for)?;
    (still && promised < booked_from).then(|| {
        let message = format!("occurrences from {promised} on were not booked: it was too late for them");
        Note { subject: Subject::Scheduler, type_: EventType::Warning, reason: "Missed", message }
    })
}

fn publish(
    input: &ScheduleInput<'_>,
    status: BookingSchedulerStatus,
    drafts: Vec<Draft>,
) -> SchedulerDecision {
    let generation = input.scheduler.metadata.generation;
    let old = input.scheduler.status.as_ref();
    let known = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let conditions = settle(known, drafts, generation, input.now);
    let status = BookingSchedulerStatus { observed_generation: generation, conditions, ..status };
    let mut decision = SchedulerDecision::default();
    if old == Some(&status) {
        return decision;
    }
    let reported = [reason::INVALID, NEVER_FIRES, FIRES_EACH_MINUTE];
    decision.events.extend(ready_warning(Subject::Scheduler, known, &status.conditions, &reported));
    decision.status = Some(status);
    decision
}

/// The Booking of an occurrence.
fn booking(scheduler: &BookingScheduler, valid: &ValidScheduler, window: Window) -> Booking {
    let template = &valid.template;
    let spec = BookingSpec {
        resource_name: template.resource_name.clone(),
        start_at: Some(window.from.to_string()),
        end_at: Some(window.until.to_string()),
        user_id: template.user_id.clone(),
        notifications: template.notifications.clone(),
        ttl_minutes_after_finished: None,
        time_zone: valid.schedule.zone_name().map(str::to_owned),
    };
    let mut booking = Booking::new(&booking_name(&scheduler.name_any(), window.from), spec);
    booking.metadata.namespace = scheduler.namespace();
    booking.metadata.owner_references = Some(scheduler.controller_owner_ref(&()).into_iter().collect());
    booking
}

/// The name of an occurrence's Booking: the scheduler's name and the second of its start. If that is too long, the
/// name is cut and a hash is added.
pub fn booking_name(scheduler: &str, start: Timestamp) -> String {
    let second = start.as_second();
    let whole = format!("{scheduler}-{second}");
    if whole.len() <= names::NAME_MAX {
        return whole;
    }
    let tail = format!("-{}-{second}", names::digest(scheduler));
    let cut = names::cut_to(scheduler, names::NAME_MAX.saturating_sub(tail.len()));
    cut.trim_end_matches(['.', '-']).to_owned() + &tail
}

/// The finished Bookings beyond the limit: those that began first.
fn outdated(input: &ScheduleInput<'_>, kept: usize) -> Vec<String> {
    // If a finished Booking was extended, it is not finished any more, although its status may not say so yet.
    let is_finished = |booking: &&&Booking| {
        let end = booking.spec.end_at.as_deref().and_then(|end| instant::parse(end).ok());
        let says = |status: &crate::api::BookingStatus| {
            status.status.as_deref() == Some(booking_state::FINISHED)
                && status.observed_generation == booking.metadata.generation
        };
        booking.status.as_ref().is_some_and(says)
            && end.is_some_and(|end| end <= input.now)
            && booking.metadata.deletion_timestamp.is_none()
    };
    let mut finished: Vec<&&Booking> = input.bookings.iter().filter(is_finished).collect();
    let began = |booking: &Booking| instant::parse(booking.spec.start_at.as_deref()?).ok();
    finished.sort_by_key(|booking| (began(booking), booking.name_any()));
    let beyond = finished.len().saturating_sub(kept);
    finished.into_iter().take(beyond).map(|booking| booking.name_any()).collect()
}
