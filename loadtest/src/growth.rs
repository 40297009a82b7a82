//! Measures how cost grows: the same figures at several sizes, drawn as curves.

use std::{iter, time::Duration};

use serde_json::json;
use testbed::picture::{Anchor, LABEL, Picture, Point, text_width};

use crate::{
    Failure,
    args::Args,
    scenarios::{memory, scaleout},
};

/// The numbers of Bookings, and the number of Resources.
const BOOKINGS: [usize; 3] = [1000, 10_000, 100_000];
const RESOURCES_OF_BOOKINGS: usize = 1000;
/// The numbers of Resources, and the number of Bookings.
const RESOURCES: [usize; 3] = [100, 1000, 10_000];
const BOOKINGS_OF_RESOURCES: usize = 10_000;
const REPLICAS: [u8; 3] = [1, 3, 5];
/// How long each size has to come to rest, twice.
const SETTLES: Duration = Duration::from_secs(20);
/// How long it is then measured. All groups are polled once in this time.
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
    add("Bookings, on 1,000 Resources", "memory of a replica, MiB", of(&by_bookings, |cost| cost.resident.1));
    add("Bookings, on 1,000 Resources", "from a restart until ready, s", of(&by_bookings, |cost| cost.ready));
    let by_resources = cost(RESOURCES.map(|n| (n, BOOKINGS_OF_RESOURCES, n)).to_vec()).await?;
    add(
        "Resources, with 10,000 Bookings",
        "memory of a replica, MiB",
        of(&by_resources, |cost| cost.resident.1),
    );
    add(
        "Resources, with 10,000 Bookings",
        "cloud calls at rest, per second",
        of(&by_resources, |cost| cost.calls_per_s),
    );
    add(
        "Resources, with 10,000 Bookings",
        "processor at rest, ms per second",
        of(&by_resources, |cost| cost.processor),
    );
    let (mut busiest, mut all) = (Vec::new(), Vec::new());
    for replicas in REPLICAS {
        println!("== churn on {replicas} replicas");
        let work = scaleout::measure(args, replicas, CHANGES).await?;
        #[allow(clippy::cast_precision_loss, reason = "some thousand changes")]
        let each = |ms: f64| ms / CHANGES as f64;
        busiest.push((f64::from(replicas), each(work.iter().map(|it| it.churn).fold(0.0, f64::max))));
        all.push((f64::from(replicas), each(work.iter().map(|it| it.churn).sum())));
    }
    add("replicas", "processor of the busiest, ms per change", busiest);
    add("replicas", "processor of all, ms per change", all);
    for Curve { of, what, points } in &curves {
        let points: Vec<String> =
            points.iter().map(|(size, value)| format!("{size:.0}: {value:.2}")).collect();
        println!("{what:<42} {of:<34} {}", points.join("   "));
    }
    let told = |curve: &Curve| json!({ "of": curve.of, "what": curve.what, "points": curve.points });
    let all: Vec<_> = curves.iter().map(told).collect();
    std::fs::write(args.out.join("growth.json"), serde_json::to_string_pretty(&all)? + "\n")?;
    std::fs::write(args.out.join("growth.svg"), draw(&curves))?;
    println!("written: {}", args.out.join("growth.svg").display());
    Ok(())
}

/// The width of a panel's axes. A column is wider if its heading needs that.
const WIDE: f64 = 230.0;
const HIGH: f64 = 120.0;
const COLUMNS: usize = 3;
/// The space to the left of the axes for the values, above them for the heading, and below them for the sizes and their
/// name.
const LEFT: f64 = 48.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 66.0;
/// The space from the axes to the first and the last point, which have labels.
const INSET: f64 = 28.0;

/// Draws a panel for each curve, with sizes on a logarithmic axis and values from zero.
fn draw(curves: &[Curve]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a few panels")]
    let float = |number: usize| number as f64;
    let headings = curves.iter().map(|curve| text_width(curve.what, LABEL));
    let column = headings.fold(LEFT + WIDE, f64::max) + 24.0;
    let mut picture = Picture::default();
    for (number, curve) in curves.iter().enumerate() {
        let (left, top) = (float(number % COLUMNS), float(number / COLUMNS));
        panel(&mut picture, curve, (column * left + LEFT, (ABOVE + HIGH + BELOW) * top));
    }
    picture.finish("What the operator costs by size (make loadtest ARGS=\"growth --quick\")")
}

/// Draws a curve. The upper left corner of its axes is given.
fn panel(picture: &mut Picture, curve: &Curve, (left, top): Point) {
    let logs = || curve.points.iter().map(|(size, _)| size.ln());
    let (least, most) = (logs().fold(f64::INFINITY, f64::min), logs().fold(f64::NEG_INFINITY, f64::max));
    let (step, steps) = ticks(curve.points.iter().map(|(_, value)| *value).fold(0.0, f64::max));
    let (right, bottom) = (left + WIDE, top + HIGH);
    let part = |size: f64| (size.ln() - least) / (most - least).max(f64::MIN_POSITIVE);
    let x = |size: f64| left + INSET + (WIDE - 2.0 * INSET) * part(size);
    let y = |value: f64| bottom - HIGH * value / (step * f64::from(steps));
    picture.label((left - LEFT, top - 22.0), Anchor::Start, curve.what);
    picture.label((f64::midpoint(left, right), bottom + 36.0), Anchor::Middle, curve.of);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    for tick in 0..=steps {
        let value = step * f64::from(tick);
        picture.line(if tick == 0 { "axis" } else { "grid" }, (left, y(value)), (right, y(value)));
        picture.label((left - 8.0, y(value) + 4.0), Anchor::End, &format!("{value:.digits$}"));
    }
    picture.line("axis", (left, top), (left, bottom));
    let points: Vec<Point> = curve.points.iter().map(|(size, value)| (x(*size), y(*value))).collect();
    picture.curve(&points);
    for (size, value) in &curve.points {
        picture.dot("dot", (x(*size), y(*value)), 3.0);
        picture.label((x(*size), y(*value) - 8.0), Anchor::Middle, &short(*value));
        picture.label((x(*size), bottom + 17.0), Anchor::Middle, &grouped(*size));
    }
}

/// A round step, and the number of steps that reach the highest value: at most four.
fn ticks(highest: f64) -> (f64, u8) {
    let least = highest.max(1e-6) / 4.0;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|round| round * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power);
    (step, (1..4).find(|steps| step * f64::from(*steps) >= highest).unwrap_or(4))
}

/// A value with two digits or more.
fn short(value: f64) -> String {
    match value {
        _ if value < 1.0 => format!("{value:.2}"),
        _ if value < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Writes 100000 as 100,000.
fn grouped(size: f64) -> String {
    let digits = format!("{size:.0}");
    let places = (0..digits.len()).rev();
    let comma = |at: usize| (at > 0 && at.is_multiple_of(3)).then_some(',');
    digits.chars().zip(places).flat_map(|(digit, at)| iter::once(digit).chain(comma(at))).collect()
}

#[cfg(test)]
mod tests {
    use testbed::picture::misplaced;

    use super::*;

    fn curve(what: &'static str, points: &[Point]) -> Curve {
        Curve { of: "Bookings", what, points: points.to_vec() }
    }

    #[test]
    fn each_curve_has_a_panel_with_its_axes_and_its_points_in_order() {
        // given a curve that rises
        let curve = curve("memory of a replica, MiB", &[(1000.0, 1.0), (100_000.0, 40.0)]);
        // when it is drawn
        let svg = draw(&[curve]);
        // then its axes are named, and the first point is at the left and low, the last at the right and high
        for label in ["memory of a replica, MiB", "Bookings", "1.0", "40", "1,000", "100,000"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{label}");
        }
        assert!(svg.contains("points=\"76.0,117.0 250.0,0.0\""), "{svg}");
    }

    #[test]
    fn labels_fit_into_the_picture_and_stand_on_nothing() {
        // given curves with a long name, of the sizes that are measured, and of values of all magnitudes
        let values = [[0.05, 0.1, 0.85], [37.0, 41.0, 95.0], [0.48, 0.25, 0.19], [4000.0, 9000.0, 12_700.0]];
        let sizes = BOOKINGS.map(|size| f64::from(u32::try_from(size).unwrap()));
        let what = "a figure whose name is longer than its panel is wide, ms per change";
        let curves = values.map(|values| curve(what, &sizes.into_iter().zip(values).collect::<Vec<_>>()));
        // when they are drawn
        let svg = draw(&curves);
        // then no label is cut off or on another one
        assert_eq!(misplaced(&svg), Vec::<String>::new());
    }

    #[test]
    fn ticks_are_round_and_reach_the_highest_value() {
        for (highest, expected) in
            [(95.0, (50.0, 2)), (4.6, (2.0, 3)), (0.85, (0.5, 2)), (40.0, (10.0, 4)), (0.0, (5e-7, 1))]
        {
            let (step, steps) = ticks(highest);
            assert!((step - expected.0).abs() < 1e-9 && steps == expected.1, "{highest}: {step} {steps}");
        }
    }
}
