//! Which occurrences of a schedule are due, and which is the next.

use std::{collections::VecDeque, time::Duration};

use crate::api::BookingSchedulerStatus;
use jiff::Timestamp;

use super::spec::ValidScheduler;
use booking_calendar::{instant, window::Window};

/// How long before its start an occurrence is booked. Its machines should start on the second, and a slow API server
/// must not delay them.
pub const LEAD: Duration = Duration::from_mins(1);
/// The most missed occurrences that are booked later (the newest ones). Kubernetes has the same limit for a CronJob.
pub const CATCH_UP_MAX: usize = 100;
/// The most occurrences that one decision looks at. It books none before it has seen them all.
const STEPS_MAX: usize = 10_000;
/// The most excluded occurrences that are skipped to find the next one.
const EXCLUDED_MAX: usize = 10_000;
/// A `caught_up_to` further in the future than this was written by another program, or by a process with a wrong
/// clock.
const AHEAD_MAX: Duration = Duration::from_mins(6);
/// The same limit for `next`: a schedule that fires at all has an occurrence within five years.
const NEXT_MAX: Duration = Duration::from_hours(5 * 366 * 24);

/// The instant up to which a scheduler has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// All occurrences up to this instant are dealt with.
    pub to: Timestamp,
    /// An instant from which the multiples of an `@every` are counted: the whole second at `to` or directly after it.
    pub anchor: Timestamp,
}

/// The occurrences that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The windows to book, in order.
    pub to_book: VecDeque<Window>,
    /// After these are booked, all occurrences up to this instant are dealt with.
    pub caught_up_to: Timestamp,
    /// The next occurrence to look at, excluded or not.
    pub wake_for: Option<Timestamp>,
    /// The next occurrence that will be booked.
    pub next: Option<Timestamp>,
    /// Whether more occurrences are due already.
    pub more: bool,
}

impl CaughtUp {
    /// Reads the status. A status that the predecessor wrote has only `next`, which the predecessor was going to
    /// book. A new scheduler books from its creation on.
    pub fn of(status: Option<&BookingSchedulerStatus>, created: Timestamp, now: Timestamp) -> Self {
        let read = |text: Option<&String>| instant::parse(text?).ok();
        let own = status.and_then(|status| status.caught_up_to.as_ref());
        if own.is_some() {
            // If the value is invalid, everything would be booked again. If it is far ahead, nothing would be booked
            // for years.
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

    /// What may be recorded of it. None if it is far ahead, because the next pass would take it for another program's
    /// value.
    pub(super) fn recorded(self, now: Timestamp) -> Option<Timestamp> {
        Some(self.to).filter(|to| *to <= instant::after(now, AHEAD_MAX))
    }

    /// Caught up to an occurrence, or to the instant before one.
    pub(super) fn to(to: Timestamp) -> Self {
        Self { to, anchor: instant::ceil(to) }
    }
}

pub(super) fn just_before(instant: Timestamp) -> Timestamp {
    instant.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(instant)
}

/// The occurrences that are due at `now`.
pub fn due(valid: &ValidScheduler, caught_up: CaughtUp, now: Timestamp) -> Due {
    let horizon = instant::after(now, LEAD);
    let mut steps = 0;
    let mut due =
        Due { to_book: VecDeque::new(), caught_up_to: caught_up.to, wake_for: None, next: None, more: false };
    // Occurrences that are too late are skipped without looking at each.
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
        // The next decision goes on from here and finds the newest ones.
        due.caught_up_to = due.to_book.front().map_or(due.caught_up_to, |window| just_before(window.from));
        due.to_book.clear();
    }
    due.next = due.wake_for.and_then(|first| next_booked(valid, first, caught_up.anchor));
    due
}

/// The newest instant at which an occurrence would be over by now, or past its deadline.
fn too_late(valid: &ValidScheduler, now: Timestamp) -> Timestamp {
    let before = |duration: Duration| now.checked_sub(duration).unwrap_or(Timestamp::MIN);
    // An occurrence exactly at its deadline is not too late. An occurrence whose window has just ended is.
    let past_deadline = valid.deadline.map_or(Timestamp::MIN, |deadline| just_before(before(deadline)));
    before(valid.length).max(past_deadline)
}

/// The first occurrence from `first` on that is not excluded.
fn next_booked(valid: &ValidScheduler, first: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
    let all = std::iter::successors(Some(first), |last| valid.schedule.next_after(*last, anchor));
    all.take(EXCLUDED_MAX).find(|start| !is_excluded(valid, *start))
}

fn is_excluded(valid: &ValidScheduler, start: Timestamp) -> bool {
    valid.exclusions.contains(&valid.schedule.date_at(start))
}

/// The times between the next six occurrences after `after`. A schedule that fires each minute of one hour has two
/// such gaps in a row among any five.
pub fn gaps(valid: &ValidScheduler, after: Timestamp, anchor: Timestamp) -> Vec<Duration> {
    let next = |after: &Timestamp| valid.schedule.next_after(*after, anchor);
    let starts: Vec<Timestamp> = std::iter::successors(next(&after), next).take(6).collect();
    starts.iter().zip(starts.iter().skip(1)).map(|(one, two)| instant::elapsed(*one, *two)).collect()
}
