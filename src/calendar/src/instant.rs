//! Instants in specs, statuses and tags: RFC 3339 only.

use std::time::Duration;

use jiff::Timestamp;

/// Why a text is not an instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no RFC 3339 instant with an offset, such as 2027-03-01T08:00:00Z")]
pub struct NotAnInstant {
    /// The text, cut to 64 characters.
    pub text: String,
}

/// Parses an RFC 3339 instant as strictly as admission does: `T` and `Z` in upper case, an offset, seconds 00 to 59.
/// `jiff` alone would accept more (a time without seconds, a zone in brackets, second 60), which other readers of the
/// same tag would refuse.
///
/// # Errors
/// [`NotAnInstant`] for anything else, including the year 0000. `jiff` cannot represent the last day of 9999. It
/// becomes `jiff`'s last instant, because users write it to mean "forever".
pub fn parse(text: &str) -> Result<Timestamp, NotAnInstant> {
    let refuse = || NotAnInstant { text: text.chars().take(64).collect() };
    if !has_rfc3339_shape(text.as_bytes()) {
        return Err(refuse());
    }
    let instant: Timestamp = text.parse().or_else(|_| past_the_end(text).ok_or_else(refuse))?;
    if instant.as_second() < YEAR_ONE { Err(refuse()) } else { Ok(instant) }
}

/// 0001-01-01T00:00:00Z. With an offset, the first day of the year 1 can be an earlier instant. Such an instant could
/// not be read back from a status.
const YEAR_ONE: i64 = -62_135_596_800;

/// The last representable instant, if the text is an instant after it.
fn past_the_end(text: &str) -> Option<Timestamp> {
    let rest = text.strip_prefix("9999-12-3")?;
    // The same instant a year earlier shows whether the text is valid apart from its size.
    format!("9998-12-3{rest}").parse::<Timestamp>().ok().map(|_| Timestamp::MAX)
}

/// An instant as a status has it: whole seconds, rounded down.
pub fn seconds(instant: Timestamp) -> String {
    floor(instant).to_string()
}

/// An instant, rounded down to whole seconds.
pub fn floor(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// An instant, rounded up to whole seconds.
pub fn ceil(instant: Timestamp) -> Timestamp {
    let floor = floor(instant);
    if floor < instant { after(floor, Duration::from_secs(1)) } else { floor }
}

/// Checks `yyyy-mm-ddThh:mm:ss[.fraction](Z|±hh:mm)` by position. The parser checks the values, except the leap
/// second, which it would silently move.
fn has_rfc3339_shape(text: &[u8]) -> bool {
    let Some((fixed, rest)) = text.split_at_checked(19) else {
        return false;
    };
    fits(fixed, b"dddd-dd-ddTdd:dd:dd") && !fixed.ends_with(b"60") && has_offset_shape(rest)
}

fn has_offset_shape(rest: &[u8]) -> bool {
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        _ => rest,
    };
    offset == b"Z" || fits(offset, b"+dd:dd") || fits(offset, b"-dd:dd")
}

/// Whether `text` has the bytes of `shape`, in which `d` means any digit.
fn fits(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, want)| match want {
            b'd' => byte.is_ascii_digit(),
            _ => byte == want,
        })
}

/// `later` after `start`. If that overflows, the last representable instant.
pub fn after(start: Timestamp, later: Duration) -> Timestamp {
    start.checked_add(later).unwrap_or(Timestamp::MAX)
}

/// The time from `earlier` to `later`. Zero if `later` is not later.
pub fn elapsed(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_with_offset_is_an_instant() {
        for text in [
            "2023-01-10T22:35:00Z",
            "2023-01-10T22:35:00.5Z",
            "2023-01-10T22:35:00.123456789+05:30",
            "2024-02-29T00:00:00-23:59",
            "9999-12-30T22:00:00Z",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_last_day_of_9999_is_the_end_of_time() {
        for text in ["9999-12-30T23:59:59Z", "9999-12-31T23:59:59.5Z", "9999-12-31T00:00:00-05:00"] {
            assert_eq!(parse(text), Ok(Timestamp::MAX), "{text}");
        }
        assert_eq!(parse(&Timestamp::MAX.to_string()), Ok(Timestamp::MAX));
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "tomorrow",
            "2023-01-10",
            "2023-01-10T22:35Z",
            "2023-01-10T22:35:00",
            "2023-01-10 22:35:00Z",
            "2023-01-10t22:35:00z",
            "2023-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-10T24:00:00Z",
            "2023-01-10T22:35:60Z",
            "0000-01-10T22:35:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T24:00:00Z",
            "9999-12-32T00:00:00Z",
            "2023-01-10T22:35:00.Z",
            "2023-01-10T22:35:00.1234567890Z",
            "2023-01-10T22:35:00+0530",
            "2023-01-10T22:35:00+05:30[Europe/Berlin]",
            "+002023-01-10T22:35:00Z",
            "２023-01-10T22:35:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_of_an_instant_is_that_instant() {
        for text in [
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00-23:59",
            "9999-12-31T23:59:59Z",
            "2027-03-01T08:00:00.5+02:00",
        ] {
            let instant = parse(text).unwrap();
            assert_eq!(parse(&instant.to_string()), Ok(instant), "{text}");
        }
    }

    #[test]
    fn the_error_quotes_what_was_found_and_stays_short() {
        let error = parse(&"x".repeat(5000)).unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn time_past_the_end_of_time_is_the_end_of_time() {
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, Duration::from_secs(1)).as_second(), 1);
    }

    #[test]
    fn elapsed_time_is_never_negative() {
        let later = after(Timestamp::UNIX_EPOCH, Duration::from_secs(3));
        assert_eq!(elapsed(Timestamp::UNIX_EPOCH, later), Duration::from_secs(3));
        assert_eq!(elapsed(later, Timestamp::UNIX_EPOCH), Duration::ZERO);
    }
}
