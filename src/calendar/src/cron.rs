//! Cron schedules. The parser accepts everything that robfig/cron v3 `ParseStandard` accepts, because existing
//! schedules were written for it.
//!
//! A schedule has five fields (minute, hour, day of month, month, day of week; `?` is `*`, names in upper or lower
//! case), or it is a descriptor (`@daily` …, `@every 1h30m`). A zone may come first (`CRON_TZ=Europe/Berlin`). The
//! fields are rewritten for [`cronexpr`], which finds the civil times. This module decides what happens to a civil
//! time when the clocks change, as robfig does and therefore Kubernetes does for its jobs: a civil time that does not
//! exist is left out, and one that exists twice counts twice.

use std::collections::BTreeSet;

use crate::{instant, zone};
use jiff::{
    SignedDuration, Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

/// No zone's clocks have ever been put back by more than this at once.
const PUT_BACK_MAX: SignedDuration = SignedDuration::from_hours(3);
/// A schedule that does not fire within this time never will. robfig looks ahead as far.
const HORIZON: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// The shortest time between two occurrences.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);

/// 9990-01-01T00:00:00Z. The library looks some years ahead, and the last year that it can represent is 9999.
const LAST: i64 = 253_086_681_600;

/// A schedule, and the zone in which its times are meant.
#[derive(Clone, Debug)]
pub struct Schedule {
    fires: Fires,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Fires {
    /// At civil times.
    At(Box<cronexpr::Crontab>),
    /// At a fixed interval of at least a minute: a Booking lasts at least that long, and the predecessor looked at
    /// schedules once a minute.
    Every(SignedDuration),
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// An unknown zone.
    #[error("time zone {0:?} is not in the IANA database; such as Europe/Berlin is")]
    Zone(String),
    /// Two zones, of which only one is allowed.
    #[error("the schedule names a time zone, and so does time_zone; one of them may")]
    TwoZones,
    /// A wrong number of fields.
    #[error("{0} fields instead of five: minute hour day-of-month month day-of-week")]
    Fields(usize),
    /// An invalid field.
    #[error("{field} {text:?} is none: numbers {least} to {most}, lists, ranges and steps are{names}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The field's text, cut to 64 characters.
        text: String,
        /// The smallest allowed number.
        least: u8,
        /// The largest allowed number.
        most: u8,
        /// What is allowed in addition to numbers.
        names: &'static str,
    },
    /// An unknown word that begins with @.
    #[error("{0:?} is not known; @yearly, @monthly, @weekly, @daily, @hourly and @every 1h30m are")]
    Descriptor(String),
    /// A text that is not a duration, or a duration below a second.
    #[error("@every {0:?} is no duration of a second or more, such as 1h30m")]
    Every(String),
    /// An empty text.
    #[error("the schedule is empty")]
    Empty,
}

/// What a field of a schedule may contain.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// Names of `least`, `least + 1`, …
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    // 7 means Sunday too, in every cron except robfig, which refuses it.
    Field { name: "day of week", least: 0, most: 7, names: &DAYS },
];

impl Schedule {
    /// Reads a schedule. `zone` is the zone in the spec's own field, if any. Without any zone the schedule is in UTC.
    ///
    /// # Errors
    /// [`ScheduleError`], which says what is allowed.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let (own_zone, text) = split_zone(text);
        let zone = match (own_zone, zone.filter(|zone| !zone.is_empty())) {
            (Some(_), Some(_)) => return Err(ScheduleError::TwoZones),
            (own, other) => time_zone(own.or(other).unwrap_or("UTC"))?,
        };
        if text.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if let Some(descriptor) = text.strip_prefix('@') {
            return Ok(Self { fires: described(descriptor)?, zone });
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(ScheduleError::Fields(fields.len()));
        }
        let fields: Vec<String> =
            FIELDS.iter().zip(fields).map(|(field, text)| field.rewritten(text)).collect::<Result<_, _>>()?;
        Ok(Self { fires: Fires::at(&fields.join(" ")), zone })
    }

    /// The first occurrence after an instant, if there is one. `anchor` is an occurrence of an `@every`.
    pub fn next_after(&self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match &self.fires {
            Fires::Every(each) => next_multiple(anchor, *each, after),
            Fires::At(crontab) => next_civil(crontab, &self.zone, after),
        }
    }

    /// The instant from which to go on if all occurrences up to `until` are passed over. This is `until` itself. For
    /// an `@every` it is the last multiple before `until`, which becomes the new anchor.
    pub fn passed_over(&self, until: Timestamp, anchor: Timestamp) -> Timestamp {
        let Fires::Every(each) = self.fires else {
            return until;
        };
        let next = next_multiple(anchor, each, until);
        next.and_then(|next| next.checked_sub(each).ok()).unwrap_or(anchor)
    }

    /// The IANA name of its zone. None for UTC.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.iana_name().filter(|name| *name != "UTC")
    }

    /// The date in the schedule's zone at an instant.
    pub fn date_at(&self, instant: Timestamp) -> Date {
        self.zone.to_datetime(instant).date()
    }
}

impl Fires {
    /// Builds it from fields that are known to be valid.
    fn at(fields: &str) -> Self {
        match cronexpr::parse_crontab(&format!("{fields} UTC")) {
            Ok(crontab) => Self::At(Box::new(crontab)),
            // This cannot happen, because the fields are numbers within their bounds. If it does, the schedule never
            // fires, and that is reported.
            Err(_) => Self::Every(SignedDuration::MAX),
        }
    }
}

fn split_zone(text: &str) -> (Option<&str>, &str) {
    let rest = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
    match rest.map(|rest| rest.split_once(char::is_whitespace).unwrap_or((rest, ""))) {
        Some((zone, rest)) => (Some(zone), rest.trim()),
        None => (None, text),
    }
}

/// Go's `Local` is the zone of its container, which is UTC.
fn time_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    if name.is_empty() || name == "UTC" || name == "Local" {
        return Ok(TimeZone::UTC);
    }
    zone::time_zone(name).ok_or_else(|| ScheduleError::Zone(name.chars().take(64).collect()))
}

fn described(descriptor: &str) -> Result<Fires, ScheduleError> {
    let fields = match descriptor {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        other => {
            let Some(duration) = other.strip_prefix("every ") else {
                let text = format!("@{}", other.chars().take(64).collect::<String>());
                return Err(ScheduleError::Descriptor(text));
            };
            return go_duration(duration.trim())
                .map(|each| Fires::Every(each.max(SHORTEST)))
                .ok_or_else(|| ScheduleError::Every(duration.chars().take(64).collect()));
        }
    };
    Ok(Fires::at(fields))
}

/// A duration as Go writes it, such as `1h30m` or `1.5h`, rounded down to whole seconds, but at least one second.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut seconds = 0.0_f64;
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    // This is the only number without a unit that Go accepts.
    if rest == "0" {
        rest = "0s";
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let each = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * each;
        rest = tail;
    }
    // robfig treats a shorter or negative duration as one second.
    let signed = if is_negative { -seconds } else { seconds };
    SignedDuration::try_from_secs_f64(signed.floor()).ok().map(|each| each.max(SignedDuration::from_secs(1)))
}

impl Field {
    /// The field as a list of numbers, or a star. robfig and cronexpr differ in `?`, in steps of a star (robfig
    /// treats them as an ordinary list) and in steps that are larger than the field.
    fn rewritten(&self, text: &str) -> Result<String, ScheduleError> {
        let wrong = || ScheduleError::Field {
            field: self.name,
            text: text.chars().take(64).collect(),
            least: self.least,
            most: self.most,
            names: if self.names.is_empty() { "" } else { ", and English names of three letters" },
        };
        let mut numbers = BTreeSet::new();
        // robfig ignores extra commas.
        for item in text.split(',').filter(|item| !item.is_empty()) {
            match self.item(item).ok_or_else(wrong)? {
                Item::All => return Ok("*".to_owned()),
                Item::Some(some) => numbers.extend(some),
            }
        }
        if numbers.is_empty() {
            return Err(wrong());
        }
        let numbers: BTreeSet<u8> =
            numbers.into_iter().map(|number| if self.most == 7 { number % 7 } else { number }).collect();
        Ok(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    fn item(&self, item: &str) -> Option<Item> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        // robfig ignores the rest of a range that begins with a star.
        let is_star = range.split('-').next().is_some_and(|from| from == "*" || from == "?");
        if is_star && step.unwrap_or(1) == 1 {
            return Some(Item::All);
        }
        // If a range has no explicit end, it does not count Sunday a second time as day 7.
        let end = if self.most == 7 { 6 } else { self.most };
        let (from, to) = match range.split_once('-') {
            _ if is_star => (self.least, end),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => {
                let from = self.number(range)?;
                // "N/step" starts at N.
                (from, if step.is_some() { end.max(from) } else { from })
            }
        };
        (from <= to).then(|| Item::Some((from..=to).step_by(step.unwrap_or(1)).collect()))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = || {
            let index = self.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
            u8::try_from(index).ok().map(|index| index + self.least)
        };
        // Go accepts a plus sign, and so does Rust. A minus sign separates the ends of a range.
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_number { digits.parse().ok() } else { named() };
        number.filter(|number| (self.least..=self.most).contains(number))
    }
}

enum Item {
    All,
    Some(Vec<u8>),
}

/// The first of …, `anchor - each`, `anchor`, `anchor + each`, … after an instant. The anchor is a whole second.
fn next_multiple(anchor: Timestamp, each: SignedDuration, after: Timestamp) -> Option<Timestamp> {
    let each = each.as_secs().max(1);
    // Rounded down to the second: an instant with a fraction after a multiple is after it.
    let passed = instant::floor(after).duration_since(anchor).as_secs().div_euclid(each);
    let wait = each.checked_mul(passed.checked_add(1)?)?;
    anchor.checked_add(SignedDuration::from_secs(wait)).ok()
}

fn next_civil(crontab: &cronexpr::Crontab, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    if after.as_second() > LAST {
        return None;
    }
    // Civil times are treated as if they were in UTC, so that the library sees no changes of clocks.
    let as_utc = |instant: Timestamp| zone.to_datetime(instant).to_zoned(TimeZone::UTC).ok();
    let slack = if is_steady(zone, after) { SignedDuration::ZERO } else { PUT_BACK_MAX };
    let begin = as_utc(after)?.timestamp().checked_sub(slack).ok()?;
    let limit = begin.checked_add(HORIZON).ok()?;
    let mut best: Option<Timestamp> = None;
    let mut civil = begin;
    loop {
        let Ok(next) = crontab.find_next(civil) else { return best };
        civil = next.timestamp();
        // If clocks are put back, a later civil time may be an earlier instant.
        let over = best.and_then(as_utc).and_then(|best| best.timestamp().checked_add(slack).ok());
        if over.is_some_and(|over| civil > over) {
            return best;
        }
        if civil > limit {
            return best;
        }
        let instants = instants(zone, civil);
        best = instants.into_iter().flatten().filter(|instant| *instant > after).chain(best).min();
    }
}

/// Whether a zone's clocks do not change around an instant.
fn is_steady(zone: &TimeZone, instant: Timestamp) -> bool {
    let around = [instant.checked_sub(PUT_BACK_MAX), instant.checked_add(PUT_BACK_MAX)];
    matches!(around, [Ok(before), Ok(after)] if zone.to_offset(before) == zone.to_offset(after))
}

/// The instants at which a zone's clocks show a civil time (given as if it were in UTC). There is none if the clocks
/// are put forward over it, and there are two if they are put back over it.
fn instants(zone: &TimeZone, civil: Timestamp) -> [Option<Timestamp>; 2] {
    let civil = TimeZone::UTC.to_datetime(civil);
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok();
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
        AmbiguousOffset::Gap { .. } => [None, None],
        AmbiguousOffset::Fold { before, after } => [at(before), at(after)],
    }
}

#[cfg(test)]
mod tests;
