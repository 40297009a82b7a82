//! A span of time.

use jiff::Timestamp;

/// A span of time without its end. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after the window.
    pub until: Timestamp,
}

impl Window {
    /// The window, unless it would be empty.
    pub fn new(from: Timestamp, until: Timestamp) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// Whether the window contains an instant.
    pub fn contains(self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.until
    }

    /// Whether the two windows share an instant.
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    /// The part that the two windows share.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.until.min(other.until))
    }
}
