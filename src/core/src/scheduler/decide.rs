//! The decision about one BookingScheduler.

use booking_api::{Booking, BookingScheduler, BookingSchedulerStatus, BookingSpec, booking_state};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt};

use super::{
    occurrences::{self, CaughtUp, Due, LEAD},
    spec::{self, ValidScheduler},
};
use crate::{
    booking::{InvalidSpec, created},
    condition::{Draft, reason_of, settle},
    events::{EventType, Note, Subject, ready_warning},
    instant, names,
    progress::reason,
    window::Window,
};

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerWorld<'a> {
    /// The BookingScheduler.
    pub scheduler: &'a BookingScheduler,
    /// The Bookings that it owns.
    pub bookings: &'a [&'a Booking],
    /// The present.
    pub now: Timestamp,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulerDecision {
    /// To be created; one that exists is as good.
    pub create: Vec<Booking>,
    /// To be written once these exist, if it says anything new.
    pub status: Option<BookingSchedulerStatus>,
    /// Names of finished Bookings to be removed, by uid and version. Only where nothing is to be created.
    pub remove: Vec<String>,
    /// To tell people.
    pub events: Vec<Note>,
    /// When to decide again if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

/// Decides about a BookingScheduler.
pub fn decide_scheduler(world: &SchedulerWorld<'_>) -> SchedulerDecision {
    if world.scheduler.metadata.deletion_timestamp.is_some() {
        return SchedulerDecision::default();
    }
    match spec::validate(world.scheduler) {
        Ok(valid) => follow(world, &valid),
        Err(error) => refuse(world, &error),
    }
}

fn refuse(world: &SchedulerWorld<'_>, error: &InvalidSpec) -> SchedulerDecision {
    let drafts = vec![
        Draft::new("Ready", false, reason::INVALID, error.to_string()),
        Draft::new("Stalled", true, reason::INVALID, error.to_string()),
    ];
    let old = world.scheduler.status.clone().unwrap_or_default();
    publish(world, BookingSchedulerStatus { next: None, ..old }, drafts)
}

fn follow(world: &SchedulerWorld<'_>, valid: &ValidScheduler<'_>) -> SchedulerDecision {
    let old = world.scheduler.status.clone().unwrap_or_default();
    let caught_up = caught_up(world, valid);
    if valid.suspended {
        let status = BookingSchedulerStatus { next: None, ..old };
        let draft = Draft::new("Ready", false, SUSPENDED, "suspend is true: nothing is booked");
        return publish(world, status, vec![draft]);
    }
    let due = occurrences::due(valid, caught_up, world.now);
    let status = BookingSchedulerStatus {
        next: due.next.map(|next| next.to_string()),
        last: due.to_book.back().map(|window| window.from.to_string()).or(old.last),
        caught_up_to: Some(due.caught_up_to.to_string()),
        ..old
    };
    let mut decision = publish(world, status, readiness(world, valid, caught_up, &due));
    decision.create = due.to_book.iter().map(|window| booking(world.scheduler, valid, *window)).collect();
    decision.events.extend(missed(world, valid, caught_up, &due));
    if decision.create.is_empty() {
        decision.remove = outdated(world.bookings, valid.finished_kept);
    }
    decision.wake_at = if due.more {
        Some(world.now)
    } else {
        due.wake_for.map(|start| start.checked_sub(LEAD).unwrap_or(start))
    };
    decision
}

/// What fell into a time of suspension is not made up for.
fn caught_up(world: &SchedulerWorld<'_>, valid: &ValidScheduler<'_>) -> CaughtUp {
    let status = world.scheduler.status.as_ref();
    let born = created(world.scheduler.metadata.creation_timestamp.as_ref());
    let caught_up = CaughtUp::of(status, born, world.now);
    let was = status.and_then(|status| reason_of(&status.conditions, "Ready"));
    if was != Some(SUSPENDED) || valid.suspended {
        return caught_up;
    }
    CaughtUp::to(valid.schedule.passed_over(world.now, caught_up.anchor).max(caught_up.to))
}

const SUSPENDED: &str = "Suspended";
const NEVER_FIRES: &str = "NeverFires";
const FIRES_EACH_MINUTE: &str = "FiresEachMinute";
const SCHEDULED: &str = "Scheduled";
const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);

fn readiness(
    world: &SchedulerWorld<'_>,
    valid: &ValidScheduler<'_>,
    caught_up: CaughtUp,
    due: &Due,
) -> Vec<Draft> {
    if due.next.is_none() && !due.more {
        let never = "the schedule has no occurrence within five years, or all of them are excluded";
        return vec![
            Draft::new("Ready", false, NEVER_FIRES, never),
            Draft::new("Stalled", true, NEVER_FIRES, never),
        ];
    }
    let gap = occurrences::shortest_gap(valid, world.now, caught_up.anchor);
    let each_minute = gap.is_some_and(|gap| gap <= MINUTE);
    let mut message = format!("books {} minutes each time", valid.length.as_secs() / 60);
    if each_minute {
        message.push_str("; it fires each minute, is that meant?");
    }
    if gap.is_some_and(|gap| gap < valid.length) {
        message.push_str("; that is longer than the time between two of them, so they overlap");
    }
    if valid.template.start_at.is_some() || valid.template.end_at.is_some() {
        message.push_str("; start_at and end_at of bookingTemplate are ignored");
    }
    vec![Draft::new("Ready", true, if each_minute { FIRES_EACH_MINUTE } else { SCHEDULED }, message)]
}

/// What was promised and was not booked in time.
fn missed(
    world: &SchedulerWorld<'_>,
    valid: &ValidScheduler<'_>,
    caught_up: CaughtUp,
    due: &Due,
) -> Option<Note> {
    let promised = world.scheduler.status.as_ref()?.next.as_deref()?;
    let promised = instant::parse(promised).ok().filter(|promised| *promised > caught_up.to)?;
    // A schedule that was edited since promises something else.
    let still = valid.schedule.next_after(caught_up.to, caught_up.anchor)? <= promised;
    let booked_from = due.to_book.front().map(|window| window.from).or(due.wake_for)?;
    (still && promised < booked_from).then(|| {
        let message = format!("occurrences from {promised} on were not booked: it was too late for them");
        Note { subject: Subject::Scheduler, type_: EventType::Warning, reason: "Missed", message }
    })
}

fn publish(
    world: &SchedulerWorld<'_>,
    status: BookingSchedulerStatus,
    drafts: Vec<Draft>,
) -> SchedulerDecision {
    let generation = world.scheduler.metadata.generation;
    let old = world.scheduler.status.as_ref();
    let known = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let conditions = settle(known, drafts, generation, world.now);
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
fn booking(scheduler: &BookingScheduler, valid: &ValidScheduler<'_>, window: Window) -> Booking {
    let template = valid.template;
    let spec = BookingSpec {
        resource_name: template.resource_name.clone(),
        start_at: Some(window.from.to_string()),
        end_at: Some(window.until.to_string()),
        user_id: template.user_id.clone(),
        notifications: template.notifications.clone(),
        ttl_minutes_after_finished: None,
    };
    let mut booking = Booking::new(&booking_name(&scheduler.name_any(), window.from), spec);
    booking.metadata.namespace = scheduler.namespace();
    booking.metadata.owner_references = Some(scheduler.controller_owner_ref(&()).into_iter().collect());
    booking
}

/// The name of an occurrence's Booking: the scheduler's and the second of its start. A name too long for that
/// is cut, and told apart by a hash.
pub fn booking_name(scheduler: &str, start: Timestamp) -> String {
    let second = start.as_second();
    let whole = format!("{scheduler}-{second}");
    if whole.len() <= names::NAME_MAX {
        return whole;
    }
    let tail = format!("-{}-{second}", names::digest(scheduler));
    names::cut_to(scheduler, names::NAME_MAX.saturating_sub(tail.len())).to_owned() + &tail
}

/// The finished Bookings beyond those that are kept: the ones that began first.
fn outdated(bookings: &[&Booking], kept: usize) -> Vec<String> {
    let is_finished = |booking: &&&Booking| {
        let status = booking.status.as_ref();
        status.and_then(|status| status.status.as_deref()) == Some(booking_state::FINISHED)
            && booking.metadata.deletion_timestamp.is_none()
    };
    let mut finished: Vec<&&Booking> = bookings.iter().filter(is_finished).collect();
    let began = |booking: &Booking| instant::parse(booking.spec.start_at.as_deref()?).ok();
    finished.sort_by_key(|booking| (began(booking), booking.name_any()));
    let beyond = finished.len().saturating_sub(kept);
    finished.into_iter().take(beyond).map(|booking| booking.name_any()).collect()
}
