//! Pictures of measurements, as SVGs. A picture is as large as its drawing, so that no label is cut off. It has a
//! background of its own, so that it is legible on light and dark pages.

mod canvas;
mod labels;
mod strips;

pub use canvas::Picture;
pub use labels::{Anchor, LABEL, Point, misplaced, text_width};
pub use strips::{Strip, Strips};
