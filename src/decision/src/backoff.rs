//! Waiting times that double.

use std::time::Duration;

/// Waiting times that double from `base` to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first time.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `count`-th time, from 1.
    pub fn wait(self, count: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(count.saturating_sub(1));
        self.base.saturating_mul(doubled).min(self.cap)
    }
}
