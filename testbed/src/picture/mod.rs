//! Pictures of what was measured, as SVGs. A picture is as large as what is drawn in it, so that no label is cut off.
//! It has a background of its own, so that it is legible on a light page and on a dark one.

mod canvas;
mod labels;
mod strips;

pub use canvas::Picture;
pub use labels::{Anchor, LABEL, Point, misplaced, text_width};
pub use strips::{Strip, Strips};
