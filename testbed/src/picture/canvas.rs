//! The drawing, and the room that it needs.

use std::fmt::{self, Write};

use super::labels::{Anchor, Area, LABEL, Point, TITLE, area, escape};

/// Text has a contrast of 15 to 1 with the background, and all other colours have at least 4.5 to 1. The bound is
/// dashed, because some people cannot tell red from blue. A rim separates text from lines below it.
const STYLE: &str = "text{font:13px sans-serif;fill:#1f2328;paint-order:stroke;stroke:#fff;\
stroke-width:3px}.title{font:bold 17px sans-serif}.page{fill:#fff}\
.axis{stroke:#59636e}.grid{stroke:#d1d9e0}.dot{fill:#0969da}.faint{fill:#0969da;fill-opacity:.4}\
.mark{stroke:#0a3069;stroke-width:2}.bound{stroke:#cf222e;stroke-width:2;stroke-dasharray:4 2}\
.curve{fill:none;stroke:#0969da;stroke-width:2}";
/// The distance between the drawing and the edge of the picture.
const EDGE: f64 = 16.0;
/// The distance between the title's baseline and the drawing.
const BELOW_TITLE: f64 = 14.0;

/// A picture that is being drawn.
#[derive(Debug, Default)]
pub struct Picture {
    body: String,
    area: Option<Area>,
}

impl Picture {
    /// Draws a label. The point is on its baseline.
    pub fn label(&mut self, at: Point, anchor: Anchor, text: &str) {
        self.cover(area(at, anchor, text, LABEL));
        self.add(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
            at.0,
            at.1,
            anchor.name(),
            escape(text)
        ));
    }

    /// Draws a line of a class: `axis`, `grid`, `mark` or `bound`.
    pub fn line(&mut self, class: &str, from: Point, to: Point) {
        self.cover(Area::of([from, to], 1.0));
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    /// Draws a dot of a class: `dot`, or `faint` if many dots overlap.
    pub fn dot(&mut self, class: &str, at: Point, radius: f64) {
        self.cover(Area::of([at], radius));
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"/>",
            at.0, at.1
        ));
    }

    /// Draws a line through points.
    pub fn curve(&mut self, points: &[Point]) {
        self.cover(Area::of(points.iter().copied(), 1.0));
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!("<polyline class=\"curve\" points=\"{}\"/>", points.join(" ")));
    }

    /// The SVG, with its title above the drawing.
    pub fn finish(mut self, title: &str) -> String {
        let drawn = self.area.unwrap_or_else(|| Area::of([(0.0, 0.0)], 0.0));
        let (x, y) = (drawn.left, drawn.top - BELOW_TITLE);
        self.cover(area((x, y), Anchor::Start, title, TITLE));
        let page = self.area.unwrap_or(drawn).wider(EDGE);
        let (width, height) = (page.right - page.left, page.bottom - page.top);
        let (left, top, title) = (page.left, page.top, escape(title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"{left:.1} {top:.1} {width:.1} {height:.1}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"page\" x=\"{left:.1}\" y=\"{top:.1}\" \
             width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"start\">{title}</text>\n{}</svg>\n",
            self.body
        )
    }

    fn cover(&mut self, new: Area) {
        self.area = Some(self.area.map_or(new, |known| known.with(new)));
    }

    fn add(&mut self, element: fmt::Arguments<'_>) {
        // A write to a String cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::labels::misplaced, *};

    #[test]
    fn a_picture_is_as_large_as_its_labels() {
        // given labels far from the origin, on all sides
        let mut picture = Picture::default();
        picture.label((-500.0, 0.0), Anchor::End, "a label of some length that ends at the left");
        picture.label((700.0, 900.0), Anchor::Start, "one that begins at the right & below");
        // when it is drawn
        let svg = picture.finish("A title");
        // then all of them are in it, and the background is below them
        assert_eq!(misplaced(&svg), Vec::<String>::new());
        assert!(svg.contains("right &amp; below") && svg.contains("<rect class=\"page\""));
    }

    #[test]
    fn a_title_that_is_longer_than_the_picture_is_wide_widens_it() {
        let mut picture = Picture::default();
        picture.dot("dot", (0.0, 0.0), 2.0);
        let svg = picture.finish("A title that is much longer than a single dot is wide");
        assert_eq!(misplaced(&svg), Vec::<String>::new());
    }
}
