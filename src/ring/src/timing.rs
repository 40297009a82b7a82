//! Durations: the four that safety depends on, checked together, and those derived from them. Only calm and speed
//! depend on the derived ones.

use std::time::Duration;

/// Four durations that fit together.
///
/// `lease > permit + call + slack`. So if a process has seen a Lease unchanged for `lease`, the owner's last permit has
/// run out, and the last call made with it is over. The slack is a tenth of `lease`. It covers clocks that run at
/// different speeds (a hundred times the difference between crystals), and the time between a call's check and its
/// packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew: Duration,
    permit: Duration,
    call: Duration,
}

/// Why the durations do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// A sealer could act before the owner's last call is over.
    #[error(
        "lease duration {lease:?} is too short: permit duration {permit:?} and call time-out {call:?} together \
         may be at most nine tenths of it"
    )]
    Overlap {
        /// The lease duration that was given.
        lease: Duration,
        /// The permit duration that was given.
        permit: Duration,
        /// The call time-out that was given.
        call: Duration,
    },
    /// One lost renewal would cost the permit.
    #[error(
        "permit duration {permit:?} is too short: it must be longer than two renew intervals of {renew:?}"
    )]
    Hasty {
        /// The permit duration that was given.
        permit: Duration,
        /// The renew interval that was given.
        renew: Duration,
    },
    /// A duration is too short for any work.
    #[error("{0} is less than 10 ms")]
    TooShort(&'static str),
    /// The seconds in a Lease are an integer of 32 bits, and others wait this long for a lone replica that died.
    #[error("lease duration {0:?} is more than an hour")]
    TooLong(Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(3),
            permit: Duration::from_secs(8),
            call: Duration::from_secs(4),
        }
    }
}

impl Timing {
    /// Checks four durations together.
    ///
    /// # Errors
    /// [`TimingError`] names the values and what is allowed.
    pub fn new(
        lease: Duration,
        renew: Duration,
        permit: Duration,
        call: Duration,
    ) -> Result<Self, TimingError> {
        for (name, value) in [("renew interval", renew), ("permit duration", permit), ("call time-out", call)]
        {
            if value < Duration::from_millis(10) {
                return Err(TimingError::TooShort(name));
            }
        }
        if lease > Duration::from_hours(1) {
            return Err(TimingError::TooLong(lease));
        }
        if (permit + call) * 10 > lease * 9 {
            return Err(TimingError::Overlap { lease, permit, call });
        }
        if permit <= renew * 2 {
            return Err(TimingError::Hasty { permit, renew });
        }
        Ok(Self { lease, renew, permit, call })
    }

    /// L: if a Lease is unchanged for this long, it may be sealed.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// P: the time between two renewals.
    pub fn renew(&self) -> Duration {
        self.renew
    }

    /// D: how long after it sends a renewal a process may begin calls.
    pub fn permit(&self) -> Duration {
        self.permit
    }

    /// T: the longest time of a call, all its attempts together.
    pub fn call(&self) -> Duration {
        self.call
    }

    /// The time-out of one request to the API server.
    pub fn request(&self) -> Duration {
        self.renew * 2 / 3
    }

    /// The wait before a failed request is sent again.
    pub fn retry(&self) -> Duration {
        self.renew / 3
    }

    /// The shortest time between two renewals, even if there is much to report.
    pub fn renew_gap(&self) -> Duration {
        self.renew / 30
    }

    /// How long the leader waits after a join for others that join at the same time.
    pub fn settle(&self) -> Duration {
        self.renew
    }

    /// The longest such wait if more and more members join.
    pub fn settle_max(&self) -> Duration {
        self.renew * 5 / 3
    }

    /// How long members of two releases must stay unchanged before slots are balanced. Balancing during a rolling
    /// update would move slots to replicas that are about to leave.
    pub fn update_quiet(&self) -> Duration {
        self.renew * 10
    }

    /// How long a watch may show an older epoch than the leader's before the member reads the ring.
    pub fn behind(&self) -> Duration {
        self.renew * 2 / 3
    }

    /// How long the watch may not show a member's own renewal before the watch counts as stalled.
    pub fn echo(&self) -> Duration {
        self.renew
    }

    /// How long the watch may not show a leader's own renewals before the leader gives up the lead.
    pub fn echo_max(&self) -> Duration {
        self.renew * 3
    }

    /// If [`Self::LAPSES_MAX`] lapses happen in this time, the member hands over its slots.
    pub fn lapse_window(&self) -> Duration {
        self.renew * 100
    }

    /// The number of lapses in [`Self::lapse_window`] after which a member hands over its slots.
    pub const LAPSES_MAX: usize = 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(lease: u64, renew: u64, permit: u64, call: u64) -> Result<Timing, TimingError> {
        let ms = Duration::from_millis;
        Timing::new(ms(lease), ms(renew), ms(permit), ms(call))
    }

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(timing(15_000, 3_000, 8_000, 4_000), Ok(Timing::default()));
    }

    #[test]
    fn what_calm_and_speed_rest_on_follows_from_the_time_between_renewals() {
        let timing = Timing::default();
        for (name, derived, milliseconds) in [
            ("request", timing.request(), 2_000),
            ("retry", timing.retry(), 1_000),
            ("renew_gap", timing.renew_gap(), 100),
            ("settle", timing.settle(), 3_000),
            ("settle_max", timing.settle_max(), 5_000),
            ("update_quiet", timing.update_quiet(), 30_000),
            ("behind", timing.behind(), 2_000),
            ("echo", timing.echo(), 3_000),
            ("echo_max", timing.echo_max(), 9_000),
            ("lapse_window", timing.lapse_window(), 300_000),
        ] {
            assert_eq!(derived, Duration::from_millis(milliseconds), "{name}");
        }
    }

    #[test]
    fn durations_that_do_not_fit_are_refused_with_their_values() {
        for (given, names) in [
            ((13_000, 3_000, 8_000, 4_000), ["lease duration 13s", "nine tenths"]),
            ((15_000, 4_000, 8_000, 4_000), ["permit duration 8s", "renew intervals of 4s"]),
            ((15_000, 3_000, 8_000, 0), ["call time-out", "10 ms"]),
            ((3_600_001, 3_000, 8_000, 4_000), ["3600.001s", "an hour"]),
        ] {
            let text = timing(given.0, given.1, given.2, given.3).unwrap_err().to_string();
            for name in names {
                assert!(text.contains(name), "{text}");
            }
        }
        assert!(timing(1_500, 300, 800, 400).is_ok());
        assert!(timing(1_334, 300, 800, 400).is_ok());
        assert!(timing(1_333, 300, 800, 400).is_err());
    }
}
