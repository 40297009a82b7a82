//! The clocks of this process. Nothing else in this crate asks for the time that decisions go by.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::Stamp;

/// All three clocks now.
pub fn now() -> Stamp {
    // The monotonic one first: what happens between the readings may only make an owner give up early.
    let mono = reading(clock_gettime(ClockId::Monotonic));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { mono, boot: boot(mono), wall }
}

#[cfg(target_os = "linux")]
fn boot(_: Duration) -> Duration {
    reading(clock_gettime(ClockId::Boottime))
}

/// Elsewhere the wall clock alone notices that the machine slept.
#[cfg(not(target_os = "linux"))]
fn boot(mono: Duration) -> Duration {
    mono
}

fn reading(time: Timespec) -> Duration {
    // Neither is ever negative for these clocks.
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
        // The wall clock counts from 1970: it is past 2020.
        assert!(later.wall > Duration::from_hours(50 * 365 * 24));
    }
}
