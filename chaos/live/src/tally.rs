//! The results of a run for each kind of fault.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    checker::{Breach, Finding},
    kinds::Kind,
    scenario::Sample,
};

/// Counts and times of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The number of rings that faults hit.
    pub(crate) n: usize,
    /// The number of rings that one fault hits.
    pub(crate) rings: usize,
    /// The times from fault to new owner, sorted.
    pub(crate) failovers: Vec<Duration>,
    /// The number of findings of each sort.
    pub(crate) breaches: BTreeMap<Breach, usize>,
    /// The most changes of owners of one slot, if a limit is promised.
    pub(crate) moves: Option<usize>,
}

impl Tally {
    /// The number of findings of one sort.
    pub(crate) fn count(&self, breach: Breach) -> usize {
        self.breaches.get(&breach).copied().unwrap_or(0)
    }

    /// The report's part. Times are in milliseconds, or null if there are none.
    pub(crate) fn json(&self, kind: Kind) -> Value {
        let ms = |part| percentile(&self.failovers, part).map(millis);
        let mut part = json!({
            "n": self.n,
            "faults": self.n / self.rings.max(1),
            "double_owner": self.count(Breach::DoubleOwner),
            "missed": self.count(Breach::Missed),
            "early": self.count(Breach::Early),
            "late_in_flight": self.count(Breach::LateInFlight),
            "failover_ms": {"p50": ms(0.5), "p99": ms(0.99), "max": ms(1.0)},
            "failovers_ms": self.failovers.iter().copied().map(millis).collect::<Vec<_>>(),
            "bound_ms": kind.bound().map(millis),
        });
        if let (Some(moves), Some(part)) = (self.moves, part.as_object_mut()) {
            part.insert("slot_moves_max".to_owned(), json!(moves));
        }
        part
    }

    /// The broken promises, in words.
    pub(crate) fn broken(&self, kind: Kind) -> Vec<String> {
        let mut broken = Vec::new();
        for (breach, name) in
            [(Breach::DoubleOwner, "double owners"), (Breach::Missed, "missed"), (Breach::Early, "early")]
        {
            let count = self.count(breach);
            if count > 0 {
                broken.push(format!("{kind}: {count} {name}"));
            }
        }
        if let (Some(bound), Some(p99)) = (kind.bound(), percentile(&self.failovers, 0.99))
            && p99 > bound
        {
            broken.push(format!("{kind}: p99 {} ms is over {} ms", millis(p99), millis(bound)));
        }
        if let Some(moves) = self.moves.filter(|moves| *moves > 1) {
            broken.push(format!("{kind}: a slot moved {moves} times"));
        }
        broken
    }
}

/// The report's parts, by kind.
pub(crate) fn entries(tallies: &BTreeMap<Kind, Tally>) -> Map<String, Value> {
    tallies.iter().map(|(kind, tally)| (kind.name().to_owned(), tally.json(*kind))).collect()
}

/// Samples and findings by kind. A finding before any fault counts for the first kind of the run.
pub(crate) fn tallies(samples: &[Sample], findings: &[Finding]) -> BTreeMap<Kind, Tally> {
    let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
    for sample in samples {
        let tally = tallies.entry(sample.kind).or_default();
        tally.n += 1;
        tally.rings = tally.rings.max(sample.rings);
        tally.failovers.extend(&sample.failovers);
        tally.moves = tally.moves.max(sample.moves);
    }
    let first = tallies.keys().next().copied().unwrap_or(Kind::Sigkill);
    for finding in findings {
        let tally = tallies.entry(finding.kind.unwrap_or(first)).or_default();
        *tally.breaches.entry(finding.breach).or_default() += 1;
    }
    for tally in tallies.values_mut() {
        tally.failovers.sort_unstable();
    }
    tallies
}

/// The smallest time such that at least this part of the sorted times is not longer (nearest rank).
pub(crate) fn percentile(sorted: &[Duration], part: f64) -> Option<Duration> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of samples are small and positive"
    )]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The time in whole milliseconds. It is rounded up, so that no result looks better than it is.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// The table at the end.
pub(crate) fn table(tallies: &BTreeMap<Kind, Tally>) -> String {
    let mut lines = vec![format!(
        "{:<20}{:>5}{:>8}{:>8}{:>7}{:>11}{:>9}{:>9}{:>9}{:>9}",
        "kind", "n", "double", "missed", "early", "in flight", "p50 ms", "p99 ms", "max ms", "bound"
    )];
    for (kind, tally) in tallies {
        let ms = |part| percentile(&tally.failovers, part).map_or("-".to_owned(), |t| millis(t).to_string());
        lines.push(format!(
            "{kind:<20}{:>5}{:>8}{:>8}{:>7}{:>11}{:>9}{:>9}{:>9}{:>9}",
            tally.n,
            tally.count(Breach::DoubleOwner),
            tally.count(Breach::Missed),
            tally.count(Breach::Early),
            tally.count(Breach::LateInFlight),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            kind.bound().map_or("-".to_owned(), |bound| millis(bound).to_string()),
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::At;

    fn sample(kind: Kind, ms: u64) -> Sample {
        Sample { kind, failovers: vec![Duration::from_millis(ms)], rings: 1, moves: None }
    }

    fn finding(kind: Kind, breach: Breach) -> Finding {
        Finding { breach, at: At(0), kind: Some(kind), text: String::new() }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&times, 0.99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&times, 1.0), Some(Duration::from_millis(200)));
        assert_eq!(percentile(&times[..1], 0.99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 0.99), None);
    }

    #[test]
    fn each_promise_that_is_not_kept_is_named() {
        let samples = [sample(Kind::Graceful, 1_001), sample(Kind::Sigkill, 16_500)];
        let findings =
            [finding(Kind::Sigkill, Breach::DoubleOwner), finding(Kind::Sigkill, Breach::LateInFlight)];
        let tallies = tallies(&samples, &findings);
        assert_eq!(
            tallies[&Kind::Graceful].broken(Kind::Graceful),
            ["graceful: p99 1001 ms is over 1000 ms"]
        );
        assert_eq!(tallies[&Kind::Sigkill].broken(Kind::Sigkill), ["sigkill: 1 double owners"]);
    }

    #[test]
    fn the_report_has_its_keys_for_each_kind() {
        let tallies = tallies(&[sample(Kind::Sigkill, 12)], &[]);
        let part = tallies[&Kind::Sigkill].json(Kind::Sigkill);
        for path in ["/n", "/double_owner", "/missed", "/early", "/late_in_flight", "/failover_ms/p99"] {
            assert!(part.pointer(path).is_some(), "{path}");
        }
        assert_eq!(part.pointer("/failover_ms/max"), Some(&json!(12)));
    }
}
