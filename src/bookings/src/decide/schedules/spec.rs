//! What a stored BookingScheduler means, or what is wrong with it.

use std::{collections::BTreeSet, time::Duration};

use crate::api::{BookingScheduler, BookingTemplate};
use jiff::civil::Date;

use crate::decide::groups::booking::validate_template;
use booking_calendar::cron::{Schedule, ScheduleError};
use booking_decision::{InvalidSpec, text::cut};

/// The longest Booking, and the longest deadline: 366 days, in minutes.
const MINUTES_MAX: i64 = 527_040;
/// The most exclusions.
const EXCLUSIONS_MAX: usize = 366;
/// How many finished Bookings are kept if the spec does not say: enough to look back on two weeks of working days.
const FINISHED_KEPT: usize = 10;
/// The most finished Bookings that may be kept.
const FINISHED_KEPT_MAX: i64 = 1000;

/// A BookingScheduler with a valid spec.
#[derive(Clone, Debug)]
pub struct ValidScheduler {
    /// When.
    pub schedule: Schedule,
    /// For how long.
    pub length: Duration,
    /// What.
    pub template: BookingTemplate,
    /// Whether nothing is booked.
    pub suspended: bool,
    /// How late an occurrence may be booked.
    pub deadline: Option<Duration>,
    /// Dates on which nothing is booked.
    pub exclusions: BTreeSet<Date>,
    /// How many finished Bookings are kept.
    pub finished_kept: usize,
}

/// Validates a BookingScheduler.
///
/// # Errors
/// [`InvalidSpec`] names the first invalid field.
pub fn validate(scheduler: &BookingScheduler) -> Result<ValidScheduler, InvalidSpec> {
    let spec = &scheduler.spec;
    let text = spec.schedule.as_deref().unwrap_or_default();
    let schedule = Schedule::parse(text, spec.time_zone.as_deref()).map_err(|error| {
        let of_zone = matches!(error, ScheduleError::Zone(_)) && spec.time_zone.is_some();
        InvalidSpec::new(if of_zone { "time_zone" } else { "schedule" }, error.to_string())
    })?;
    let length = spec.duration.ok_or_else(|| InvalidSpec::new("duration", "is missing"))?;
    let template =
        spec.booking_template.as_ref().ok_or_else(|| InvalidSpec::new("bookingTemplate", "is missing"))?;
    validate_template(template)?;
    Ok(ValidScheduler {
        schedule,
        length: minutes("duration", length)?,
        template: template.clone(),
        suspended: spec.suspend == Some(true),
        deadline: spec
            .starting_deadline_minutes
            .map(|deadline| minutes("starting_deadline_minutes", deadline))
            .transpose()?,
        exclusions: dates(spec.exclusions.as_deref().unwrap_or_default())?,
        finished_kept: finished_kept(spec.finished_bookings_limit)?,
    })
}

fn minutes(field: &'static str, minutes: i64) -> Result<Duration, InvalidSpec> {
    let allowed = u64::try_from(minutes).ok().filter(|_| (1..=MINUTES_MAX).contains(&minutes));
    allowed.map(Duration::from_mins).ok_or_else(|| {
        InvalidSpec::new(field, format!("{minutes} is not allowed; it is minutes, 1 to {MINUTES_MAX}"))
    })
}

fn dates(texts: &[String]) -> Result<BTreeSet<Date>, InvalidSpec> {
    const FIELD: &str = "exclusions";
    if texts.len() > EXCLUSIONS_MAX {
        return Err(InvalidSpec::new(FIELD, format!("{} dates; at most {EXCLUSIONS_MAX}", texts.len())));
    }
    texts.iter().map(|text| date(text).ok_or_else(|| no_date(text))).collect()
}

fn no_date(text: &str) -> InvalidSpec {
    InvalidSpec::new("exclusions", format!("{:?} is no date, such as 2027-12-25", cut(text)))
}

/// Accepts the same dates as admission. `jiff` alone would also accept a date with a time.
fn date(text: &str) -> Option<Date> {
    (text.len() == "2027-12-25".len()).then(|| text.parse().ok())?
}

fn finished_kept(limit: Option<i64>) -> Result<usize, InvalidSpec> {
    let Some(limit) = limit else {
        return Ok(FINISHED_KEPT);
    };
    usize::try_from(limit).ok().filter(|_| limit <= FINISHED_KEPT_MAX).ok_or_else(|| {
        let problem = format!("{limit} is not allowed; it is a number from 0 to {FINISHED_KEPT_MAX}");
        InvalidSpec::new("finished_bookings_limit", problem)
    })
}
