//! The clocks of a process, computed from true time.

use std::time::Duration;

use booking_ring::time::Stamp;
use jiff::Timestamp;

use crate::{Micros, checker::later};

/// The true time at the beginning of each run, in seconds since 1970: 2027-03-01T08:00:00Z.
const BEGINNING: i64 = 1_803_888_000;

/// The true wall time at an instant of a run.
pub fn wall(at: Micros) -> Timestamp {
    later(Timestamp::from_second(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH), at)
}

/// The clocks of one machine. They have their own speed and stand still at times, and somebody may set the wall clock.
#[derive(Clone, Debug)]
pub struct Clocks {
    born: Micros,
    /// The readings when the machine booted.
    offset: Micros,
    /// How much faster than true time they run, in millionths.
    drift: i64,
    slept: Micros,
    asleep_since: Option<Micros>,
    /// How far the wall clock is ahead, in microseconds.
    pub skew: i64,
}

impl Clocks {
    /// The clocks of a machine that boots at `born`.
    pub fn new(born: Micros, offset: Micros, drift: i64, skew: i64) -> Self {
        Self { born, offset, drift, slept: 0, asleep_since: None, skew }
    }

    /// The machine falls asleep.
    pub fn sleep(&mut self, now: Micros) {
        self.asleep_since.get_or_insert(now);
    }

    /// The machine wakes.
    pub fn wake(&mut self, now: Micros) {
        if let Some(since) = self.asleep_since.take() {
            self.slept += now - since;
        }
    }

    fn asleep(&self, now: Micros) -> Micros {
        self.slept + self.asleep_since.map_or(0, |since| now - since)
    }

    /// The monotonic clock.
    pub fn mono(&self, now: Micros) -> Micros {
        self.offset + self.faster(now - self.born - self.asleep(now))
    }

    /// All three clocks.
    pub fn stamp(&self, now: Micros) -> Stamp {
        let mono = self.mono(now);
        Stamp {
            mono: Duration::from_micros(mono),
            boot: Duration::from_micros(mono + self.asleep(now)),
            wall: Duration::from_micros(u64::try_from(self.wall(now).as_microsecond()).unwrap_or_default()),
        }
    }

    /// The wall clock.
    pub fn wall(&self, now: Micros) -> Timestamp {
        let skew = jiff::SignedDuration::from_micros(self.skew);
        wall(now).saturating_add(skew).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The true time at which the monotonic clock shows a reading, if the machine does not sleep before.
    pub fn when(&self, mono: Micros, now: Micros) -> Micros {
        let ahead = mono.saturating_sub(self.mono(now));
        // The timer is never early, because an early timer would ring again.
        let slower = i128::from(ahead) * 1_000_000 / i128::from(1_000_000 + self.drift);
        now + u64::try_from(slower).unwrap_or(ahead) + u64::from(ahead > 0)
    }

    fn faster(&self, span: Micros) -> Micros {
        let reading = i128::from(span) * i128::from(1_000_000 + self.drift) / 1_000_000;
        u64::try_from(reading).unwrap_or(span)
    }
}

/// A span as the model counts it.
pub fn micros(span: Duration) -> Micros {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    #[test]
    fn a_timer_rings_when_its_clock_shows_the_reading_at_whatever_speed() {
        for drift in [-200, 0, 200] {
            let clocks = Clocks::new(7, 1_000, drift, 0);
            let due = clocks.mono(5 * SECOND) + 3 * SECOND;
            let rings = clocks.when(due, 5 * SECOND);
            assert!(clocks.mono(rings) >= due && clocks.mono(rings) < due + 5, "{drift}");
        }
    }

    #[test]
    fn the_monotonic_clock_stands_still_while_the_machine_sleeps() {
        let mut clocks = Clocks::new(0, 0, 0, 3_600_000_000);
        clocks.sleep(10 * SECOND);
        let asleep = clocks.stamp(15 * SECOND);
        clocks.wake(20 * SECOND);
        let awake = clocks.stamp(25 * SECOND);
        assert_eq!((asleep.mono.as_secs(), asleep.boot.as_secs()), (10, 15));
        assert_eq!((awake.mono.as_secs(), awake.boot.as_secs()), (15, 25));
        assert_eq!(awake.wall.as_secs(), 1_803_888_000 + 3600 + 25);
    }
}
