//! Bugs that are put in on purpose, one at a time, so that a checker can be seen to catch them.
//!
//! The switches exist in builds with the feature `planted` alone; in all others they are constant, and the
//! wrong ways are not compiled in.

/// A rule of the decision, left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A Booking that is over ends whatever hold there is.
    FinishedClearsHold,
    /// A window that was granted is given to who created a Booking earlier.
    GrantTakenAway,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::FinishedClearsHold, Self::GrantTakenAway];
}

booking_decision::switch!(Bug);
