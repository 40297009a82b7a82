//! The text of a notice, with the values of the moment at which it is sent.

use std::time::Duration;

use jiff::Timestamp;

use super::{Happening, Notice};
use booking_calendar::instant::elapsed;

/// The text of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Some lines. The last one ends with a line break.
    pub body: String,
}

/// The text for a notice that is sent at `now`.
pub fn text(notice: &Notice, now: Timestamp) -> Text {
    let Notice { booking, resource, user, namespace, window, .. } = notice;
    let (from, until) = (clock(notice, window.from), clock(notice, window.until));
    let left = span(elapsed(now, window.until));
    let of = format!("Booking {booking} of {user} for {resource} (namespace {namespace})");
    let (subject, body) = match notice.id.happening {
        Happening::BeforeEnd => (
            format!("{resource}: the booking of {user} ends in {left}"),
            format!(
                "{of} ends in {left}:\n{until}.\n\nThen the machines are stopped, unless somebody else holds them or \
                 they are to be kept running. To keep them longer, set spec.end_at of the Booking to a later time."
            ),
        ),
        Happening::Start => (
            format!("{resource}: the booking of {user} has started"),
            format!("{of} holds its machines since\n{from}, until\n{until}."),
        ),
        Happening::Ready => (
            format!("{resource}: all machines run for {user}"),
            format!("{of}: all machines run and are locked, until\n{until}."),
        ),
        Happening::Failure => (
            format!("{resource}: the booking of {user} cannot be served"),
            format!("{of} began at\n{from}, but: {}.", notice.ready),
        ),
    };
    Text { subject, body: format!("{body}\n") }
}

/// `Monday, 1 March 2027, 17:00 (Europe/Berlin)`.
fn clock(notice: &Notice, at: Timestamp) -> String {
    let local = at.to_zoned(notice.zone.clone());
    let zone = match notice.zone.iana_name() {
        Some(name) => name.to_owned(),
        None => local.strftime("UTC%:z").to_string(),
    };
    let seconds = if local.second() == 0 { "" } else { ":%S" };
    local.strftime(&format!("%A, %-d %B %Y, %H:%M{seconds}")).to_string() + &format!(" ({zone})")
}

/// `2 hours and 5 minutes`, rounded up to whole minutes.
fn span(left: Duration) -> String {
    let minutes = left.as_secs().div_ceil(60);
    let of = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (minutes / 60, minutes % 60) {
        (0, minutes) => of(minutes, "minute"),
        (hours, 0) => of(hours, "hour"),
        (hours, minutes) => format!("{} and {}", of(hours, "hour"), of(minutes, "minute")),
    }
}
