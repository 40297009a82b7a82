//! What a stored Booking means, or what is wrong with it.

use booking_calendar::zone::time_zone;
use booking_decision::{
    InvalidSpec,
    meta::{self, created},
    text::{cut, plain_text, user_name},
};
use std::{borrow::Cow, time::Duration};

use crate::api::{
    Booking, BookingStatus, BookingTemplate, NOTIFICATION_EVENTS, NOTIFICATION_TYPES, Notification,
};
use jiff::Timestamp;

use booking_calendar::{instant, window::Window};

/// A Booking with a valid spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidBooking {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.user_id`.
    pub user: String,
    /// From `start_at` to `end_at`.
    pub window: Window,
    /// The window that was granted earlier on this Resource, cut to what the spec still asks for.
    pub granted: Option<Window>,
    /// When the Booking was created. It decides the order among Bookings that are seen together.
    pub created: Timestamp,
    /// When the Booking is deleted after it has finished.
    pub expires: Option<Timestamp>,
}

/// A Booking and what it means. A Booking is validated once per version, not once per decision.
#[derive(Clone, Debug)]
pub struct ReadBooking<'a> {
    /// As it is stored.
    pub booking: &'a Booking,
    /// What it means, or what is wrong with it.
    pub read: Cow<'a, Result<ValidBooking, InvalidSpec>>,
}

impl<'a> ReadBooking<'a> {
    /// Reads a Booking now.
    pub fn new(booking: &'a Booking) -> Self {
        Self { booking, read: Cow::Owned(validate(booking)) }
    }

    /// A Booking that was read before.
    pub fn known(booking: &'a Booking, read: &'a Result<ValidBooking, InvalidSpec>) -> Self {
        Self { booking, read: Cow::Borrowed(read) }
    }
}

/// Validates a Booking. It refuses what admission refuses too, because the Booking may have been stored before the
/// rules were.
///
/// # Errors
/// [`InvalidSpec`] names the first invalid field.
pub fn validate(booking: &Booking) -> Result<ValidBooking, InvalidSpec> {
    let spec = &booking.spec;
    let resource = plain_text("resource_name", spec.resource_name.as_deref(), 253)?;
    let user = user_name("user_id", spec.user_id.as_deref())?;
    let start = required_instant("start_at", spec.start_at.as_deref())?;
    let end = required_instant("end_at", spec.end_at.as_deref())?;
    let window = Window::new(start, end).ok_or_else(|| not_after(booking, end))?;
    check_notifications(spec.notifications.as_deref())?;
    check_zone(spec.time_zone.as_deref())?;
    Ok(ValidBooking {
        uid: meta::uid(&booking.metadata).to_owned(),
        name: booking.metadata.name.clone().unwrap_or_default(),
        user: user.to_owned(),
        window,
        granted: granted_earlier(booking, resource).and_then(|grant| grant.intersection(window)),
        created: created(booking.metadata.creation_timestamp.as_ref()),
        expires: ttl(spec.ttl_minutes_after_finished)?.map(|ttl| instant::after(end, ttl)),
    })
}

fn not_after(booking: &Booking, end: Timestamp) -> InvalidSpec {
    let of = |text: &Option<String>| cut(text.as_deref().unwrap_or_default());
    let (start, text) = (of(&booking.spec.start_at), of(&booking.spec.end_at));
    let last = if end == Timestamp::MAX { ", for time ends at 9999-12-30T22:00:00Z" } else { "" };
    InvalidSpec::new("end_at", format!("{text} is not after start_at {start}{last}"))
}

/// The longest time that a finished Booking is kept: 366 days, in minutes.
const TTL_MAX: i64 = 527_040;

fn ttl(minutes: Option<i64>) -> Result<Option<Duration>, InvalidSpec> {
    let Some(minutes) = minutes else {
        return Ok(None);
    };
    let allowed = u64::try_from(minutes).ok().filter(|_| minutes <= TTL_MAX);
    allowed.map(|minutes| Some(Duration::from_mins(minutes))).ok_or_else(|| {
        let problem = format!("{minutes} is not allowed; it is minutes, 0 to {TTL_MAX}");
        InvalidSpec::new("ttl_minutes_after_finished", problem)
    })
}

/// A grant is valid only on the Resource on which it was given. If a Booking names another Resource, it queues again.
fn granted_earlier(booking: &Booking, resource: &str) -> Option<Window> {
    let status = booking.status.as_ref()?;
    if status.granted_resource.as_deref() != Some(resource) {
        return None;
    }
    granted_window(status)
}

/// The granted window in a status.
pub(crate) fn granted_window(status: &BookingStatus) -> Option<Window> {
    let from = instant::parse(status.granted_from.as_deref()?).ok()?;
    let until = instant::parse(status.granted_until.as_deref()?).ok()?;
    Window::new(from, until)
}

/// Validates the template of a BookingScheduler.
///
/// # Errors
/// [`InvalidSpec`], as for a Booking.
pub(crate) fn validate_template(template: &BookingTemplate) -> Result<(), InvalidSpec> {
    plain_text("bookingTemplate.resource_name", template.resource_name.as_deref(), 253)?;
    user_name("bookingTemplate.user_id", template.user_id.as_deref())?;
    check_notifications(template.notifications.as_deref())
}

fn check_notifications(notifications: Option<&[Notification]>) -> Result<(), InvalidSpec> {
    for notification in notifications.unwrap_or_default() {
        let type_ = notification.type_.as_deref().unwrap_or_default();
        if !NOTIFICATION_TYPES.contains(&type_) {
            return Err(InvalidSpec::new(
                "notifications.type",
                format!("{:?} is unknown; known: {}", cut(type_), NOTIFICATION_TYPES.join(", ")),
            ));
        }
        plain_text("notifications.recipient", notification.recipient.as_deref(), 512)?;
        let unknown = |word: &&String| !NOTIFICATION_EVENTS.contains(&word.as_str());
        if let Some(word) = notification.on.iter().flatten().find(unknown) {
            let problem = format!("{:?} is unknown; known: {}", cut(word), NOTIFICATION_EVENTS.join(", "));
            return Err(InvalidSpec::new("notifications.on", problem));
        }
        if let Some(minutes) = notification.notify_before_minutes.filter(|it| !(1..=BEFORE_MAX).contains(it))
        {
            let problem = format!("{minutes} is not allowed; it is minutes, 1 to {BEFORE_MAX}");
            return Err(InvalidSpec::new("notifications.notify_before_minutes", problem));
        }
    }
    Ok(())
}

/// The longest time before the end: a week, in minutes.
const BEFORE_MAX: i64 = 10_080;

fn check_zone(name: Option<&str>) -> Result<(), InvalidSpec> {
    match name.map(|name| (name, time_zone(name))) {
        Some((name, None)) => {
            let problem = format!("{:?} is unknown; write an IANA name such as Europe/Berlin", cut(name));
            Err(InvalidSpec::new("time_zone", problem))
        }
        _ => Ok(()),
    }
}

fn required_instant(field: &'static str, text: Option<&str>) -> Result<Timestamp, InvalidSpec> {
    let text = text.ok_or_else(|| InvalidSpec::new(field, "is missing"))?;
    instant::parse(text).map_err(|error| InvalidSpec::new(field, error.to_string()))
}
