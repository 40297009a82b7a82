//! Time as a process sees it, without asking for it.

use std::time::Duration;

/// Readings of a process's three clocks at one instant, each since an arbitrary point that stays the
/// same for the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The monotonic clock: stands still while the machine sleeps.
    pub mono: Duration,
    /// The boot-time clock: runs on while the machine sleeps.
    pub boot: Duration,
    /// The wall clock: may be set.
    pub wall: Duration,
}

impl Stamp {
    /// All three clocks at the same reading.
    pub fn all(reading: Duration) -> Self {
        Self { mono: reading, boot: reading, wall: reading }
    }

    /// How long ago `earlier` was by the monotonic clock. For whoever waits for another's permit to run
    /// out: of the three it never runs ahead of time itself.
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// How long ago `earlier` may have been at most: the largest of the three. For whoever acts on a
    /// permit of its own. A wall clock that is set forward costs the permit until the next renewal;
    /// one that is set back changes nothing.
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
