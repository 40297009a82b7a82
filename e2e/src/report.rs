//! The results as a table and as `target/e2e/report.json`.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{bookings::Due, cluster::Cluster, failure::Failure};

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    what: String,
    took: Duration,
    starts: Option<Starts>,
    promised_ms: i64,
    /// Other observations.
    note: String,
}

/// The starts of machines.
#[derive(Clone, Debug)]
struct Starts {
    count: usize,
    late_p50_ms: i64,
    late_max_ms: i64,
    /// The machines that were not started by exactly one call, or not locked by exactly one.
    not_once: usize,
    early: usize,
}

impl Row {
    /// A row for something that takes time while nothing falls due.
    pub(crate) fn took(what: &str, took: Duration) -> Self {
        Self::new(what, took, 0)
    }

    /// A row for an event during which starts may be this late.
    pub(crate) fn new(what: &str, took: Duration, promised_ms: i64) -> Self {
        Self { what: what.to_owned(), took, promised_ms, ..Self::default() }
    }

    /// Adds an observation to the row.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Adds the results for these bookings. `death` is when a replica died meanwhile.
    pub(crate) async fn with(
        self,
        cluster: &Cluster<'_>,
        due: &[Due],
        death: Option<Timestamp>,
    ) -> Result<Self, Failure> {
        let started = cluster.started(due).await?;
        let mut late: Vec<i64> =
            due.iter().zip(&started).map(|(due, it)| late_ms(due.at, it.at, death)).collect();
        for ((due, it), late) in due.iter().zip(&started).zip(&late) {
            if *late > self.promised_ms {
                println!("  {} was due at {} and started {late} ms late", due.name, due.at);
            }
            if !it.is_once() {
                println!("  {} was started by {:?}, locked by {:?}", due.name, it.starts, it.locks);
            }
        }
        late.sort_unstable();
        let at = |place: usize| late.get(place).copied().unwrap_or(i64::MAX);
        let starts = Starts {
            count: late.len(),
            late_p50_ms: at(late.len() / 2),
            late_max_ms: at(late.len().saturating_sub(1)),
            not_once: started.iter().filter(|it| !it.is_once()).count(),
            early: late.iter().filter(|late| **late < 0).count(),
        };
        Ok(Self { starts: Some(starts), ..self })
    }

    fn passes(&self) -> bool {
        self.starts.as_ref().is_none_or(|starts| {
            starts.late_max_ms <= self.promised_ms && starts.not_once == 0 && starts.early == 0
        })
    }

    fn json(&self) -> Value {
        let starts = self.starts.as_ref().map(|it| {
            json!({
                "count": it.count, "late_p50_ms": it.late_p50_ms, "late_max_ms": it.late_max_ms,
                "promised_ms": self.promised_ms, "not_started_once": it.not_once, "early": it.early,
            })
        });
        json!({
            "what": self.what, "took_s": self.took.as_secs_f64(), "starts": starts, "note": self.note, "pass": self.passes(),
        })
    }

    fn line(&self) -> String {
        let took = self.took.as_secs_f64();
        let head = format!("{:<38} {took:>7.1}", self.what);
        let figures = self.starts.as_ref().map_or_else(
            || format!("{:>42}", ""),
            |it| {
                format!(
                    "{:>7} {:>9} {:>9} {:>9} {:>4}",
                    it.count, it.late_p50_ms, it.late_max_ms, self.promised_ms, it.not_once
                )
            },
        );
        let verdict = if self.passes() { "" } else { "FAILS " };
        format!("{head} {figures}  {verdict}{}", self.note).trim_end().to_owned()
    }
}

/// How late a start was. It counts from when it was due. If no replica could send it at that time, it counts from when
/// the replica died.
fn late_ms(due: Timestamp, started: Timestamp, death: Option<Timestamp>) -> i64 {
    let from = death.filter(|death| *death < started).map_or(due, |death| due.max(death));
    started.as_millisecond() - from.as_millisecond()
}

/// Prints the table and writes the report. Returns whether all promises are kept.
pub(crate) fn publish(rows: &[Row], path: &Path) -> Result<bool, Failure> {
    println!(
        "\n{:<38} {:>7} {:>7} {:>9} {:>9} {:>9} {:>4}",
        "", "took s", "starts", "p50 ms", "max ms", "allowed", "≠1"
    );
    for row in rows {
        println!("{}", row.line());
    }
    println!(
        "starts: how late machines were started, after a death: from then on, for what was due before; ≠1: not started or not locked by one call"
    );
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let passes = rows.iter().all(Row::passes);
    let report = json!({ "pass": passes, "rows": rows.iter().map(Row::json).collect::<Vec<_>>() });
    std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    println!("{}", path.display());
    Ok(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(late_max_ms: i64, not_once: usize, early: usize) -> Row {
        let starts = Starts { count: 30, late_p50_ms: 30, late_max_ms, not_once, early };
        Row { starts: Some(starts), ..Row::new("rollout restart", Duration::from_secs(9), 2000) }
    }

    #[test]
    fn a_row_passes_if_every_start_was_sent_once_in_time_and_not_before() {
        assert!(row(2000, 0, 0).passes());
        assert!(Row::took("installed", Duration::from_secs(9)).passes());
        for fails in [row(2001, 0, 0), row(30, 1, 0), row(30, 0, 1)] {
            assert!(!fails.passes(), "{fails:?}");
            assert!(fails.line().contains("FAILS"));
        }
    }

    #[test]
    fn after_a_death_what_was_due_before_is_late_from_then_on() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        for (due, started, death, late) in [
            (1000, 1040, None, 40),
            (1000, 1040, Some(5000), 40),
            (1000, 7000, Some(5000), 2000),
            (6000, 7000, Some(5000), 1000),
            (6000, 5900, Some(5000), -100),
        ] {
            assert_eq!(late_ms(at(due), at(started), death.map(at)), late, "{due} {started} {death:?}");
        }
    }

    #[test]
    fn the_report_says_what_the_table_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/report.json");
        assert!(!publish(&[row(30, 0, 0), row(2001, 0, 0)], &path).unwrap());
        let report: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!((&report["pass"], &report["rows"][0]["pass"]), (&json!(false), &json!(true)));
        assert_eq!(report["rows"][1]["starts"]["late_max_ms"], 2001);
    }
}
