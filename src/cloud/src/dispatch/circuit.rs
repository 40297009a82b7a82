//! If a cloud does not work, it is called seldom. Meanwhile callers get its last error at once, so that they delay no
//! callers of other clouds.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CloudError, ErrorClass};

/// This many failures in a row open the circuit, even if different calls failed.
const FAILURES: u32 = 5;
/// Failures within this short time do not open the circuit, however many there are.
const NO_BLIP: Duration = Duration::from_millis(500);
/// How long the circuit stays open. The time doubles with each try that fails.
const FIRST: Duration = Duration::from_secs(2);
/// The longest time for which the circuit stays open.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a circuit counts as open after its next try was due. A cloud with groups to work on is called each minute.
/// So a circuit without a try for this long says nothing about the cloud.
const UNASKED: Duration = Duration::from_mins(5);

/// The circuit of one cloud. Pure: `now` is an argument.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    /// When the first failure was.
    since: Option<Instant>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    until: Instant,
    lasts: Duration,
    error: CloudError,
    /// A call is under way that tries whether the cloud works again.
    is_tried: bool,
}

impl Circuit {
    /// Lets a call go out.
    ///
    /// # Errors
    /// While the circuit is open: the last error of the cloud, with the time until the next try. When that time has
    /// come, one call goes out to try whether the cloud works again.
    pub(super) fn enter(&mut self, now: Instant) -> Result<(), CloudError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if now < open.until {
            let mut error = open.error.clone();
            error.retry_after = Some(open.until - now);
            return Err(error);
        }
        (open.until, open.is_tried) = (now + open.lasts, true);
        Ok(())
    }

    /// Whether the circuit is open. It no longer counts as open if nobody has used the cloud for a while.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| now < open.until + UNASKED)
    }

    /// Learns from the answer of a call.
    pub(super) fn answered(&mut self, error: Option<&CloudError>, now: Instant) {
        let Some(error) = error.filter(|error| is_broken(error)) else {
            *self = Self::default();
            return;
        };
        self.failures = self.failures.saturating_add(1);
        let lasts_already = now.saturating_duration_since(*self.since.get_or_insert(now));
        let lasts = match &self.open {
            None if self.failures >= FAILURES && lasts_already >= NO_BLIP => FIRST,
            Some(open) if open.is_tried => (open.lasts * 2).min(LONGEST),
            // Calls that were under way when the circuit opened do not prolong it.
            _ => return,
        };
        self.open = Some(Open { until: now + lasts, lasts, error: error.clone(), is_tried: false });
    }
}

/// Whether the whole account or service is in trouble. A call that was refused because of one machine, or throttled,
/// does not tell that.
fn is_broken(error: &CloudError) -> bool {
    match error.class {
        ErrorClass::Transient => true,
        ErrorClass::Configuration => !error.may_concern_one_machine(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The last of so many failures is at `now`, the others a second before.
    fn broken(failures: u32, now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for number in 1..=failures {
            let at = if number == failures { now } else { now - SECOND };
            circuit.enter(at).unwrap();
            circuit.answered(Some(&CloudError::timeout()), at);
        }
        circuit
    }

    #[test]
    fn failures_of_one_moment_do_not_open_it() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        for _ in 0..50 {
            circuit.answered(Some(&CloudError::timeout()), now);
        }
        assert!(circuit.enter(now).is_ok());
    }

    #[test]
    fn a_few_failures_are_borne_and_more_open_it() {
        let now = Instant::now() + SECOND;
        assert!(broken(FAILURES - 1, now).enter(now).is_ok());
        let error = broken(FAILURES, now).enter(now).unwrap_err();
        assert_eq!((error.code.as_str(), error.retry_after), ("Timeout", Some(FIRST)));
        assert_eq!(
            [FAILURES - 1, FAILURES].map(|failures| broken(failures, now).is_open(now)),
            [false, true]
        );
        assert!(!broken(FAILURES, now).is_open(now + FIRST + UNASKED), "nobody asks any more");
    }

    #[test]
    fn one_call_goes_out_to_see_and_its_success_closes_it() {
        let now = Instant::now();
        let mut circuit = broken(FAILURES, now);
        let then = now + FIRST;
        assert!(circuit.enter(then).is_ok());
        assert!(circuit.enter(then).is_err(), "the others wait for what it says");
        circuit.answered(None, then);
        assert!((0..10).all(|_| circuit.enter(then).is_ok()));
    }

    #[test]
    fn it_stays_open_ever_longer_up_to_a_bound() {
        let mut now = Instant::now();
        let mut circuit = broken(FAILURES, now);
        let mut waits = vec![];
        for _ in 0..6 {
            let wait = circuit.enter(now).unwrap_err().retry_after.unwrap();
            waits.push(wait.as_secs());
            now += wait;
            circuit.enter(now).unwrap();
            circuit.answered(Some(&CloudError::timeout()), now);
        }
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        assert!(circuit.enter(now + SECOND).is_err());
    }

    #[test]
    fn what_is_refused_for_one_machine_or_for_lack_of_tokens_is_no_failure_of_the_cloud() {
        let now = Instant::now();
        for code in ["InvalidInstanceID.NotFound", "RequestLimitExceeded", "UnauthorizedOperation"] {
            let mut circuit = broken(FAILURES - 1, now);
            circuit.answered(Some(&CloudError::from_code(code, "", Some(400))), now);
            circuit.answered(Some(&CloudError::timeout()), now);
            assert!(circuit.enter(now).is_ok(), "{code}");
        }
    }
}
