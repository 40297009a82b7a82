//! When a pass must be repeated: exactly when something is due. The only regular repetition in addition is the
//! observation of machines that change state.

use std::time::Duration;

use jiff::Timestamp;

/// The earliest of several future instants.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    now: Timestamp,
    earliest: Option<Timestamp>,
}

impl Wake {
    /// Starts at `now` without a wake-up.
    pub fn new(now: Timestamp) -> Self {
        Self { now, earliest: None }
    }

    /// Wakes at an instant. If it is not in the future, this pass has dealt with it.
    pub fn at(&mut self, instant: Timestamp) {
        if instant > self.now {
            self.earliest = Some(self.earliest.map_or(instant, |known| known.min(instant)));
        }
    }

    /// Wakes at an instant, if there is one.
    pub fn at_some(&mut self, instant: Option<Timestamp>) {
        if let Some(instant) = instant {
            self.at(instant);
        }
    }

    /// Wakes after a while.
    pub fn after(&mut self, later: Duration) {
        self.at(booking_calendar::instant::after(self.now, later));
    }

    /// The earliest of them.
    pub fn earliest(self) -> Option<Timestamp> {
        self.earliest
    }
}

/// How long to wait before machines that change state are observed again: a quarter of the time since the last call.
/// A machine that takes a minute then costs about twelve observations instead of sixty.
pub fn poll_interval(since_last_call: Option<Duration>, shortest: Duration, longest: Duration) -> Duration {
    since_last_call.map_or(shortest, |elapsed| (elapsed / 4).clamp(shortest, longest.max(shortest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_future_instant_wins_and_the_past_is_ignored() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut wake = Wake::new(at(10));
        assert_eq!(wake.earliest(), None);
        wake.at(at(9));
        wake.at(at(10));
        assert_eq!(wake.earliest(), None);
        wake.at(at(30));
        wake.at_some(Some(at(20)));
        wake.at_some(None);
        wake.after(Duration::from_secs(15));
        assert_eq!(wake.earliest(), Some(at(20)));
    }

    #[test]
    fn looks_grow_rarer_the_longer_a_machine_takes() {
        let poll =
            |elapsed| poll_interval(elapsed, Duration::from_secs(1), Duration::from_secs(10)).as_secs();
        assert_eq!(poll(None), 1);
        assert_eq!(poll(Some(Duration::ZERO)), 1);
        assert_eq!(poll(Some(Duration::from_secs(20))), 5);
        assert_eq!(poll(Some(Duration::from_mins(10))), 10);
    }
}
