//! How cost grows: the same measured at several sizes, drawn as curves.

use std::{fmt::Write, time::Duration};

use serde_json::json;

use crate::{
    Failure,
    args::Args,
    picture::begin,
    scenarios::{memory, scaleout},
};

/// Bookings, on so many Resources.
const BOOKINGS: [usize; 3] = [1000, 10_000, 100_000];
const RESOURCES_OF_BOOKINGS: usize = 1000;
/// Resources, with so many Bookings.
const RESOURCES: [usize; 3] = [100, 1000, 10_000];
const BOOKINGS_OF_RESOURCES: usize = 10_000;
const REPLICAS: [u8; 3] = [1, 3, 5];
/// How long each is let come to rest, twice.
const SETTLES: Duration = Duration::from_secs(20);
/// How long it is looked at then: looks at all groups come once a minute.
const RESTS: Duration = Duration::from_mins(1);
const CHANGES: usize = 2000;

/// A curve.
struct Curve {
    /// What grows.
    of: &'static str,
    /// What is measured, with its unit.
    what: &'static str,
    points: Vec<(f64, f64)>,
}

/// Measures all, and writes growth.json and growth.svg.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut curves = Vec::new();
    let mut add = |of, what, points: Vec<(f64, f64)>| curves.push(Curve { of, what, points });
    let cost = |sizes: Vec<(usize, usize, usize)>| async move {
        let mut all = Vec::new();
        for (size, bookings, resources) in sizes {
            println!("== {bookings} bookings, {resources} resources");
            let cost = memory::measure(args, bookings, resources, (SETTLES, RESTS)).await?;
            #[allow(clippy::cast_precision_loss, reason = "objects are fewer")]
            all.push((size as f64, cost));
        }
        Ok::<_, Failure>(all)
    };
    let of = |all: &[(f64, memory::Cost)], what: fn(&memory::Cost) -> f64| {
        all.iter().map(|(size, cost)| (*size, what(cost))).collect::<Vec<_>>()
    };
    let by_bookings = cost(BOOKINGS.map(|n| (n, n, RESOURCES_OF_BOOKINGS)).to_vec()).await?;
    add("bookings", "memory, MiB", of(&by_bookings, |cost| cost.resident.1));
    add("bookings", "restart to ready, s", of(&by_bookings, |cost| cost.ready));
    let by_resources = cost(RESOURCES.map(|n| (n, BOOKINGS_OF_RESOURCES, n)).to_vec()).await?;
    add("resources", "memory, MiB", of(&by_resources, |cost| cost.resident.1));
    add("resources", "cloud calls at rest, 1/s", of(&by_resources, |cost| cost.calls_per_s));
    add("resources", "processor at rest, ms/s", of(&by_resources, |cost| cost.processor));
    let (mut busiest, mut all) = (Vec::new(), Vec::new());
    for replicas in REPLICAS {
        println!("== churn on {replicas} replicas");
        let work = scaleout::measure(args, replicas, CHANGES).await?;
        #[allow(clippy::cast_precision_loss, reason = "some thousand changes")]
        let each = |ms: f64| ms / CHANGES as f64;
        busiest.push((f64::from(replicas), each(work.iter().map(|it| it.churn).fold(0.0, f64::max))));
        all.push((f64::from(replicas), each(work.iter().map(|it| it.churn).sum())));
    }
    add("replicas", "busiest processor, ms per change", busiest);
    add("replicas", "all processors, ms per change", all);
    for Curve { of, what, points } in &curves {
        let points: Vec<String> =
            points.iter().map(|(size, value)| format!("{size:.0}: {value:.2}")).collect();
        println!("{of:<10} {what:<46} {}", points.join("   "));
    }
    let told = |curve: &Curve| json!({ "of": curve.of, "what": curve.what, "points": curve.points });
    let all: Vec<_> = curves.iter().map(told).collect();
    std::fs::write(args.out.join("growth.json"), serde_json::to_string_pretty(&all)? + "\n")?;
    std::fs::write(args.out.join("growth.svg"), draw(&curves))?;
    println!("written: {}", args.out.join("growth.svg").display());
    Ok(())
}

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 190.0;
const COLUMNS: usize = 3;
/// From the edge of a panel to its axes.
const MARGIN: f64 = 46.0;
/// Greys and colours of middle lightness: readable on white and on black.
const STYLE: &str = "text{font:11px sans-serif;fill:#808080}.axis{stroke:#808080;stroke-opacity:.5}\
.curve{fill:none;stroke:#3b82c4;stroke-width:2}.dot{fill:#3b82c4}";

/// A panel for each curve: sizes on a logarithmic axis, values from zero.
fn draw(curves: &[Curve]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a few panels")]
    let float = |number: usize| number as f64;
    let rows = curves.len().div_ceil(COLUMNS);
    let mut svg = begin("Cost by size", (WIDTH * float(COLUMNS), HEIGHT * float(rows)), STYLE);
    for (number, curve) in curves.iter().enumerate() {
        panel(&mut svg, curve, (WIDTH * float(number % COLUMNS), HEIGHT * float(number / COLUMNS)));
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, curve: &Curve, (left, top): (f64, f64)) {
    let logs = || curve.points.iter().map(|(size, _)| size.ln());
    let (least, most) = (logs().fold(f64::INFINITY, f64::min), logs().fold(f64::NEG_INFINITY, f64::max));
    let highest = curve.points.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let (wide, high) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let x = |size: f64| left + MARGIN + wide * (size.ln() - least) / (most - least).max(f64::MIN_POSITIVE);
    let y = |value: f64| top + MARGIN + high * (1.0 - value / highest);
    let (bottom, middle) = (top + MARGIN + high, left + WIDTH / 2.0);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\
         <text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\
         <line class=\"axis\" x1=\"{:.0}\" y1=\"{bottom:.0}\" x2=\"{:.0}\" y2=\"{bottom:.0}\"/>",
        top + 18.0,
        curve.what,
        bottom + 32.0,
        curve.of,
        left + MARGIN,
        left + MARGIN + wide
    );
    let path: Vec<String> =
        curve.points.iter().map(|(size, value)| format!("{:.1},{:.1}", x(*size), y(*value))).collect();
    let _ = writeln!(svg, "<polyline class=\"curve\" points=\"{}\"/>", path.join(" "));
    for (size, value) in &curve.points {
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{0:.1}\" cy=\"{1:.1}\" r=\"3\"/>\
             <text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>\
             <text x=\"{0:.1}\" y=\"{4:.0}\" text-anchor=\"middle\">{size:.0}</text>",
            x(*size),
            y(*value),
            y(*value) - 8.0,
            short(*value),
            bottom + 16.0
        );
    }
}

fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_curve_has_a_panel_with_its_points_in_order() {
        let curve = Curve { of: "bookings", what: "memory, MiB", points: vec![(10.0, 1.0), (1000.0, 50.0)] };
        let svg = draw(&[curve]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(
            svg.contains(">memory, MiB</text>") && svg.contains(">50</text>") && svg.contains(">1000</text>")
        );
        // the first at the left and low, the last at the right and high
        assert!(svg.contains("points=\"46.0,142.0 254.0,46.0\""), "{svg}");
    }
}
