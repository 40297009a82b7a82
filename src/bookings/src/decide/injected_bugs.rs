//! Injected bugs: rules that a test build leaves out, one at a time, so that the checkers can be tested.
//!
//! The switches exist only in builds with the feature `injected-bugs`. In all other builds they are constant,
//! and the wrong code is not compiled in.

/// A rule of the decision that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The end of a Booking clears any hold, also another Booking's.
    FinishedClearsHold,
    /// A granted window is taken away and given to a Booking that was created earlier.
    GrantTakenAway,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::FinishedClearsHold, Self::GrantTakenAway];
}

booking_decision::switch!(Bug);
