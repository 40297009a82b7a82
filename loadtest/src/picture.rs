//! Draws how late each start and stop was: a strip for each series of a scenario.

use testbed::picture::{Strip, Strips};

use crate::calls::percentile;

/// The picture of a full run. It goes into the docs.
pub(crate) const WHOLE: &str = "report.svg";
/// The picture of any other run. It shows only what that run measured.
pub(crate) const PARTIAL: &str = "report-partial.svg";

/// Draws sorted samples in milliseconds.
pub(crate) fn draw<'a>(series: impl Iterator<Item = (String, &'a [f64])>) -> String {
    let strips = series.filter(|(_, samples)| !samples.is_empty()).map(|(name, samples)| {
        let (half, most) = (percentile(samples, 0.5), percentile(samples, 0.99));
        let note = format!("p50 {half:.0} ms, p99 {most:.0} ms, n {}", samples.len());
        Strip { name, samples: samples.to_vec(), marks: vec![half, most], bound: None, note }
    });
    Strips {
        title: "How late machines are started under load (make loadtest)",
        series: "scenario: series",
        sample: "one machine",
        axis: "time from a booking's start_at to the StartInstances call",
        strips: strips.collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use testbed::picture::misplaced;

    use super::*;

    #[test]
    fn each_series_with_samples_has_a_strip_whose_labels_fit() {
        // given the longest names that there are, and a series without samples
        let samples = [1.0, 83.2, 999_999.4];
        let names = ["due_at_once: start call after start_at", "isolation: beside a slow one"];
        let none: &[f64] = &[];
        let series = names.map(|name| (name.to_owned(), &samples[..]));
        // when they are drawn
        let svg = draw(series.into_iter().chain([("none".to_owned(), none)]));
        // then each has its label and its figures, and none is cut off
        assert_eq!(misplaced(&svg), Vec::<String>::new());
        assert!(names.iter().all(|name| svg.contains(&format!(">{name}</text>"))) && !svg.contains(">none<"));
        assert_eq!(svg.matches(">p50 83 ms, p99 999999 ms, n 3</text>").count(), 2);
    }
}
