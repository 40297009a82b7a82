//! The call log: a bounded record of every call of any service.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::filter::RawFilter;
use super::model::Scope;
use super::tagging::TagArgument;
use super::time::SimTime;

/// What is known of a call when it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The action, for example `StartInstances`.
    pub action: String,
    /// The application name in the user agent (what `AWS_SDK_UA_APP_ID` sets), else the access key id.
    pub caller: String,
    /// The access key id that signed the call.
    pub access_key_id: String,
    /// When its caller signed it, by the caller's clock, in whole seconds: the `X-Amz-Date` of the call.
    pub signed: Option<String>,
    /// Account and region of the call.
    #[serde(flatten)]
    pub scope: Scope,
    /// The instances that the call names. For a call to RDS, the identifier or ARN of the database, as the call names
    /// it. For an `AssumeRole`, the role.
    pub instance_ids: Vec<String>,
    /// The filters of a describe.
    pub filters: Vec<RawFilter>,
    /// The tags to set or remove.
    pub tags: Vec<TagArgument>,
    /// Whether it asks for a page, or for the next one.
    pub paged: bool,
    /// Whether it only asks whether it would work.
    pub dry_run: bool,
}

/// A moment on both clocks, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// On the machine's wall clock.
    pub wall: SimTime,
    /// In the simulator's time.
    pub sim: SimTime,
}

/// A call in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Counts all calls since the simulator's start, in order of arrival, from 1.
    pub number: u64,
    /// When it arrived.
    pub arrived: Moment,
    /// When its answer went out. It is absent while the call runs, and for ever if the call hangs.
    pub completed: Option<Moment>,
    /// The call.
    #[serde(flatten)]
    pub facts: CallFacts,
    /// `OK`, an error code, `ConnectionReset` or `Hang`. It is absent while the call runs.
    pub outcome: Option<String>,
    /// Whether it took effect. Its caller may have been told otherwise.
    pub took_effect: bool,
    /// The fault rules that applied to it.
    pub faults: Vec<u64>,
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPage {
    /// The calls in order of arrival.
    pub calls: Vec<CallRecord>,
    /// The number to pass as `since` for the next page.
    pub next: u64,
    /// Whether there is more to read now.
    pub more: bool,
    /// The number of records that were dropped since the log was cleared, because there was no room.
    pub dropped: u64,
}

/// Which calls to read. Calls under way are included, without an outcome. To get the outcome, read them again later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallQuery {
    /// Only calls from this number on.
    pub since: u64,
    /// Only calls of this action.
    pub action: Option<String>,
    /// At most this number of calls. The default is 10,000.
    pub limit: Option<usize>,
}

/// The bounds of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLogLimits {
    /// The largest number of calls.
    pub calls: usize,
    /// The largest number of ids, filter values and tags of all calls. One call may name a thousand.
    pub items: usize,
}

impl Default for CallLogLimits {
    fn default() -> Self {
        Self { calls: 1_000_000, items: 5_000_000 }
    }
}

const PAGE: usize = 10_000;

#[derive(Debug)]
pub(crate) struct CallLog {
    limits: CallLogLimits,
    records: VecDeque<CallRecord>,
    items: usize,
    last: u64,
    dropped: u64,
}

impl CallLog {
    pub(crate) fn new(limits: CallLogLimits) -> Self {
        Self { limits, records: VecDeque::new(), items: 0, last: 0, dropped: 0 }
    }

    /// Records a call when it arrives. Returns its number.
    pub(crate) fn arrive(&mut self, arrived: Moment, facts: CallFacts) -> u64 {
        self.last += 1;
        let number = self.last;
        self.items += weight(&facts);
        let (completed, outcome) = (None, None);
        let record =
            CallRecord { number, arrived, completed, facts, outcome, took_effect: false, faults: Vec::new() };
        self.records.push_back(record);
        while self.records.len() > self.limits.calls || self.items > self.limits.items {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.items -= weight(&oldest.facts);
            self.dropped += 1;
        }
        number
    }

    /// The record of a call, unless it has been dropped.
    pub(crate) fn record(&mut self, number: u64) -> Option<&mut CallRecord> {
        let first = self.records.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.records.get_mut(index)
    }

    /// Forgets all calls. The numbers go on.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        (self.items, self.dropped) = (0, 0);
    }

    pub(crate) fn read(&self, query: &CallQuery) -> CallPage {
        let limit = query.limit.unwrap_or(PAGE);
        let wanted =
            |record: &&CallRecord| query.action.as_ref().is_none_or(|action| *action == record.facts.action);
        let start = self.records.partition_point(|record| record.number < query.since);
        let mut found = self.records.range(start..).filter(wanted);
        let calls: Vec<CallRecord> = found.by_ref().take(limit).cloned().collect();
        let more = found.next().map(|record| record.number);
        // If there is no more, these are all records. Later reads begin with later calls.
        let next = more.unwrap_or(self.last + 1);
        CallPage { calls, next, more: more.is_some(), dropped: self.dropped }
    }
}

fn weight(facts: &CallFacts) -> usize {
    let values: usize = facts.filters.iter().map(|filter| filter.values.len()).sum();
    facts.instance_ids.len() + facts.tags.len() + values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(action: &str, ids: usize) -> CallFacts {
        CallFacts {
            action: action.to_owned(),
            caller: "tester".to_owned(),
            access_key_id: "AK".to_owned(),
            signed: None,
            scope: Scope { account: "1".to_owned(), region: "r".to_owned() },
            instance_ids: vec!["i-00000001".to_owned(); ids],
            filters: Vec::new(),
            tags: Vec::new(),
            paged: false,
            dry_run: false,
        }
    }

    fn log(calls: usize, items: usize) -> CallLog {
        CallLog::new(CallLogLimits { calls, items })
    }

    fn moment() -> Moment {
        Moment { wall: SimTime::from_unix_micros(1), sim: SimTime::from_unix_micros(2) }
    }

    #[test]
    fn a_full_log_drops_its_oldest_calls_and_says_so() {
        let mut log = log(2, 100);
        for _ in 0..5 {
            log.arrive(moment(), facts("StartInstances", 1));
        }
        let page = log.read(&CallQuery::default());
        assert_eq!(page.calls.iter().map(|call| call.number).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(page.dropped, 3);
        assert!(log.record(3).is_none() && log.record(6).is_none());
        assert_eq!(log.record(5).unwrap().number, 5);
    }

    #[test]
    fn a_log_is_bounded_by_the_ids_it_holds_too() {
        let mut log = log(100, 10);
        for _ in 0..5 {
            log.arrive(moment(), facts("StartInstances", 4));
        }
        assert_eq!(log.read(&CallQuery::default()).calls.len(), 2);
    }

    #[test]
    fn reading_on_from_next_sees_each_call_of_an_action_once() {
        let mut log = log(100, 100);
        for action in ["a", "b", "a", "a", "b", "a"] {
            log.arrive(moment(), facts(action, 0));
        }
        let mut query = CallQuery { action: Some("a".to_owned()), limit: Some(2), since: 0 };
        let mut numbers = Vec::new();
        loop {
            let page = log.read(&query);
            numbers.extend(page.calls.iter().map(|call| call.number));
            query.since = page.next;
            if !page.more {
                break;
            }
        }
        assert_eq!(numbers, [1, 3, 4, 6]);
        log.arrive(moment(), facts("a", 0));
        assert_eq!(log.read(&query).calls.len(), 1);
    }
}
