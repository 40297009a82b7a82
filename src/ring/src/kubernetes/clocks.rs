//! The clocks of this process. No other code in this crate reads the time for decisions.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::Stamp;

/// The readings of all three clocks now.
pub fn now() -> Stamp {
    // The monotonic clock is read first. So if the process is halted between the readings, an owner only gives up
    // earlier.
    let mono = reading(clock_gettime(ClockId::Monotonic));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { mono, boot: boot(mono), wall }
}

#[cfg(target_os = "linux")]
fn boot(_: Duration) -> Duration {
    reading(clock_gettime(ClockId::Boottime))
}

/// On other systems, only the wall clock notices that the machine slept.
#[cfg(not(target_os = "linux"))]
fn boot(mono: Duration) -> Duration {
    mono
}

fn reading(time: Timespec) -> Duration {
    // These clocks never return negative values.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_clocks_run_forward() {
        let earlier = now();
        let later = now();
        assert!(later.mono >= earlier.mono && later.boot >= earlier.boot);
        assert!(!later.mono.is_zero() && later.boot >= later.mono);
        // The wall clock counts from 1970, and the year is after 2020.
        assert!(later.wall > Duration::from_hours(50 * 365 * 24));
    }
}
