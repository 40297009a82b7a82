//! Distributions as an SVG: one strip for each series, each dot a sample, milliseconds on a logarithmic axis.

use std::fmt::Write;

use crate::calls::percentile;

const LEFT: f64 = 220.0;
const WIDTH: f64 = 620.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 48.0;
const STRIP: f64 = 34.0;
/// The axis, in powers of ten of a millisecond: 1 ms to 1,000 s.
const POWERS: (f64, f64) = (0.0, 6.0);
const TICKS: [(f64, &str); 7] = [
    (1.0, "1 ms"),
    (10.0, "10 ms"),
    (100.0, "100 ms"),
    (1e3, "1 s"),
    (1e4, "10 s"),
    (1e5, "100 s"),
    (1e6, "1000 s"),
];
/// Dots of a strip at most: more look the same.
const DOTS_MAX: usize = 1000;
/// Greys and colours of middle lightness: readable on white and on black.
const STYLE: &str = "text{font:12px sans-serif;fill:#808080}.axis{stroke:#808080;stroke-opacity:.3}\
.dot{fill:#3b82c4;fill-opacity:.45}.mark{stroke:#d9534f;stroke-width:2}";

/// The head of a picture of a width and a height; `</svg>` ends it.
pub(crate) fn begin(title: &str, (width, height): (f64, f64), style: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{style}</style>\n"
    )
}

/// Draws sorted samples in milliseconds.
pub(crate) fn draw<'a>(strips: impl Iterator<Item = (String, &'a [f64])>) -> String {
    let strips: Vec<_> = strips.filter(|(_, samples)| !samples.is_empty()).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few strips")]
    let height = TOP + STRIP * strips.len() as f64 + 16.0;
    let mut svg = begin("Times under load, in milliseconds", (LEFT + WIDTH + RIGHT, height), STYLE);
    for (ms, name) in TICKS {
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{0:.1}\" y1=\"{1:.0}\" x2=\"{0:.1}\" y2=\"{2:.0}\"/>\
             <text x=\"{0:.1}\" y=\"{3:.0}\" text-anchor=\"middle\">{name}</text>",
            x(ms),
            TOP - 12.0,
            height - 16.0,
            TOP - 20.0
        );
    }
    let mut y = TOP;
    for (name, samples) in strips {
        strip(&mut svg, &name, samples, y);
        y += STRIP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn strip(svg: &mut String, name: &str, samples: &[f64], y: f64) {
    let middle = y + STRIP / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{name}</text>",
        LEFT - 12.0,
        middle + 4.0
    );
    for (index, ms) in samples.iter().step_by(samples.len().div_ceil(DOTS_MAX)).enumerate() {
        // A low-discrepancy sequence: dots of one time lie beside each other, and the picture is stable.
        #[allow(clippy::cast_precision_loss, reason = "a thousand")]
        let spread = (index as f64 * 0.618_034).fract() - 0.5;
        let at = middle + spread * (STRIP - 12.0);
        let _ = writeln!(svg, "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{at:.1}\" r=\"2\"/>", x(*ms));
    }
    let (half, most) = (percentile(samples, 0.5), percentile(samples, 0.99));
    for ms in [half, most] {
        let _ = writeln!(
            svg,
            "<line class=\"mark\" x1=\"{0:.1}\" y1=\"{1:.0}\" x2=\"{0:.1}\" y2=\"{2:.0}\"/>",
            x(ms),
            y + 3.0,
            y + STRIP - 3.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\">p50 {half:.0} p99 {most:.0} ms, n {}</text>",
        LEFT + WIDTH + 12.0,
        middle + 4.0,
        samples.len()
    );
}

/// Where a time is on the axis; what is beyond its ends stands at them.
fn x(ms: f64) -> f64 {
    let power = ms.max(1e-9).log10().clamp(POWERS.0, POWERS.1);
    LEFT + WIDTH * (power - POWERS.0) / (POWERS.1 - POWERS.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_a_strip_with_its_dots() {
        let strips = [("a".to_owned(), &[1.0, 10.0, 100.0][..]), ("none".to_owned(), &[][..])];
        let svg = draw(strips.into_iter());
        assert_eq!((svg.matches("<circle").count(), svg.matches("class=\"mark\"").count()), (3, 2));
        assert!(svg.contains(">a</text>") && !svg.contains(">none</text>"));
    }

    #[test]
    fn times_stand_in_order_and_within_the_picture() {
        let xs = [-5.0, 1.0, 30.0, 1e6, 1e9].map(x);
        assert!(xs.is_sorted());
        assert!((xs[0] - LEFT).abs() < 1e-9 && (xs[4] - LEFT - WIDTH).abs() < 1e-9);
    }
}
