//! The results: report.json, a table, a picture, and a comparison of two reports.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::{
    Failure,
    args::{Args, Scenario},
    picture,
};

/// A figure with its bound.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: f64,
    /// The figure may be at most this, or at least this if `at_least` is true.
    pub(crate) bound: Option<f64>,
    pub(crate) at_least: bool,
}

impl Figure {
    /// A figure without a bound.
    pub(crate) fn told(name: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self { name: name.into(), value, bound: None, at_least: false }
    }

    /// A figure that may be at most `bound`.
    pub(crate) fn at_most(name: impl Into<Cow<'static, str>>, value: f64, bound: f64) -> Self {
        Self { name: name.into(), value, bound: Some(bound), at_least: false }
    }

    /// A figure that must be at least `bound`.
    pub(crate) fn at_least(name: impl Into<Cow<'static, str>>, value: f64, bound: f64) -> Self {
        Self { at_least: true, ..Self::at_most(name, value, bound) }
    }

    /// Whether the figure is within its bound. A figure that could not be measured is not.
    pub(crate) fn passes(&self) -> bool {
        match self.bound {
            None => true,
            Some(bound) if self.at_least => self.value >= bound,
            Some(bound) => self.value <= bound,
        }
    }
}

/// The result of a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<Figure>,
    /// More facts, for people who want them.
    pub(crate) details: Map<String, Value>,
    /// Sorted samples, for the picture.
    pub(crate) samples: BTreeMap<&'static str, Vec<f64>>,
}

impl Outcome {
    /// Whether all figures are within their bounds.
    pub(crate) fn passes(&self) -> bool {
        self.figures.iter().all(Figure::passes)
    }

    /// The figures in a line.
    pub(crate) fn line(&self) -> String {
        let figures: Vec<String> =
            self.figures.iter().map(|figure| format!("{} {:.3}", figure.name, figure.value)).collect();
        format!("   {}: {}", if self.passes() { "pass" } else { "FAIL" }, figures.join(", "))
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.name.to_string(), json!(figure.value))).collect();
        let bounds: Map<String, Value> = self
            .figures
            .iter()
            .filter_map(|figure| {
                let bound = figure.bound?;
                let word = if figure.at_least { "at_least" } else { "at_most" };
                Some((figure.name.to_string(), json!({ word: bound })))
            })
            .collect();
        let mut whole =
            Map::from_iter([("pass".to_owned(), json!(self.passes())), ("bounds".to_owned(), bounds.into())]);
        whole.extend(figures);
        whole.extend(self.details.clone());
        whole.into()
    }
}

/// The result of a run.
pub(crate) struct Report {
    head: Value,
    /// Whether the run had the full numbers.
    full: bool,
    outcomes: Vec<(Scenario, Outcome)>,
}

impl Report {
    pub(crate) fn new(args: &Args) -> Self {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let head = json!({
            "quick": args.quick,
            "replicas": args.replicas,
            "processors": processors,
            "begun": jiff::Timestamp::now().to_string(),
        });
        Self { head, full: args.is_full(), outcomes: Vec::new() }
    }

    pub(crate) fn add(&mut self, scenario: Scenario, outcome: Outcome) {
        self.outcomes.push((scenario, outcome));
    }

    pub(crate) fn passes(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| outcome.passes())
    }

    /// The name of the picture. Only a full run of all scenarios may replace the picture of such a run.
    pub(crate) fn picture(&self) -> &'static str {
        let measured = |wanted: &Scenario| self.outcomes.iter().any(|(scenario, _)| scenario == wanted);
        let whole = self.full && Scenario::value_variants().iter().all(measured);
        if whole { picture::WHOLE } else { picture::PARTIAL }
    }

    /// Writes report.json and the picture.
    pub(crate) fn write(&self, out: &Path) -> Result<(), Failure> {
        let mut whole = Map::from_iter([("run".to_owned(), self.head.clone())]);
        for (scenario, outcome) in &self.outcomes {
            let mut told = outcome.json();
            if let Some(told) = told.as_object_mut() {
                told.insert("time".to_owned(), json!(scenario.time()));
            }
            whole.insert(scenario.name().to_owned(), told);
        }
        std::fs::write(out.join("report.json"), serde_json::to_string_pretty(&Value::from(whole))? + "\n")?;
        let strips = self.outcomes.iter().flat_map(|(scenario, outcome)| {
            outcome
                .samples
                .iter()
                .map(move |(name, samples)| (format!("{scenario}: {name}"), samples.as_slice()))
        });
        std::fs::write(out.join(self.picture()), picture::draw(strips))?;
        Ok(())
    }

    /// The figures, their bounds, and whether they are within.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{:<14}{:<34}{:>14}{:>14}", "scenario", "figure", "value", "bound")];
        for (scenario, outcome) in &self.outcomes {
            for figure in &outcome.figures {
                let bound = figure.bound.map_or_else(String::new, |bound| format!("{bound:.2}"));
                let verdict = if figure.passes() { "" } else { "  FAIL" };
                lines.push(format!(
                    "{:<14}{:<34}{:>14.3}{bound:>14}{verdict}",
                    scenario.name(),
                    figure.name,
                    figure.value
                ));
            }
        }
        lines.join("\n")
    }
}

/// The figures of two reports side by side, and the ratio of the second to the first.
pub(crate) fn compare(before: &Path, after: &Path) -> Result<String, Failure> {
    let read = |path: &Path| -> Result<Value, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    };
    let (before, after) = (read(before)?, read(after)?);
    let mut lines =
        vec![format!("{:<14}{:<34}{:>14}{:>14}{:>9}", "scenario", "figure", "before", "after", "ratio")];
    for (scenario, figures) in before.as_object().into_iter().flatten() {
        for (name, old) in figures.as_object().into_iter().flatten() {
            let new = after.get(scenario).and_then(|figures| figures.get(name)).and_then(Value::as_f64);
            if let (Some(old), Some(new), true) = (old.as_f64(), new, scenario != "run") {
                lines.push(format!("{scenario:<14}{name:<34}{old:>14.3}{new:>14.3}{:>9.2}", new / old));
            }
        }
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn only_a_whole_run_replaces_the_picture_of_a_whole_run() {
        // given runs of everything, of less, and of other numbers
        for (line, picture) in [
            ("loadtest", "report.svg"),
            ("loadtest --quick", "report-partial.svg"),
            ("loadtest --scenario=due_at_once,steady", "report-partial.svg"),
            ("loadtest --due=10", "report-partial.svg"),
            ("loadtest --operator-command=other", "report-partial.svg"),
        ] {
            let args = Args::parse_from(line.split(' '));
            let mut report = Report::new(&args);
            // when all its scenarios but the last are measured, then its picture is not a whole one
            for scenario in args.scenarios() {
                assert_eq!(report.picture(), "report-partial.svg", "{line}");
                report.add(scenario, Outcome::default());
            }
            // when the last one is measured too, then a run of everything has a whole one
            assert_eq!(report.picture(), picture, "{line}");
        }
    }

    #[test]
    fn what_is_beyond_its_bound_or_cannot_be_told_does_not_pass() {
        for (figure, passes) in [
            (Figure::at_most("x", 1.0, 1.0), true),
            (Figure::at_most("x", 1.1, 1.0), false),
            (Figure::at_most("x", f64::NAN, 1.0), false),
            (Figure::at_least("x", 0.9, 0.85), true),
            (Figure::at_least("x", 0.8, 0.85), false),
            (Figure::told("x", 1e9), true),
        ] {
            assert_eq!(figure.passes(), passes, "{figure:?}");
            let outcome = Outcome { figures: vec![figure], ..Outcome::default() };
            assert_eq!(outcome.json()["pass"], json!(passes));
        }
    }
}
