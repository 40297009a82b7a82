//! The room that a label needs in any font of the reader, and a check that labels have it.

/// The size of a label's font, in pixels.
pub const LABEL: f64 = 13.0;
/// The size of the title's font, which is bold.
pub(super) const TITLE: f64 = 17.0;
/// How much wider bold letters are.
const BOLD: f64 = 1.13;

/// A point: to the right, and down.
pub type Point = (f64, f64);

/// The part of a text that is at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its first letter.
    Start,
    /// Its middle.
    Middle,
    /// Its last letter.
    End,
}

impl Anchor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// The smallest area that contains all points, with a margin around them.
    pub(super) fn of(points: impl IntoIterator<Item = Point>, around: f64) -> Self {
        let none = Self {
            left: f64::INFINITY,
            top: f64::INFINITY,
            right: f64::NEG_INFINITY,
            bottom: f64::NEG_INFINITY,
        };
        let point = |(x, y): Point| Self { left: x, top: y, right: x, bottom: y };
        points.into_iter().map(point).fold(none, Self::with).wider(around)
    }

    /// The smallest area that contains both.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The same area with a margin around it.
    pub(super) fn wider(self, around: f64) -> Self {
        Self {
            left: self.left - around,
            top: self.top - around,
            right: self.right + around,
            bottom: self.bottom + around,
        }
    }

    fn holds(self, other: Self) -> bool {
        let (across, down) = (self.left <= other.left && other.right <= self.right, self.top <= other.top);
        across && down && other.bottom <= self.bottom
    }

    fn meets(self, other: Self) -> bool {
        let across = self.left < other.right && other.left < self.right;
        across && self.top < other.bottom && other.top < self.bottom
    }
}

/// The largest width of a text, in the widest of the fonts that browsers use for `sans-serif` (Verdana, `DejaVu` Sans).
pub fn text_width(text: &str, size: f64) -> f64 {
    let wide = |letter: char| match letter {
        'i' | 'j' | 'l' | 'f' | 't' | 'r' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '/'
        | '(' | ')' | '[' | ']' | '-' => 0.46,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.08,
        'a'..='z' | '0'..='9' | '_' => 0.64,
        'A'..='Z' => 0.79,
        _ => 1.0,
    };
    text.chars().map(wide).sum::<f64>() * size
}

/// The area of a text.
pub(super) fn area((x, y): Point, anchor: Anchor, text: &str, size: f64) -> Area {
    let bold = if size > LABEL { BOLD } else { 1.0 };
    let width = text_width(text, size) * bold;
    let left = match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    Area { left, top: y - size * 0.8, right: left + width, bottom: y + size * 0.25 }
}

/// Escapes a text for XML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The labels of an SVG of this module that are beyond its edges, or on one another. It is for tests.
pub fn misplaced(svg: &str) -> Vec<String> {
    let page = svg.lines().find(|line| line.starts_with("<rect class=\"page\""));
    let page = page.and_then(|line| {
        let (left, top) = (number(line, "x")?, number(line, "y")?);
        let (width, height) = (number(line, "width")?, number(line, "height")?);
        Some(Area { left, top, right: left + width, bottom: top + height })
    });
    let Some(page) = page else { return vec!["no background".to_owned()] };
    let labels: Vec<(String, Area)> = svg.lines().filter_map(label).collect();
    let cut =
        labels.iter().filter(|(_, area)| !page.holds(*area)).map(|(text, _)| format!("{text}: cut off"));
    let mut found: Vec<String> = cut.collect();
    for (number, (text, area)) in labels.iter().enumerate() {
        let others = labels.iter().skip(number + 1).filter(|(_, other)| area.meets(*other));
        found.extend(others.map(|(other, _)| format!("{text}: on {other}")));
    }
    found
}

fn label(line: &str) -> Option<(String, Area)> {
    let line = line.strip_prefix("<text")?;
    let (attributes, text) = line.strip_suffix("</text>")?.split_once('>')?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let size = if attributes.contains("class=\"title\"") { TITLE } else { LABEL };
    let anchor = match attribute(attributes, "text-anchor")? {
        "end" => Anchor::End,
        "middle" => Anchor::Middle,
        _ => Anchor::Start,
    };
    let room = area((number(attributes, "x")?, number(attributes, "y")?), anchor, &text, size);
    Some((text, room))
}

fn number(line: &str, name: &str) -> Option<f64> {
    attribute(line, name)?.parse().ok()
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<rect class=\"page\" x=\"0\" y=\"0\" width=\"100\" height=\"50\" rx=\"6\"/>";

    #[test]
    fn a_label_beyond_an_edge_or_on_another_one_is_found() {
        for (labels, found) in [
            ("<text x=\"50\" y=\"20\" text-anchor=\"middle\">abc</text>", vec![]),
            ("<text x=\"90\" y=\"20\" text-anchor=\"start\">abc</text>", vec!["abc: cut off"]),
            ("<text x=\"9\" y=\"20\" text-anchor=\"end\">abc</text>", vec!["abc: cut off"]),
            ("<text x=\"9\" y=\"49\" text-anchor=\"start\">abc</text>", vec!["abc: cut off"]),
            (
                "<text x=\"9\" y=\"20\" text-anchor=\"start\">abc</text>\n\
                 <text x=\"20\" y=\"25\" text-anchor=\"start\">d</text>",
                vec!["abc: on d"],
            ),
        ] {
            assert_eq!(misplaced(&format!("{PAGE}\n{labels}\n")), found, "{labels}");
        }
    }

    #[test]
    fn a_label_has_more_room_than_the_widest_font_needs() {
        // The widths in DejaVu Sans at 100 px, from the font's own tables.
        for (text, needed) in [("milliseconds", 617.0), ("WATCHES", 500.0), ("p99 1.78 s, n 40", 815.0)] {
            assert!(text_width(text, 100.0) >= needed, "{text}: {}", text_width(text, 100.0));
        }
    }
}
