//! Wall-clock time. Nothing else in this crate asks for it; timers and time-outs run on the monotonic
//! clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Wall-clock time, and the way from an instant on it to a timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    pub fn now(self) -> Timestamp {
        Timestamp::now()
    }

    /// The monotonic instant at which a wall-clock instant is due. Timers fire on the monotonic clock;
    /// a pass that finds itself early goes back to sleep for the rest.
    pub fn timer(self, due: Timestamp) -> Instant {
        let wait = Duration::try_from(due.duration_since(self.now())).unwrap_or(Duration::ZERO);
        let now = Instant::now();
        // Further away than a timer can hold is as good as never: the group is looked at before.
        now.checked_add(wait).unwrap_or_else(|| now + Duration::from_hours(365 * 24))
    }
}
