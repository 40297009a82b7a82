//! Decides which window each Booking of a Resource is granted.
//!
//! When a Booking is first seen, its window is granted if it overlaps no other user's granted window. The grant is
//! recorded in the Booking's status, and only the Booking itself can take it away. A Booking without a grant waits.
//! When room appears, waiting Bookings are granted in order of creation. Windows of one user may overlap and join.

use jiff::Timestamp;

use crate::decide::{
    groups::booking::ValidBooking,
    injected_bugs::{Bug, is_injected},
};
use booking_calendar::window::Window;

/// What one Booking was granted, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The window granted, if any.
    pub window: Option<Window>,
    /// Set while a part of the Booking's window that is not over is not granted.
    pub waiting: Option<Waiting>,
}

/// For which user a Booking waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The user whose window is in the way.
    pub user: String,
    /// When that window ends.
    pub until: Timestamp,
    /// The place among the Bookings that wait, from 1.
    pub place: usize,
}

/// Grants for all unfinished Bookings of a Resource, in the order given. `first` is the uid of the Booking that goes
/// before all others (the holder at a take-over). The others go by creation, then by uid.
pub fn grant(bookings: &[ValidBooking], first: Option<&str>, now: Timestamp) -> Vec<Grant> {
    let mut order: Vec<usize> = (0..bookings.len()).collect();
    order.sort_by_key(|&i| {
        bookings.get(i).map(|b| (first != Some(b.uid.as_str()), b.created, b.uid.as_str()))
    });
    let kept = |b: &ValidBooking| b.granted.filter(|_| !is_injected(Bug::GrantTakenAway));
    let mut granted: Vec<Option<Window>> = bookings.iter().map(kept).collect();
    for &i in &order {
        if let Some(booking) = bookings.get(i).filter(|booking| kept(booking) != Some(booking.window)) {
            let others = others(bookings, &granted, booking, now);
            if let Some(slot) = granted.get_mut(i) {
                *slot = enlarge(booking, *slot, &others, now);
            }
        }
    }
    let mut place = 0;
    let mut grants: Vec<Grant> = granted.iter().map(|&window| Grant { window, waiting: None }).collect();
    for &i in &order {
        if let (Some(booking), Some(grant)) = (bookings.get(i), grants.get_mut(i)) {
            let Some(rest) = ungranted(booking, grant.window, now) else {
                continue;
            };
            let others = others(bookings, &granted, booking, now);
            if let Some((user, until)) = in_the_way(rest, &others) {
                place += 1;
                grant.waiting = Some(Waiting { user: user.to_owned(), until, place });
            }
        }
    }
    grants
}

/// Other users' granted windows that are not over.
fn others<'a>(
    bookings: &'a [ValidBooking],
    granted: &[Option<Window>],
    booking: &ValidBooking,
    now: Timestamp,
) -> Vec<(&'a str, Window)> {
    bookings
        .iter()
        .zip(granted)
        .filter(|(other, _)| other.user != booking.user)
        .filter_map(|(other, window)| Some((other.user.as_str(), (*window)?)))
        .filter(|(_, window)| window.until > now)
        .collect()
}

/// The largest window that may be granted now. It contains at least what was granted before.
fn enlarge(
    booking: &ValidBooking,
    granted: Option<Window>,
    others: &[(&str, Window)],
    now: Timestamp,
) -> Option<Window> {
    let asked = booking.window;
    let free = |window: &Window| others.iter().all(|(_, other)| !other.overlaps(*window));
    if let Some(granted) = granted.filter(|granted| granted.until > now) {
        return Some(extend(granted, asked, others));
    }
    let rest = Window::new(asked.from.max(now), asked.until)?;
    let until_next = || {
        let next = others.iter().map(|(_, other)| other.from).filter(|&from| from > now).min();
        Window::new(rest.from, next.map_or(rest.until, |next| next.min(rest.until)))
    };
    Some(asked)
        .filter(free)
        .or(Some(rest).filter(free))
        .or_else(|| until_next().filter(|window| asked.from <= now && free(window)))
        .or(granted)
}

/// Grows a granted window towards the window that the Booking asks for, up to the neighbours' windows.
fn extend(granted: Window, asked: Window, others: &[(&str, Window)]) -> Window {
    let before = others.iter().map(|(_, other)| other.until).filter(|&until| until <= granted.from);
    let behind = others.iter().map(|(_, other)| other.from).filter(|&from| from >= granted.until);
    // If another window already overlaps the granted one, the window does not grow. Only hand-edited statuses can
    // cause that.
    if others.iter().any(|(_, other)| other.overlaps(granted)) {
        return granted;
    }
    Window {
        from: before.max().map_or(asked.from, |floor| asked.from.max(floor)),
        until: behind.min().map_or(asked.until, |ceiling| asked.until.min(ceiling)),
    }
}

/// The part of the Booking's window from now on, unless all of it is granted.
fn ungranted(booking: &ValidBooking, granted: Option<Window>, now: Timestamp) -> Option<Window> {
    let rest = Window::new(booking.window.from.max(now), booking.window.until)?;
    (!granted.is_some_and(|g| g.from <= rest.from && rest.until <= g.until)).then_some(rest)
}

/// The first window of another user that prevents a grant of `rest`.
fn in_the_way<'a>(rest: Window, others: &[(&'a str, Window)]) -> Option<(&'a str, Timestamp)> {
    others
        .iter()
        .filter(|(_, other)| other.overlaps(rest))
        .min_by_key(|(_, other)| other.from)
        .map(|(user, other)| (*user, other.until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: i64, until: i64) -> Window {
        Window::new(Timestamp::from_second(from).unwrap(), Timestamp::from_second(until).unwrap()).unwrap()
    }

    #[test]
    fn a_window_has_its_start_but_not_its_end() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(window(1, 3).contains(at(1)) && window(1, 3).contains(at(2)));
        assert!(!window(1, 3).contains(at(0)) && !window(1, 3).contains(at(3)));
        assert_eq!((Window::new(at(1), at(1)), Window::new(at(2), at(1))), (None, None));
    }

    #[test]
    fn windows_that_only_touch_share_nothing() {
        let table = [
            (window(1, 3), window(3, 5), None),
            (window(1, 3), window(2, 5), Some(window(2, 3))),
            (window(1, 9), window(2, 5), Some(window(2, 5))),
            (window(1, 3), window(7, 9), None),
        ];
        for (one, other, shared) in table {
            assert_eq!((one.intersection(other), other.intersection(one)), (shared, shared));
            assert_eq!((one.overlaps(other), other.overlaps(one)), (shared.is_some(), shared.is_some()));
        }
    }
}
