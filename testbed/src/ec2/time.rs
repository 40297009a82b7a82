//! The simulator's time: a value that every decision takes as an argument, and the one clock that produces it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment in the simulator's time, in microseconds since the Unix epoch. JSON uses the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(i64);

impl SimTime {
    /// The moment this number of microseconds after the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// The present reading of the machine's wall clock.
    pub fn wall_clock() -> Self {
        Self(Timestamp::now().as_microsecond())
    }

    /// This moment plus `span`. It saturates at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus `span`. It saturates at the beginning of time.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment in the format of EC2's times: ISO 8601, milliseconds, `Z`.
    pub(crate) fn iso8601(self) -> String {
        format!("{:.3}", self.timestamp())
    }

    /// The moment in the format of EC2's reasons of state transitions.
    pub(crate) fn gmt(self) -> String {
        self.timestamp().strftime("%Y-%m-%d %H:%M:%S GMT").to_string()
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }
}

impl From<Timestamp> for SimTime {
    fn from(at: Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

/// The source of the simulator's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockMode {
    /// Real time: the wall clock at the start, continued by the monotonic clock.
    #[default]
    Real,
    /// Time that stands still at `start` until it is advanced.
    Virtual {
        /// The first moment.
        start: SimTime,
    },
}

#[derive(Debug)]
pub(crate) enum Clock {
    Real { origin: SimTime, since: Instant },
    Virtual { now: SimTime },
}

impl Clock {
    pub(crate) fn new(mode: ClockMode) -> Self {
        match mode {
            ClockMode::Real => Self::Real { origin: SimTime::wall_clock(), since: Instant::now() },
            ClockMode::Virtual { start } => Self::Virtual { now: start },
        }
    }

    pub(crate) fn now(&self) -> SimTime {
        match self {
            // The monotonic clock continues it, because a step of the wall clock must not undo transitions.
            Self::Real { origin, since } => origin.after(since.elapsed()),
            Self::Virtual { now } => *now,
        }
    }

    /// Moves a virtual clock. `None` if the clock is real.
    pub(crate) fn advance(&mut self, span: Duration) -> Option<SimTime> {
        match self {
            Self::Real { .. } => None,
            Self::Virtual { now } => {
                *now = now.after(span);
                Some(*now)
            }
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_z() {
        let at = SimTime::from_unix_micros(1_767_225_600_007_999);
        assert_eq!(at.iso8601(), "2026-01-01T00:00:00.007Z");
        assert_eq!(at.gmt(), "2026-01-01 00:00:00 GMT");
    }
}
