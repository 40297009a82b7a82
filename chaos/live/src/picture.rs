//! The distribution of failover times as an SVG: one strip per kind, each dot a failover, time on a
//! logarithmic axis, the bound as a line.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::{
    kinds::Kind,
    tally::{Tally, percentile},
};

const LEFT: f64 = 170.0;
const WIDTH: f64 = 640.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 48.0;
const STRIP: f64 = 30.0;
/// The axis, in powers of ten of a second: 10 ms to 100 s.
const POWERS: (f64, f64) = (-2.0, 2.0);
const TICKS: [(f64, &str); 5] =
    [(0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s"), (100.0, "100 s")];
/// Greys and colours of middle lightness: readable on white and on black.
const STYLE: &str = "text{font:12px sans-serif;fill:#808080}.axis{stroke:#808080;stroke-opacity:.3}\
.dot{fill:#3b82c4;fill-opacity:.45}.mark{stroke:#3b82c4;stroke-width:2}.bound{stroke:#d9534f;stroke-width:2}";

/// Draws it.
pub(crate) fn draw(tallies: &BTreeMap<Kind, Tally>) -> String {
    let shown: Vec<_> = tallies.iter().filter(|(_, tally)| !tally.failovers.is_empty()).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few kinds")]
    let height = TOP + STRIP * shown.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {height:.0}\" role=\"img\">\n\
         <title>Time from a fault to the first call of the new owner</title>\n<style>{STYLE}</style>\n",
        LEFT + WIDTH + RIGHT
    );
    for (seconds, name) in TICKS {
        let x = x(Duration::from_secs_f64(seconds));
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{:.0}\" x2=\"{x:.1}\" y2=\"{:.0}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
            TOP - 12.0,
            height - 16.0,
            TOP - 20.0
        );
    }
    let mut y = TOP;
    for (kind, tally) in shown {
        strip(&mut svg, *kind, tally, y);
        y += STRIP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn strip(svg: &mut String, kind: Kind, tally: &Tally, y: f64) {
    let (upper, lower, middle) = (y + 3.0, y + STRIP - 5.0, y + STRIP / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{kind}</text>",
        LEFT - 12.0,
        middle + 4.0
    );
    for (index, time) in tally.failovers.iter().enumerate() {
        // Dots of one time lie beside each other: a low-discrepancy sequence, so that the picture is stable.
        #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
        let spread = (index as f64 * 0.618_034).fract() - 0.5;
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
            x(*time),
            middle + spread * (STRIP - 14.0)
        );
    }
    let mut mark = |class: &str, time: Duration| {
        let x = x(time);
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{upper:.0}\" x2=\"{x:.1}\" y2=\"{lower:.0}\"/>"
        );
    };
    let (half, most) = (percentile(&tally.failovers, 0.5), percentile(&tally.failovers, 0.99));
    half.into_iter().chain(most).for_each(|time| mark("mark", time));
    kind.bound().into_iter().for_each(|bound| mark("bound", bound));
    let text =
        |time: Option<Duration>| time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()));
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\">p50 {} p99 {} s</text>",
        LEFT + WIDTH + 12.0,
        middle + 4.0,
        text(half),
        text(most)
    );
}

/// Where a time is on the axis; what is beyond its ends stands at them.
fn x(time: Duration) -> f64 {
    let power = time.as_secs_f64().max(1e-9).log10().clamp(POWERS.0, POWERS.1);
    LEFT + WIDTH * (power - POWERS.0) / (POWERS.1 - POWERS.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_with_times_has_a_strip_with_its_dots_and_its_bound() {
        let failovers = [300, 400].map(Duration::from_millis).to_vec();
        let tallies = [
            (Kind::Graceful, Tally { n: 2, failovers, ..Tally::default() }),
            (Kind::WatchStall, Tally { n: 2, ..Tally::default() }),
        ];
        let svg = draw(&tallies.into());
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("class=\"bound\"").count(), 1);
        assert!(svg.contains("graceful") && !svg.contains("watch-stall"));
    }

    #[test]
    fn times_stand_in_order_and_within_the_picture() {
        let xs = [0, 10, 1_000, 16_500, 1_000_000].map(|ms| x(Duration::from_millis(ms)));
        assert!(xs.is_sorted());
        assert_eq!((xs[0], xs[4]), (LEFT, LEFT + WIDTH));
    }
}
