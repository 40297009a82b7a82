//! Distributions of times: a strip for each series, a dot for each sample, time on a logarithmic axis.

use super::{
    canvas::Picture,
    labels::{Anchor, LABEL, text_width},
};

/// The width of the axis, and the height of a strip.
const WIDTH: f64 = 500.0;
const STRIP: f64 = 30.0;
/// The distance between the axis and the labels beside it.
const GAP: f64 = 10.0;
/// The largest number of dots of a strip. More dots look the same.
const DOTS_MAX: usize = 1000;
/// The longest axis, in powers of ten of a millisecond: 1 ms to 1,000 s.
const LONGEST: (i32, i32) = (0, 6);
const POWERS: [&str; 7] = ["1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s"];

/// A series.
#[derive(Clone, Debug)]
pub struct Strip {
    /// The text to the left of the strip.
    pub name: String,
    /// The samples, sorted, in milliseconds.
    pub samples: Vec<f64>,
    /// The median and the 99th percentile, if there are samples.
    pub marks: Vec<f64>,
    /// The promised bound.
    pub bound: Option<f64>,
    /// The text to the right of the strip.
    pub note: String,
}

/// Several series, one below the other.
#[derive(Clone, Debug)]
pub struct Strips<'a> {
    /// The title.
    pub title: &'a str,
    /// The name of a series, for the legend.
    pub series: &'a str,
    /// The name of a sample, for the legend.
    pub sample: &'a str,
    /// The label of the axis.
    pub axis: &'a str,
    /// The strips, in the order in which they are drawn.
    pub strips: Vec<Strip>,
}

impl Strips<'_> {
    /// Draws the strips.
    pub fn draw(&self) -> String {
        let mut picture = Picture::default();
        let axis = Axis::of(&self.strips);
        #[allow(clippy::cast_precision_loss, reason = "a few strips")]
        let bottom = STRIP * self.strips.len() as f64;
        self.legend(&mut picture);
        picture.label((-GAP, -GAP), Anchor::End, self.series);
        for power in axis.first..=axis.last {
            let x = axis.x(10_f64.powi(power));
            picture.line("grid", (x, 0.0), (x, bottom));
            picture.label((x, bottom + 20.0), Anchor::Middle, &axis.name(power));
        }
        picture.line("axis", (0.0, bottom), (WIDTH, bottom));
        let name = format!("{} (logarithmic)", self.axis);
        picture.label((WIDTH / 2.0, bottom + 42.0), Anchor::Middle, &name);
        let mut top = 0.0;
        for strip in &self.strips {
            strip.draw(&mut picture, &axis, top);
            top += STRIP;
        }
        picture.finish(self.title)
    }

    fn legend(&self, picture: &mut Picture) {
        let y = -GAP - 26.0;
        let mut x = 0.0;
        let name = |picture: &mut Picture, x: &mut f64, text: &str| {
            picture.label((*x + 9.0, y), Anchor::Start, text);
            *x += text_width(text, LABEL) + 36.0;
        };
        picture.dot("faint", (x, y - 4.0), 2.5);
        name(picture, &mut x, self.sample);
        picture.line("mark", (x, y - 11.0), (x, y + 2.0));
        name(picture, &mut x, "p50 and p99");
        if self.strips.iter().any(|strip| strip.bound.is_some()) {
            picture.line("bound", (x, y - 11.0), (x, y + 2.0));
            name(picture, &mut x, "promised at p99");
        }
    }
}

impl Strip {
    fn draw(&self, picture: &mut Picture, axis: &Axis, top: f64) {
        let (upper, lower, middle) = (top + 4.0, top + STRIP - 4.0, top + STRIP / 2.0);
        picture.label((-GAP, middle + 4.0), Anchor::End, &self.name);
        picture.label((WIDTH + GAP, middle + 4.0), Anchor::Start, &self.note);
        let step = self.samples.len().div_ceil(DOTS_MAX).max(1);
        for (index, ms) in self.samples.iter().step_by(step).enumerate() {
            // This is a low-discrepancy sequence. Dots of one time are beside each other, and the picture is always the
            // same.
            #[allow(clippy::cast_precision_loss, reason = "a thousand")]
            let spread = (index as f64 * 0.618_034).fract() - 0.5;
            picture.dot("faint", (axis.x(*ms), middle + spread * (STRIP - 12.0)), 2.5);
        }
        for ms in &self.marks {
            picture.line("mark", (axis.x(*ms), upper), (axis.x(*ms), lower));
        }
        if let Some(ms) = self.bound {
            picture.line("bound", (axis.x(ms), upper), (axis.x(ms), lower));
        }
    }
}

/// The axis of time. It has as many whole powers of ten as the samples and the bounds need.
struct Axis {
    first: i32,
    last: i32,
    /// Whether there are times beyond each end. They are drawn at the end.
    beyond: (bool, bool),
}

impl Axis {
    fn of(strips: &[Strip]) -> Self {
        let times = || strips.iter().flat_map(|strip| strip.samples.iter().copied().chain(strip.bound));
        let (lowest, highest) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
        let (shortest, longest) = (10_f64.powi(LONGEST.0), 10_f64.powi(LONGEST.1));
        #[allow(clippy::cast_possible_truncation, reason = "powers of ten between the ends")]
        let power = |ms: f64, round: fn(f64) -> f64| round(ms.clamp(shortest, longest).log10()) as i32;
        let last = power(highest, f64::ceil).max(LONGEST.0 + 1);
        let first = power(lowest, f64::floor).min(last - 1);
        Self { first, last, beyond: (lowest < shortest, highest > longest) }
    }

    fn name(&self, power: i32) -> String {
        let name = usize::try_from(power - LONGEST.0).ok().and_then(|index| POWERS.get(index));
        let sign = match self.beyond {
            (true, _) if power == self.first => "≤ ",
            (_, true) if power == self.last => "≥ ",
            _ => "",
        };
        format!("{sign}{}", name.unwrap_or(&""))
    }

    /// The position of a time.
    fn x(&self, ms: f64) -> f64 {
        let (first, last) = (f64::from(self.first), f64::from(self.last));
        WIDTH * (ms.max(1e-9).log10().clamp(first, last) - first) / (last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::labels::misplaced, *};

    fn strip(name: &str, samples: &[f64], bound: Option<f64>) -> Strip {
        let marks = samples.iter().copied().take(2).collect();
        Strip { name: name.into(), samples: samples.into(), marks, bound, note: "p50 1 ms, n 3".into() }
    }

    fn strips(strips: Vec<Strip>) -> String {
        Strips { title: "Times", series: "kind", sample: "a sample", axis: "time", strips }.draw()
    }

    #[test]
    fn each_series_has_a_strip_with_its_dots_its_marks_and_its_bound() {
        // given two series, one of which has no samples
        let (some, none) = (strip("some", &[1.0, 10.0, 100.0], Some(500.0)), strip("none", &[], None));
        // when they are drawn
        let svg = strips(vec![some, none]);
        // then the dots, marks and bounds are theirs and one of each is the legend's
        let count = |what: &str| svg.matches(what).count();
        assert_eq!((count("<circle"), count("class=\"mark\""), count("class=\"bound\"")), (4, 3, 2));
        assert!(svg.contains(">some</text>") && svg.contains(">none</text>"));
        assert!(svg.contains(">kind</text>") && svg.contains(">time (logarithmic)</text>"));
    }

    #[test]
    fn labels_fit_into_the_picture_however_long_they_are() {
        let long = "a_scenario_with_a_long_name: and a series of it with a longer one still";
        let mut all: Vec<Strip> = (0..18).map(|_| strip(long, &[0.1, 10.0, 1e7], Some(16_500.0))).collect();
        if let Some(last) = all.last_mut() {
            last.note = "a note that is much longer than those of the others".into();
        }
        assert_eq!(misplaced(&strips(all)), Vec::<String>::new());
    }

    #[test]
    fn times_stand_in_order_and_those_beyond_the_axis_at_its_ends() {
        // given times of which some are too short and some too long for the axis
        let times = [-5.0, 0.5, 1.0, 30.0, 1e6, 1e9];
        let axis = Axis::of(&[strip("a", &times, None)]);
        // when they are placed
        let xs = times.map(|ms| axis.x(ms));
        // then they are in order, and the ends of the axis say that there are more
        assert!(xs.is_sorted());
        assert!(xs[0].abs() < 1e-9 && (xs[5] - WIDTH).abs() < 1e-9, "{xs:?}");
        assert_eq!((axis.name(0), axis.name(6)), ("≤ 1 ms".to_owned(), "≥ 1000 s".to_owned()));
    }

    #[test]
    fn the_axis_is_as_long_as_its_times_need() {
        for (times, ends) in [
            (vec![23.0, 5800.0], (1, 4)),
            (vec![100.0, 100.0], (1, 2)),
            (vec![0.0], (0, 1)),
            (vec![], (0, 1)),
            (vec![1e7], (5, 6)),
        ] {
            let axis = Axis::of(&[strip("a", &times, None)]);
            assert_eq!((axis.first, axis.last), ends, "{times:?}");
        }
    }
}
