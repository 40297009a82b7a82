//! What became of something that was sent to somebody.

use jiff::Timestamp;

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// Why it was given up, if it was.
    pub problem: Option<String>,
}
