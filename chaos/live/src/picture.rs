//! Draws the times from a fault to the new owner as an SVG: a strip for each kind of fault.
//!
//! It is drawn from the report. A run replaces only the kinds of faults that it caused. So a run of some kinds changes
//! their strips, and the strips of the other kinds stay as an earlier run drew them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use testbed::picture::{Strip, Strips};

use crate::kinds::Kind;

/// The picture of all kinds. It goes into the docs.
const WHOLE: &str = "failover.svg";
/// The picture if no run has caused some of the kinds yet.
const PARTIAL: &str = "failover-partial.svg";

/// Draws the report's part about live processes, into the report's directory. Returns the picture's path. Only a
/// picture of all kinds of faults replaces a picture of all kinds.
///
/// # Errors
/// If the file system fails, or the report is not JSON.
pub(crate) fn write(report: &Path) -> io::Result<PathBuf> {
    let facts: Value = serde_json::from_slice(&fs::read(report)?)?;
    let strips: Vec<Strip> = Kind::ALL.into_iter().filter_map(|kind| strip(&facts, kind)).collect();
    let name = if strips.len() == Kind::ALL.len() { WHOLE } else { PARTIAL };
    let path = report.with_file_name(name);
    fs::write(&path, draw(strips))?;
    Ok(path)
}

fn draw(strips: Vec<Strip>) -> String {
    Strips {
        title: "Failover by kind of fault (make chaos)",
        series: "kind of fault",
        sample: "one failover",
        axis: "time from the fault to the new owner's first call",
        strips,
    }
    .draw()
}

/// The strip of a kind, if a run has caused it.
fn strip(report: &Value, kind: Kind) -> Option<Strip> {
    let part = report.get("live")?.get(kind.name())?;
    let samples = part.get("failovers_ms")?.as_array()?.iter().filter_map(Value::as_f64).collect();
    let ms = |name: &str| part.get("failover_ms")?.get(name)?.as_f64();
    let n = part.get("n").and_then(Value::as_u64).unwrap_or_default();
    let note = match (ms("p50"), ms("p99")) {
        (Some(half), Some(most)) => {
            format!("p50 {:.2} s, p99 {:.2} s, n {n}", half / 1000.0, most / 1000.0)
        }
        // Under such a fault nobody need take over.
        _ => format!("no time measured, n {n}"),
    };
    let marks = [ms("p50"), ms("p99")].into_iter().flatten().collect();
    let bound = part.get("bound_ms").and_then(Value::as_f64);
    Some(Strip { name: kind.name().to_owned(), samples, marks, bound, note })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use chaos::report::merge_part;
    use testbed::picture::misplaced;

    use super::*;
    use crate::tally::{Tally, entries};

    /// Writes a run of these kinds into a report, each with a fail-over of this length. Returns the picture's name and
    /// content.
    fn run(directory: &Path, kinds: &[Kind], ms: u64) -> (String, String) {
        let tally = |kind: &Kind| {
            (*kind, Tally { n: 1, failovers: vec![Duration::from_millis(ms)], ..Tally::default() })
        };
        let tallies: BTreeMap<Kind, Tally> = kinds.iter().map(tally).collect();
        let report = directory.join("report.json");
        merge_part(&report, "live", entries(&tallies)).unwrap();
        let path = write(&report).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    }

    #[test]
    fn a_run_of_some_kinds_leaves_the_strips_of_the_others_as_they_were() {
        // given a picture of all kinds of faults
        let directory = tempfile::tempdir().unwrap();
        let (name, svg) = run(directory.path(), &Kind::ALL, 12_000);
        assert_eq!(name, "failover.svg");
        assert_eq!(svg.matches(">p50 12.00 s, p99 12.00 s, n 1<").count(), Kind::ALL.len());
        // when some of them are brought about again
        let (name, svg) = run(directory.path(), &[Kind::Proof, Kind::ApiOutage], 300);
        // then the picture shows those anew, and all others still
        assert_eq!(name, "failover.svg");
        assert_eq!(svg.matches(">p50 0.30 s, p99 0.30 s, n 1<").count(), 2);
        assert_eq!(svg.matches(">p50 12.00 s, p99 12.00 s, n 1<").count(), Kind::ALL.len() - 2);
    }

    #[test]
    fn a_picture_of_some_kinds_does_not_replace_one_of_all() {
        // given a picture of all kinds, whose report is lost
        let directory = tempfile::tempdir().unwrap();
        let (_, whole) = run(directory.path(), &Kind::ALL, 12_000);
        fs::remove_file(directory.path().join("report.json")).unwrap();
        // when one kind is brought about
        let (name, partial) = run(directory.path(), &[Kind::Sigkill], 300);
        // then that has a picture of its own
        assert_eq!(name, "failover-partial.svg");
        assert!(partial.contains(">sigkill<") && !partial.contains(">proof<"));
        assert_eq!(fs::read_to_string(directory.path().join("failover.svg")).unwrap(), whole);
    }

    #[test]
    fn each_kind_has_its_label_its_times_and_its_bound_and_none_is_cut_off() {
        // given all kinds, some of which have no times
        let failovers = vec![Duration::ZERO, Duration::from_millis(15_130), Duration::from_secs(2_000)];
        let tally = |kind: Kind| {
            let some = !matches!(kind, Kind::Slow | Kind::WatchStall);
            let failovers = if some { failovers.clone() } else { Vec::new() };
            (kind, Tally { n: 40, failovers, ..Tally::default() })
        };
        let directory = tempfile::tempdir().unwrap();
        let report = directory.path().join("report.json");
        merge_part(&report, "live", entries(&Kind::ALL.map(tally).into())).unwrap();
        // when they are drawn
        let svg = fs::read_to_string(write(&report).unwrap()).unwrap();
        // then nothing is missing
        assert_eq!(misplaced(&svg), Vec::<String>::new());
        assert!(Kind::ALL.iter().all(|kind| svg.contains(&format!(">{kind}</text>"))));
        assert_eq!(svg.matches(">no time measured, n 40<").count(), 2);
        // and beside the legend's there is a bound for each kind that has one
        let bounds = Kind::ALL.iter().filter(|kind| kind.bound().is_some()).count();
        assert_eq!(svg.matches("class=\"bound\"").count(), bounds + 1);
    }
}
