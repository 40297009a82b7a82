//! Throttling as AWS does it: token buckets by account, region and action.
//!
//! A call costs one token of its action's request bucket. If there is a resource bucket, it also costs one token of
//! that for each instance that it names. The refill is fractional, so nothing is lost between frequent calls. If a call
//! is refused because there are no resource tokens, it has still used its request token.
//!
//! Sizes: "Request throttling for the Amazon EC2 API" in the EC2 developer guide, tables of request and resource token
//! bucket sizes and refill rates. RDS documents none. Its sizes are a cautious guess from what is reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::admission::{Admission, AdmissionCall, Throttled};
use super::model::Scope;
use super::time::SimTime;

/// Tokens are counted in millionths. A refill of one per second is one millionth per microsecond.
const MICRO: u64 = 1_000_000;

/// A bucket: the number of tokens that it holds, and the number that comes back each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens of a full bucket.
    pub size: u64,
    /// Tokens per second.
    pub refill: u64,
}

impl Rate {
    /// A bucket of `size` tokens that gets `refill` tokens per second.
    pub const fn new(size: u64, refill: u64) -> Self {
        Self { size, refill }
    }
}

/// The buckets of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionLimits {
    /// One token for each call.
    pub requests: Rate,
    /// One token for each instance that a call names. If it is absent, there is no such bucket.
    #[serde(default)]
    pub resources: Option<Rate>,
}

const fn requests(size: u64, refill: u64) -> ActionLimits {
    ActionLimits { requests: Rate::new(size, refill), resources: None }
}

const fn with_resources(mut limits: ActionLimits, size: u64, refill: u64) -> ActionLimits {
    limits.resources = Some(Rate::new(size, refill));
    limits
}

/// Describes without a filter, a page size or ids have a bucket of their own, under this name and the action's.
const BROAD: &str = " (unfiltered and unpaginated)";

/// The documented buckets. Those of RDS are a guess.
const DEFAULTS: [(&str, ActionLimits); 15] = [
    ("DescribeInstances", requests(100, 20)),
    ("DescribeInstances (unfiltered and unpaginated)", requests(50, 10)),
    ("DescribeInstanceStatus", requests(100, 20)),
    ("DescribeInstanceStatus (unfiltered and unpaginated)", requests(50, 10)),
    ("StartInstances", with_resources(requests(5, 2), 1000, 2)),
    ("StopInstances", with_resources(requests(50, 5), 1000, 20)),
    ("CreateTags", requests(100, 10)),
    ("DeleteTags", requests(100, 10)),
    ("DescribeDBInstances", requests(100, 20)),
    ("DescribeDBClusters", requests(100, 20)),
    ("StartDBInstance", requests(50, 5)),
    ("StopDBInstance", requests(50, 5)),
    ("StartDBCluster", requests(50, 5)),
    ("StopDBCluster", requests(50, 5)),
    ("AddTagsToResource", requests(100, 10)),
];

/// The buckets of an action that has none of its own: EC2's for non-mutating actions.
const OTHERS: ActionLimits = requests(100, 20);

/// Token buckets, by action.
#[derive(Debug)]
pub struct TokenBuckets {
    limits: BTreeMap<String, ActionLimits>,
    levels: Mutex<HashMap<(Scope, String), Levels>>,
}

#[derive(Clone, Copy, Debug)]
struct Levels {
    requests: Level,
    resources: Option<Level>,
}

/// The level of a bucket at a moment.
#[derive(Clone, Copy, Debug)]
struct Level {
    micro: u64,
    at: SimTime,
}

impl Level {
    fn full(rate: Rate, at: SimTime) -> Self {
        Self { micro: rate.size.saturating_mul(MICRO), at }
    }

    fn refill(&mut self, rate: Rate, now: SimTime) {
        let passed = u64::try_from(now.unix_micros().saturating_sub(self.at.unix_micros())).unwrap_or(0);
        let gained = rate.refill.saturating_mul(passed);
        self.micro = self.micro.saturating_add(gained).min(rate.size.saturating_mul(MICRO));
        self.at = self.at.max(now);
    }

    fn take(&mut self, tokens: u64) -> Result<(), Throttled> {
        self.micro = self.micro.checked_sub(tokens.saturating_mul(MICRO)).ok_or(Throttled)?;
        Ok(())
    }
}

impl Default for TokenBuckets {
    fn default() -> Self {
        Self::new(DEFAULTS.iter().map(|(action, limits)| ((*action).to_owned(), *limits)).collect())
    }
}

impl TokenBuckets {
    /// Buckets of these sizes, all full.
    pub fn new(limits: BTreeMap<String, ActionLimits>) -> Self {
        Self { limits, levels: Mutex::default() }
    }

    /// The documented buckets, except for one action.
    #[must_use]
    pub fn with(mut self, action: &str, limits: ActionLimits) -> Self {
        self.limits.insert(action.to_owned(), limits);
        self
    }

    /// The buckets of an action.
    pub fn limits(&self, action: &str) -> ActionLimits {
        self.limits.get(action).copied().unwrap_or(OTHERS)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Scope, String), Levels>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission for TokenBuckets {
    fn admit(&self, call: AdmissionCall<'_>) -> Result<(), Throttled> {
        let broad = !call.narrowed && call.action.starts_with("Describe");
        let action = format!("{}{}", call.action, if broad { BROAD } else { "" });
        let action = if self.limits.contains_key(&action) { action } else { call.action.to_owned() };
        let limits = self.limits(&action);
        let mut levels = self.lock();
        let level = levels.entry((call.scope.clone(), action)).or_insert_with(|| Levels {
            requests: Level::full(limits.requests, call.now),
            resources: limits.resources.map(|rate| Level::full(rate, call.now)),
        });
        level.requests.refill(limits.requests, call.now);
        level.requests.take(1)?;
        if let (Some(level), Some(rate)) = (&mut level.resources, limits.resources) {
            level.refill(rate, call.now);
            level.take(u64::try_from(call.instance_ids).unwrap_or(u64::MAX))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Caller {
        buckets: TokenBuckets,
        scope: Scope,
        now: SimTime,
    }

    impl Caller {
        fn new() -> Self {
            let scope = Scope { account: "1".to_owned(), region: "r".to_owned() };
            Self { buckets: TokenBuckets::default(), scope, now: SimTime::from_unix_micros(1_000_000) }
        }

        fn call(&self, action: &str, instance_ids: usize, narrowed: bool) -> bool {
            let call = AdmissionCall { now: self.now, scope: &self.scope, action, instance_ids, narrowed };
            self.buckets.admit(call).is_ok()
        }

        /// The number of calls that are admitted before the first refusal.
        fn burst(&self, action: &str, instance_ids: usize, narrowed: bool) -> usize {
            (0..10_000).take_while(|_| self.call(action, instance_ids, narrowed)).count()
        }

        fn wait_ms(&mut self, ms: u64) {
            self.now = self.now.after(std::time::Duration::from_millis(ms));
        }
    }

    #[test]
    fn each_action_bursts_and_refills_as_documented() {
        let table = [
            ("DescribeInstances", true, 100, 20),
            ("DescribeInstances", false, 50, 10),
            ("DescribeInstanceStatus", true, 100, 20),
            ("StartInstances", true, 5, 2),
            ("StopInstances", true, 50, 5),
            ("CreateTags", true, 100, 10),
            ("DeleteTags", true, 100, 10),
        ];
        for (action, narrowed, size, refill) in table {
            let mut caller = Caller::new();
            assert_eq!(caller.burst(action, 1, narrowed), size, "{action}: a full bucket");
            caller.wait_ms(1_000);
            assert_eq!(caller.burst(action, 1, narrowed), refill, "{action}: a second later");
            caller.wait_ms(3_600_000);
            assert_eq!(caller.burst(action, 1, narrowed), size, "{action}: never more than full");
        }
    }

    #[test]
    fn ten_thousand_starts_take_75_minutes_whatever_the_batches() {
        // With one instance in each call, the calls themselves would be the first limit.
        for batch in [10, 100] {
            let mut caller = Caller::new();
            let begin = caller.now;
            let mut left = 10_000;
            while left > 0 {
                while left > 0 && caller.call("StartInstances", batch, true) {
                    left -= batch;
                }
                caller.wait_ms(500);
            }
            let took = (caller.now.unix_micros() - begin.unix_micros()) / 1_000_000;
            assert!((4_500..=4_560).contains(&took), "{took} s in batches of {batch}");
        }
    }

    #[test]
    fn more_instances_than_a_bucket_holds_never_get_in() {
        let mut caller = Caller::new();
        assert!(!caller.call("StartInstances", 1_001, true));
        assert!(caller.call("StartInstances", 1_000, true), "the refused call took none of them");
        caller.wait_ms(999);
        assert!(!caller.call("StartInstances", 2, true));
    }

    #[test]
    fn fractions_of_tokens_add_up() {
        let mut caller = Caller::new();
        caller.burst("StartInstances", 1, true);
        // With a try each tenth of a second, two calls a second are admitted.
        let let_in = (0..100)
            .filter(|_| {
                caller.wait_ms(100);
                caller.call("StartInstances", 1, true)
            })
            .count();
        assert_eq!(let_in, 20);
    }

    #[test]
    fn accounts_and_regions_share_nothing() {
        let mut caller = Caller::new();
        assert_eq!(caller.burst("StartInstances", 1, true), 5);
        for (account, region) in [("2", "r"), ("1", "q")] {
            caller.scope = Scope { account: account.to_owned(), region: region.to_owned() };
            assert_eq!(caller.burst("StartInstances", 1, true), 5);
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut caller = Caller::new();
        caller.burst("StartInstances", 1, true);
        caller.now = SimTime::from_unix_micros(0);
        assert!(!caller.call("StartInstances", 1, true));
    }
}
