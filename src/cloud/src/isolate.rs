//! One bad id fails a whole EC2 call. [`Isolation`] separates the bad ids, so that the others succeed. It takes the ids
//! that the error message names, or else it halves the call.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    error::{CloudError, ErrorClass},
    provider::Results,
};

/// The most calls that one mutation may cost. Halving finds one bad machine among a thousand in twenty calls. More than
/// a few bad machines at once are not worth the account's tokens.
pub const CALLS_MAX: usize = 32;

/// The calls of one mutation: what to send next, and the results so far.
#[derive(Debug, Default)]
pub struct Isolation {
    open: VecDeque<Vec<String>>,
    results: Results,
    calls: usize,
}

impl Isolation {
    /// A mutation of `ids`. An id that is named twice counts once.
    pub fn new(ids: &[String]) -> Self {
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        Self { open: VecDeque::from([distinct]), ..Self::default() }
    }

    /// The ids of the next call. None if every id has a result.
    pub fn next_call(&mut self) -> Option<Vec<String>> {
        self.open.pop_front().filter(|batch| !batch.is_empty())
    }

    /// Records the answer of a call. If the error may concern one machine, the others are sent again.
    pub fn answered(&mut self, batch: Vec<String>, answer: Result<(), CloudError>) {
        self.calls += 1;
        match answer {
            Err(error) if may_split(&error, &batch) && self.leaves_calls(2) => {
                let (bad, parts) = split(&error, batch);
                self.results.extend(bad.into_iter().map(|id| (id, Err(error.clone()))));
                self.open.extend(parts);
            }
            answer => self.results.extend(batch.into_iter().map(|id| (id, answer.clone()))),
        }
    }

    /// Records a call that failed because the cloud has no room for some machines: the machines of each zone and type
    /// are sent again in a call of their own. False if all are of one zone and type; then nothing has changed.
    ///
    /// Halving alone would not help: ids do not tell the zone and type, so each half has machines of all of them.
    pub fn parted(&mut self, batch: &[String], zone_and_type_of: impl Fn(&str) -> String) -> bool {
        let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in batch {
            parts.entry(zone_and_type_of(id)).or_default().push(id.clone());
        }
        // The call that failed counts as well.
        let is_parted = parts.len() > 1 && self.leaves_calls(parts.len() + 1);
        if is_parted {
            self.calls += 1;
            self.open.extend(parts.into_values());
        }
        is_parted
    }

    /// Whether `count` more calls may be made, beyond those that will be made anyway.
    fn leaves_calls(&self, count: usize) -> bool {
        self.calls + self.open.len() + count <= CALLS_MAX
    }

    /// One result per id.
    pub fn into_results(self) -> Results {
        self.results
    }
}

fn may_split(error: &CloudError, batch: &[String]) -> bool {
    batch.len() > 1 && error.may_concern_one_machine()
}

/// The ids at fault, and the batches to send again.
fn split(error: &CloudError, batch: Vec<String>) -> (Vec<String>, Vec<Vec<String>>) {
    // The message of another class may name machines that are not at fault.
    let named: Vec<bool> = batch
        .iter()
        .map(|id| {
            matches!(error.class, ErrorClass::BadInstance | ErrorClass::Reobserve)
                && names(&error.message, id)
        })
        .collect();
    if named.contains(&true) && named.contains(&false) {
        let (bad, rest): (Vec<_>, Vec<_>) = batch.into_iter().zip(named).partition(|(_, named)| *named);
        let ids = |pairs: Vec<(String, bool)>| pairs.into_iter().map(|(id, _)| id).collect();
        return (ids(bad), vec![ids(rest)]);
    }
    let mut first = batch;
    let second = first.split_off(first.len() / 2);
    (vec![], vec![first, second])
}

/// Whether a message names an id as a word of its own: `i-1` is not named by `i-12`.
fn names(message: &str, id: &str) -> bool {
    message.match_indices(id).any(|(at, _)| {
        let before = message.get(..at).and_then(|text| text.chars().next_back());
        let behind = message.get(at + id.len()..).and_then(|text| text.chars().next());
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-');
        !word(before) && !word(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("i-{i:04}")).collect()
    }

    /// Sends `ids` to a cloud in which `bad` fail. Returns the results and the number of calls.
    fn run(ids: &[String], bad: &[&str], error: impl Fn(&str) -> CloudError) -> (Results, usize) {
        let mut isolation = Isolation::new(ids);
        while let Some(batch) = isolation.next_call() {
            let found = batch.iter().find(|id| bad.contains(&id.as_str()));
            let answer = found.map_or(Ok(()), |id| Err(error(id)));
            isolation.answered(batch, answer);
        }
        let calls = isolation.calls;
        (isolation.into_results(), calls)
    }

    fn failed(results: &Results) -> Vec<&str> {
        results.iter().filter(|(_, r)| r.is_err()).map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn a_good_call_is_one_call() {
        let (results, calls) = run(&ids(1000), &[], |_| CloudError::timeout());
        assert_eq!((results.len(), failed(&results).len(), calls), (1000, 0, 1));
    }

    #[test]
    fn a_bad_id_that_the_message_names_costs_one_more_call() {
        let named = |id: &str| {
            let text = format!("The instance ID '{id}' does not exist");
            CloudError::from_code("InvalidInstanceID.NotFound", &text, Some(400))
        };
        let (results, calls) = run(&ids(1000), &["i-0007"], named);
        assert_eq!((failed(&results), calls), (vec!["i-0007"], 2));
    }

    #[test]
    fn a_bad_id_that_no_message_names_is_found_by_halving() {
        let silent = |_: &str| CloudError::from_code("OperationNotPermitted", "stop protection", Some(400));
        let (results, calls) = run(&ids(1000), &["i-0700"], silent);
        assert_eq!(failed(&results), ["i-0700"]);
        assert!(calls <= 21, "{calls}");
    }

    #[test]
    fn throttling_is_never_answered_by_more_calls() {
        let throttled = |_: &str| CloudError::from_code("RequestLimitExceeded", "slow down", Some(503));
        let (results, calls) = run(&ids(100), &["i-0007"], throttled);
        assert_eq!((failed(&results).len(), calls), (100, 1));
    }

    #[test]
    fn bad_credentials_are_never_answered_by_more_calls() {
        for code in ["RequestExpired", "AuthFailure", "CredentialsFailed"] {
            let (results, calls) =
                run(&ids(100), &["i-0007"], |_| CloudError::from_code(code, "", Some(400)));
            assert_eq!((failed(&results).len(), calls), (100, 1), "{code}");
        }
    }

    #[test]
    fn a_call_in_which_all_are_bad_costs_a_bounded_number_of_calls() {
        let all = ids(1000);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let denied = |_: &str| CloudError::from_code("UnauthorizedOperation", "no", Some(403));
        let (results, calls) = run(&ids(1000), &all, denied);
        assert_eq!(failed(&results).len(), 1000);
        assert!(calls <= CALLS_MAX, "{calls}");
    }

    #[test]
    fn machines_are_parted_by_zone_and_type_unless_all_have_the_same() {
        let ids = ids(5);
        let mut isolation = Isolation::new(&ids);
        let batch = isolation.next_call().unwrap();
        assert!(!isolation.parted(&batch, |_| "zone a".to_owned()));
        assert!(isolation.parted(&batch, |id| format!("zone {}", id.ends_with(['1', '3']))));
        let parts: Vec<_> = std::iter::from_fn(|| isolation.next_call()).collect();
        assert_eq!(parts, [vec!["i-0000", "i-0002", "i-0004"], vec!["i-0001", "i-0003"]]);
    }

    #[test]
    fn doubled_ids_are_sent_once_and_no_ids_cost_no_call() {
        let twice = ["i-1".to_owned(), "i-1".to_owned()];
        let (results, calls) = run(&twice, &[], |_| CloudError::timeout());
        assert_eq!((results.len(), calls), (1, 1));
        let (none, calls) = run(&[], &[], |_| CloudError::timeout());
        assert_eq!((none.len(), calls), (0, 0));
    }

    #[test]
    fn an_id_is_named_as_a_whole_word_only() {
        assert!(names("instance i-12 is bad", "i-12"));
        assert!(names("'i-12'", "i-12"));
        assert!(!names("i-123", "i-12"));
        assert!(!names("xi-12", "i-12"));
    }
}
