//! Reads Bookings. It does not use the code under test, except for its parser of instants.

use booking_calendar::{instant, window::Window};
use bookings::api::{Booking, booking_state};
use jiff::{SignedDuration, Timestamp};

use crate::Micros;

/// Whether a Booking has its group at an instant, and has had it for at least `since` and will have it for `still`.
pub fn in_use(booking: &Booking, now: Timestamp, since: Micros, still: Micros) -> bool {
    let window =
        granted(booking).zip(asked(booking)).and_then(|(granted, asked)| granted.intersection(asked));
    window.is_some_and(|window| window.from <= earlier(now, since) && later(now, still) < window.until)
}

/// The window in a Booking's status, if it was granted on the Resource that the Booking names.
pub fn granted(booking: &Booking) -> Option<Window> {
    let status = booking.status.as_ref()?;
    if status.granted_resource != booking.spec.resource_name {
        return None;
    }
    window(status.granted_from.as_deref(), status.granted_until.as_deref())
}

/// The window that a Booking asks for.
pub fn asked(booking: &Booking) -> Option<Window> {
    window(booking.spec.start_at.as_deref(), booking.spec.end_at.as_deref())
}

fn window(from: Option<&str>, until: Option<&str>) -> Option<Window> {
    Window::new(instant::parse(from?).ok()?, instant::parse(until?).ok()?)
}

/// The generation of the spec that a status was made from.
pub fn seen_spec(booking: &Booking) -> Option<i64> {
    booking.status.as_ref().and_then(|status| status.observed_generation)
}

/// The position of a Booking's state in its life.
pub(super) fn rank(booking: &Booking) -> u8 {
    match booking.status.as_ref().and_then(|status| status.status.as_deref()) {
        Some(booking_state::FINISHED) => 3,
        Some(booking_state::IN_PROGRESS) => 2,
        Some(booking_state::SCHEDULED) => 1,
        _ => 0,
    }
}

/// An instant this much later.
pub fn later(instant: Timestamp, by: Micros) -> Timestamp {
    instant.saturating_add(span(by)).unwrap_or(instant)
}

/// An instant this much earlier.
pub fn earlier(instant: Timestamp, by: Micros) -> Timestamp {
    instant.saturating_sub(span(by)).unwrap_or(instant)
}

fn span(micros: Micros) -> SignedDuration {
    SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
