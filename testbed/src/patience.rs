//! The deadlines of tests.
//!
//! A test judges the order of events and how things end. It does not judge how fast they are, because the machine may
//! be busy. Each deadline of a test goes through [`patient`]. So does each period in which the operator has to keep up
//! with something, such as the window of a booking or the lease of a replica.

use std::{env, sync::OnceLock, time::Duration};

/// The environment variable with the factor: a number, at least 1. If it is missing or no such number, the factor is 1.
/// `make test BUSY=n` sets it.
pub const PATIENCE_VARIABLE: &str = "TEST_PATIENCE";

/// A larger factor counts as this one, so that every wait ends.
const MOST: f64 = 1_000.0;

/// `limit` times the factor of this machine, see [`PATIENCE_VARIABLE`].
pub fn patient(limit: Duration) -> Duration {
    limit.mul_f64(factor())
}

/// The factor for programs that run beside this number of busy loops. It grows by one for each of them.
pub fn beside(busy: u8) -> f64 {
    factor().max(1.0 + f64::from(busy))
}

fn factor() -> f64 {
    static FACTOR: OnceLock<f64> = OnceLock::new();
    *FACTOR.get_or_init(|| read(env::var(PATIENCE_VARIABLE).ok().as_deref()))
}

fn read(text: Option<&str>) -> f64 {
    let number = text.and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| number.is_finite());
    number.unwrap_or(1.0).clamp(1.0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_above_one_makes_limits_longer_and_none_makes_them_endless() {
        let table = [(None, 1.0), (Some("3"), 3.0), (Some(" 1.5 "), 1.5), (Some("1e9"), MOST)];
        let useless = ["", "0", "-2", "0.5", "NaN", "inf", "long"].map(|text| (Some(text), 1.0));
        for (text, factor) in table.into_iter().chain(useless) {
            assert!((read(text) - factor).abs() < f64::EPSILON, "{text:?}");
        }
    }

    #[test]
    fn each_busy_loop_adds_one_part_unless_more_was_asked_for() {
        assert!((beside(0) - factor()).abs() < f64::EPSILON);
        assert!(beside(9) >= 10.0 && beside(9) >= factor());
    }
}
