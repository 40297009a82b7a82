//! Which occurrences of a schedule are due, and which is the next.

use std::{collections::VecDeque, time::Duration};

use crate::api::BookingSchedulerStatus;
use jiff::Timestamp;

use super::spec::ValidScheduler;
use booking_calendar::{instant, window::Window};

/// How long before its start an occurrence is booked: its machines are to start to the second, and a slow
/// API server must not make them late.
pub const LEAD: Duration = Duration::from_mins(1);
/// Most occurrences that are made up for, the newest: what Kubernetes allows a CronJob to have missed.
pub const CATCH_UP_MAX: usize = 100;
/// Most occurrences that one decision looks at. It books none before it has seen them all.
const STEPS_MAX: usize = 10_000;
/// Most excluded occurrences that are skipped to find the next.
const EXCLUDED_MAX: usize = 10_000;
/// A `caught_up_to` further ahead than this was written by somebody else, or by a clock that was wrong.
const AHEAD_MAX: Duration = Duration::from_mins(6);
/// A `next` further ahead than this, too: what fires has an occurrence in five years.
const NEXT_MAX: Duration = Duration::from_hours(5 * 366 * 24);

/// Up to where a scheduler has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// All occurrences up to here are dealt with.
    pub to: Timestamp,
    /// One of the multiples of an `@every`: the whole second at `to`, or right after it.
    pub anchor: Timestamp,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The windows to book, in order.
    pub to_book: VecDeque<Window>,
    /// All occurrences up to here are dealt with once these are booked.
    pub caught_up_to: Timestamp,
    /// The next occurrence to look at, excluded or not.
    pub wake_for: Option<Timestamp>,
    /// The next occurrence that will be booked.
    pub next: Option<Timestamp>,
    /// There are more of them that are due already.
    pub more: bool,
}

impl CaughtUp {
    /// From what stands in status. One that the original operator wrote has `next` alone, which it was
    /// going to book; a new scheduler books from its creation on.
    pub fn of(status: Option<&BookingSchedulerStatus>, created: Timestamp, now: Timestamp) -> Self {
        let read = |text: Option<&String>| instant::parse(text?).ok();
        let own = status.and_then(|status| status.caught_up_to.as_ref());
        if own.is_some() {
            // What is no instant, or far ahead, would book everything anew, or nothing for years.
            let to = read(own).unwrap_or(now);
            let sane = if to <= instant::after(now, AHEAD_MAX) { to } else { now };
            return Self { to: sane, anchor: instant::ceil(to) };
        }
        let next = read(status.and_then(|status| status.next.as_ref()));
        match next.filter(|next| *next <= instant::after(now, NEXT_MAX)) {
            Some(next) => Self::to(just_before(next)),
            None => Self::to(created.min(now)),
        }
    }

    /// What may be recorded of it: what lies far ahead would look like somebody else's.
    pub(super) fn recorded(self, now: Timestamp) -> Option<Timestamp> {
        Some(self.to).filter(|to| *to <= instant::after(now, AHEAD_MAX))
    }

    /// Up to an occurrence, or right before one.
    pub(super) fn to(to: Timestamp) -> Self {
        Self { to, anchor: instant::ceil(to) }
    }
}

pub(super) fn just_before(instant: Timestamp) -> Timestamp {
    instant.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(instant)
}

/// What is due at `now`.
pub fn due(valid: &ValidScheduler<'_>, caught_up: CaughtUp, now: Timestamp) -> Due {
    let horizon = instant::after(now, LEAD);
    let mut steps = 0;
    let mut due =
        Due { to_book: VecDeque::new(), caught_up_to: caught_up.to, wake_for: None, next: None, more: false };
    // What is too late for all that stands before it is not walked through.
    let mut cursor = caught_up.to.max(too_late(valid, now));
    while let Some(start) = valid.schedule.next_after(cursor, caught_up.anchor) {
        if start > horizon {
            due.wake_for = Some(start);
            break;
        }
        if steps == STEPS_MAX {
            due.more = true;
            break;
        }
        steps += 1;
        cursor = start;
        due.caught_up_to = start;
        let window = Window::new(start, instant::after(start, valid.length));
        due.to_book.extend(window.filter(|_| !is_excluded(valid, start)));
        if due.to_book.len() > CATCH_UP_MAX {
            due.to_book.pop_front();
        }
    }
    if due.more {
        // The newest are found by going on from here.
        due.caught_up_to = due.to_book.front().map_or(due.caught_up_to, |window| just_before(window.from));
        due.to_book.clear();
    }
    due.next = due.wake_for.and_then(|first| next_booked(valid, first, caught_up.anchor));
    due
}

/// The newest instant at which an occurrence would be over by now, or past its deadline.
fn too_late(valid: &ValidScheduler<'_>, now: Timestamp) -> Timestamp {
    let before = |duration: Duration| now.checked_sub(duration).unwrap_or(Timestamp::MIN);
    // An occurrence right at its deadline is not too late, one that is just over is.
    let past_deadline = valid.deadline.map_or(Timestamp::MIN, |deadline| just_before(before(deadline)));
    before(valid.length).max(past_deadline)
}

/// The first occurrence from `first` on that is no exclusion.
fn next_booked(valid: &ValidScheduler<'_>, first: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
    let all = std::iter::successors(Some(first), |last| valid.schedule.next_after(*last, anchor));
    all.take(EXCLUDED_MAX).find(|start| !is_excluded(valid, *start))
}

fn is_excluded(valid: &ValidScheduler<'_>, start: Timestamp) -> bool {
    valid.exclusions.contains(&valid.schedule.date_at(start))
}

/// The times between a few occurrences that follow `after`. A schedule that fires each minute of an hour
/// has two such gaps in a row among any five.
pub fn gaps(valid: &ValidScheduler<'_>, after: Timestamp, anchor: Timestamp) -> Vec<Duration> {
    let next = |after: &Timestamp| valid.schedule.next_after(*after, anchor);
    let starts: Vec<Timestamp> = std::iter::successors(next(&after), next).take(6).collect();
    starts.iter().zip(starts.iter().skip(1)).map(|(one, two)| instant::elapsed(*one, *two)).collect()
}
