//! The statuses of Bookings and Resources, built from the decision.

use crate::api::{Booking, BookingStatus, Resource, ResourceStatus, booking_state, group_state};
use jiff::Timestamp;

use crate::decide::groups::{
    booking::ValidBooking,
    grant::Grant,
    hold::Hold,
    locks::LockHistory,
    machines::GroupSummary,
    progress::{Progress, reason},
};
use booking_calendar::{instant, window::Window};
use booking_decision::{
    InvalidSpec,
    condition::{Draft, settle},
};

/// The standing of a Booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BookingStanding<'a> {
    /// Its spec is invalid.
    Invalid(&'a InvalidSpec),
    /// Its Resource cannot act.
    Blocked(Progress),
    /// It holds its group, which has made this progress.
    Holding(&'a Progress),
    /// It does not hold its group.
    NotHolding { grant: &'a Grant, holder: Option<&'a Hold> },
}

/// The status of a Booking. `valid` is None exactly if the Booking is invalid.
pub(crate) fn booking_status(
    booking: &Booking,
    valid: Option<&ValidBooking>,
    grant: Option<&Grant>,
    standing: &BookingStanding<'_>,
    now: Timestamp,
) -> BookingStatus {
    let old = booking.status.clone().unwrap_or_default();
    let generation = booking.metadata.generation;
    let state =
        valid.map_or(old.status.clone(), |valid| Some(state(booking, valid, standing, now).to_owned()));
    let finished = state.as_deref() == Some(booking_state::FINISHED) && valid.is_some();
    let held_before = old.status.as_deref() == Some(booking_state::IN_PROGRESS)
        || ready_reason(&old).is_some_and(|r| r == reason::FINISHED);
    let mut drafts = Vec::new();
    if let BookingStanding::Invalid(error) = standing {
        drafts.push(Draft::new("Accepted", false, reason::INVALID, error.to_string()));
        drafts.push(Draft::new("Ready", false, reason::INVALID, error.to_string()));
        drafts.push(Draft::new("Stalled", true, reason::INVALID, error.to_string()));
    } else {
        drafts.push(accepted(valid, grant));
        drafts.push(ready(valid, standing, finished, held_before, now));
    }
    let window = grant.map_or_else(|| kept_grant(&old, valid), |grant| grant.window);
    BookingStatus {
        status: state,
        notification_sent: old.notification_sent,
        notified: old.notified.clone(),
        observed_generation: generation,
        granted_resource: window.and(booking.spec.resource_name.clone()),
        granted_from: window.map(|window| window.from.to_string()),
        granted_until: window.map(|window| window.until.to_string()),
        holder: holder(valid, standing, finished, now),
        ready_after_seconds: old.ready_after_seconds.or_else(|| ready_after(&old, standing, valid, now)),
        conditions: settle(&old.conditions, drafts, generation, now),
    }
}

fn holder(
    valid: Option<&ValidBooking>,
    standing: &BookingStanding<'_>,
    finished: bool,
    now: Timestamp,
) -> Option<String> {
    match standing {
        _ if finished => None,
        BookingStanding::Holding(_) => valid.map(|valid| valid.user.clone()),
        BookingStanding::NotHolding { grant, holder } => {
            waits_for(grant, *holder, now).map(|(user, _)| user.to_owned())
        }
        BookingStanding::Invalid(_) | BookingStanding::Blocked(_) => None,
    }
}

/// How long it took until the Booking was first ready, from its start or from its creation if that is later. None if
/// it was already ready when it was first seen.
fn ready_after(
    old: &BookingStatus,
    standing: &BookingStanding<'_>,
    valid: Option<&ValidBooking>,
    now: Timestamp,
) -> Option<i64> {
    let is_ready = matches!(standing, BookingStanding::Holding(progress) if progress.ready);
    let valid = valid.filter(|_| is_ready && ready_reason(old).is_some())?;
    let since = valid.window.from.max(valid.created);
    i64::try_from(instant::elapsed(since, now).as_secs()).ok()
}

/// If a Booking's Resource cannot act, the Booking keeps its grant.
fn kept_grant(old: &BookingStatus, valid: Option<&ValidBooking>) -> Option<Window> {
    old.granted_from.as_ref().and(valid).and_then(|valid| valid.granted)
}

fn ready_reason(status: &BookingStatus) -> Option<&str> {
    booking_decision::condition::reason_of(&status.conditions, "Ready")
}

/// The Booking's state. It never goes back unless the spec was changed.
fn state(
    booking: &Booking,
    valid: &ValidBooking,
    standing: &BookingStanding<'_>,
    now: Timestamp,
) -> &'static str {
    let old = booking.status.as_ref();
    let unchanged = old.is_some_and(|old| {
        old.observed_generation.is_none_or(|seen| Some(seen) == booking.metadata.generation)
    });
    let was = old.and_then(|old| old.status.as_deref());
    if is_finished(booking, valid, now) {
        booking_state::FINISHED
    } else if matches!(standing, BookingStanding::Holding(_))
        || (unchanged && was == Some(booking_state::IN_PROGRESS))
    {
        booking_state::IN_PROGRESS
    } else {
        booking_state::SCHEDULED
    }
}

/// Whether a Booking is over: its end has passed, or it was finished and its spec has not changed since. The second
/// case matters if the clock went back.
pub(crate) fn is_finished(booking: &Booking, valid: &ValidBooking, now: Timestamp) -> bool {
    let finished_as_it_is = booking.status.as_ref().is_some_and(|status| {
        status.status.as_deref() == Some(booking_state::FINISHED)
            && status.observed_generation.is_some()
            && status.observed_generation == booking.metadata.generation
            && booking_decision::condition::reason_of(&status.conditions, "Accepted") != Some(reason::INVALID)
    });
    valid.window.until <= now || finished_as_it_is
}

/// The condition Accepted. A Booking that is over has no grant, so it is never granted in part.
fn accepted(valid: Option<&ValidBooking>, grant: Option<&Grant>) -> Draft {
    let cut = valid.zip(grant).and_then(|(valid, grant)| {
        let (window, waiting) = (grant.window?, grant.waiting.as_ref()?);
        let (user, until) = (&waiting.user, waiting.until);
        if window.until < valid.window.until {
            return Some(format!("granted until {}; then {user} has the group until {until}", window.until));
        }
        (valid.window.from < window.from)
            .then(|| format!("granted from {}; before, {user} has the group until {until}", window.from))
    });
    match cut {
        Some(message) => Draft::new("Accepted", true, "GrantedInPart", message),
        None => Draft::new("Accepted", true, "Valid", "the spec is valid"),
    }
}

fn ready(
    valid: Option<&ValidBooking>,
    standing: &BookingStanding<'_>,
    finished: bool,
    held_before: bool,
    now: Timestamp,
) -> Draft {
    if finished && (held_before || matches!(standing, BookingStanding::Holding(_))) {
        return Draft::new("Ready", false, reason::FINISHED, "the booking is over");
    }
    if finished {
        return Draft::new(
            "Ready",
            false,
            reason::NEVER_HELD,
            "the booking is over; it never held its group",
        );
    }
    match standing {
        BookingStanding::Holding(progress) => {
            Draft::new("Ready", progress.ready, progress.reason, progress.message.clone())
        }
        BookingStanding::Blocked(progress) => {
            Draft::new("Ready", false, progress.reason, progress.message.clone())
        }
        BookingStanding::NotHolding { grant, holder } => not_holding(valid, grant, *holder, now),
        BookingStanding::Invalid(_) => Draft::new("Ready", false, reason::INVALID, ""),
    }
}

/// Waiting, if another window or the present hold is in the way. Otherwise scheduled.
fn not_holding(valid: Option<&ValidBooking>, grant: &Grant, holder: Option<&Hold>, now: Timestamp) -> Draft {
    if let Some((_, message)) = waits_for(grant, holder, now) {
        return Draft::new("Ready", false, reason::WAITING, message);
    }
    let from = grant.window.or(valid.map(|valid| valid.window)).map(|window| window.from);
    let message = from.map_or_else(String::new, |from| format!("starts at {from}"));
    Draft::new("Ready", false, reason::SCHEDULED, message)
}

/// The user for whom a Booking waits, and the message about it.
fn waits_for<'a>(grant: &'a Grant, holder: Option<&'a Hold>, now: Timestamp) -> Option<(&'a str, String)> {
    let due = grant.window.is_some_and(|window| window.contains(now));
    if let Some(Hold { user, until, .. }) = holder.filter(|_| due) {
        return Some((
            user,
            format!("waits for {user} until {until}, who holds the group; place 1 in the queue"),
        ));
    }
    let unserved = grant.window.is_none_or(|window| window.until <= now);
    let waiting = grant.waiting.as_ref().filter(|_| unserved)?;
    let (user, until, place) = (&waiting.user, waiting.until, waiting.place);
    Some((user, format!("waits for {user} until {until}; place {place} in the queue")))
}

/// The facts from which a Resource's status is built.
pub(crate) struct ResourceFacts<'a> {
    /// The content of the Ready condition.
    pub(crate) progress: &'a Progress,
    /// The counts. None if the group was not observed.
    pub(crate) summary: Option<&'a GroupSummary>,
    /// Holder and locks.
    pub(crate) lock_history: &'a LockHistory,
    /// The conditions in addition to Ready.
    pub(crate) more: Vec<Draft>,
}

/// The status of a Resource.
pub(crate) fn resource_status(
    resource: &Resource,
    facts: ResourceFacts<'_>,
    now: Timestamp,
) -> ResourceStatus {
    let old = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let progress = facts.progress;
    let mut drafts = vec![Draft::new("Ready", progress.ready, progress.reason, progress.message.clone())];
    drafts.extend(facts.more);
    let foreign = facts.summary.and_then(|summary| summary.foreign.first()).map(|(_, lock)| lock.clone());
    let holder = facts.lock_history.shown().map(|h| (h.user.clone(), h.until.clone()));
    let (locked_by, locked_until) =
        holder.or(foreign.map(|lock| (lock.user, lock.until))).unwrap_or_default();
    let seen = first_seen(&old, now);
    // If the group could not be observed, the Resource does not count as seen, and its adoption grace has not begun.
    let first_seen_at = match (old.first_seen_at, facts.summary) {
        (None, None) => None,
        (Some(text), _) if instant::parse(&text) == Ok(seen) => Some(text),
        _ => Some(instant::seconds(seen)),
    };
    let count = |of: fn(&GroupSummary) -> usize, old: Option<i64>| {
        facts.summary.map_or(old, |summary| i64::try_from(of(summary)).ok())
    };
    ResourceStatus {
        instances: count(|summary| summary.total, old.instances).or(Some(0)),
        running: count(|summary| summary.running, old.running).or(Some(0)),
        status: facts
            .summary
            .map(|summary| group_word(summary).to_owned())
            .or(old.status)
            .or(Some(group_state::PENDING.into())),
        locked_by: Some(locked_by),
        locked_until: Some(locked_until),
        observed_generation: generation,
        holder: facts.lock_history.holder.clone(),
        released_locks: facts.lock_history.released.clone(),
        first_seen_at,
        idle_since: facts.lock_history.idle_since.clone(),
        automatic_restart_at: match facts.summary {
            Some(summary) => summary.restarts_at.map(instant::seconds),
            None => old.automatic_restart_at,
        },
        conditions: settle(&old.conditions, drafts, generation, now),
    }
}

/// When the Resource was first seen. A recorded value that is invalid or in the future is ignored, because it would
/// delay the idle stop forever.
pub(crate) fn first_seen(status: &ResourceStatus, now: Timestamp) -> Timestamp {
    let recorded = status.first_seen_at.as_deref().and_then(|text| instant::parse(text).ok());
    recorded.filter(|seen| *seen <= now).unwrap_or_else(|| instant::floor(now))
}

fn group_word(summary: &GroupSummary) -> &'static str {
    match summary.running {
        0 if summary.moving == 0 && summary.broken == 0 => group_state::STOPPED,
        running if running == summary.total && running > 0 => group_state::RUNNING,
        _ => group_state::PENDING,
    }
}
