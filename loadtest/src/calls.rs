//! Reads the cloud's call log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::ec2::{CallQuery, CallRecord, Ec2World};

/// The calls of a period.
pub(crate) struct Calls(pub(crate) Vec<CallRecord>);

/// The actions that change something.
const MUTATIONS: [&str; 4] = ["StartInstances", "StopInstances", "CreateTags", "DeleteTags"];

impl Calls {
    /// All calls from a number on, and the number from which to read next.
    pub(crate) fn since(world: &Ec2World, number: u64) -> (Self, u64) {
        let (mut all, mut query) = (Vec::new(), CallQuery { since: number, ..CallQuery::default() });
        loop {
            let page = world.calls(&query);
            all.extend(page.calls);
            query.since = page.next;
            if !page.more {
                return (Self(all), query.since);
            }
        }
    }

    /// The number of calls, by action.
    pub(crate) fn by_action(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.0 {
            *counts.entry(call.facts.action.clone()).or_default() += 1;
        }
        counts
    }

    /// The number of throttled calls, by action and caller.
    pub(crate) fn throttled(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let is_throttled = |call: &&CallRecord| {
            matches!(call.outcome.as_deref(), Some("RequestLimitExceeded" | "Throttling"))
        };
        for call in self.0.iter().filter(is_throttled) {
            *counts.entry(format!("{} {}", call.facts.action, call.facts.caller)).or_default() += 1;
        }
        counts
    }

    /// The number of calls that change something.
    pub(crate) fn mutations(&self) -> usize {
        self.0.iter().filter(|call| MUTATIONS.contains(&call.facts.action.as_str())).count()
    }

    /// When a call of an action that took effect first named each machine, in microseconds.
    pub(crate) fn first(&self, action: &str) -> BTreeMap<String, i64> {
        let mut first: BTreeMap<String, i64> = BTreeMap::new();
        for call in self.0.iter().filter(|call| call.facts.action == action && call.took_effect) {
            let at = call.arrived.wall.unix_micros();
            for id in &call.facts.instance_ids {
                first.entry(id.clone()).and_modify(|known| *known = at.min(*known)).or_insert(at);
            }
        }
        first
    }

    /// How late each machine was started or stopped, in milliseconds, sorted. A negative value is early.
    pub(crate) fn lateness(&self, action: &str, due: Timestamp) -> Vec<f64> {
        #[allow(clippy::cast_precision_loss, reason = "microseconds of some minutes")]
        let late = |at: i64| (at - due.as_microsecond()) as f64 / 1000.0;
        let mut all: Vec<f64> = self.first(action).into_values().map(late).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    /// The counts for the report.
    pub(crate) fn told(&self) -> Value {
        json!({ "by_action": self.by_action(), "throttled": self.throttled() })
    }
}

/// The smallest figure such that at least this part of the sorted figures is not larger (nearest rank).
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of samples are small and positive"
    )]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        let of = |part| percentile(&sorted, part).to_bits();
        assert_eq!((of(0.5), of(0.99), of(1.0)), (50_f64.to_bits(), 99_f64.to_bits(), 100_f64.to_bits()));
        assert!(percentile(&[], 0.5).is_nan());
    }
}
