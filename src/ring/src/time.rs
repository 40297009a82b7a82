//! Readings of a process's clocks. This module itself reads no clock.

use std::time::Duration;

/// Readings of a process's three clocks at one instant. Each counts from an arbitrary point, which stays the same for
/// the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The monotonic clock. It stands still while the machine sleeps.
    pub mono: Duration,
    /// The boot-time clock. It runs on while the machine sleeps.
    pub boot: Duration,
    /// The wall clock. It may be set.
    pub wall: Duration,
}

impl Stamp {
    /// A stamp in which all three clocks have the same reading.
    pub fn all(reading: Duration) -> Self {
        Self { mono: reading, boot: reading, wall: reading }
    }

    /// How long ago `earlier` was, by the monotonic clock. A process uses this to wait until another's permit has run
    /// out, because of the three clocks this one never runs ahead of real time.
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// How long ago `earlier` may have been at most: the largest of the three readings. A process uses this for its own
    /// permit. If the wall clock is set forward, the permit is lost until the next renewal. If it is set back, nothing
    /// changes.
    pub fn longest_since(self, earlier: Self) -> Duration {
        self.since(earlier)
            .max(self.boot.saturating_sub(earlier.boot))
            .max(self.wall.saturating_sub(earlier.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_owner_takes_the_clock_that_ran_most_and_a_sealer_the_monotonic_one() {
        let sent = Stamp::all(10 * SECOND);
        for (name, now, owner, sealer) in [
            ("all alike", Stamp::all(12 * SECOND), 2, 2),
            ("slept", Stamp { boot: 72 * SECOND, ..Stamp::all(12 * SECOND) }, 62, 2),
            ("set forward", Stamp { wall: 3612 * SECOND, ..Stamp::all(12 * SECOND) }, 3602, 2),
            ("set back", Stamp { wall: SECOND, ..Stamp::all(12 * SECOND) }, 2, 2),
        ] {
            assert_eq!(now.longest_since(sent).as_secs(), owner, "{name}");
            assert_eq!(now.since(sent).as_secs(), sealer, "{name}");
        }
    }
}
