//! The result of sending something to a recipient.

use jiff::Timestamp;

/// The result of a notice: sent or given up, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it was sent or given up.
    pub at: Timestamp,
    /// Why it was given up, if it was.
    pub problem: Option<String>,
}
