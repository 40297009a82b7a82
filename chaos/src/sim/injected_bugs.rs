//! All injected bugs, one at a time: in the ring, in the decisions, and in the model of the controller.

use std::fmt;

/// A rule of the controller that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelBug {
    /// The controller does not work on the keys of a gained slot before they change.
    LosesWakeUp,
    /// The controller works on the keys of a gained slot from what the watch has shown.
    GainsWithoutReading,
}

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A bug in the ring.
    Ring(booking_ring::injected_bugs::Bug),
    /// A bug in the decisions.
    Bookings(bookings::decide::injected_bugs::Bug),
    /// A bug in the model of the controller.
    Model(ModelBug),
}

impl Bug {
    /// All bugs.
    pub fn all() -> Vec<Self> {
        let ring = booking_ring::injected_bugs::Bug::ALL.map(Self::Ring);
        let decisions = bookings::decide::injected_bugs::Bug::ALL.map(Self::Bookings);
        let model = [ModelBug::LosesWakeUp, ModelBug::GainsWithoutReading].map(Self::Model);
        ring.into_iter().chain(decisions).chain(model).collect()
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(bug) => write!(f, "ring {bug:?}"),
            Self::Bookings(bug) => write!(f, "bookings {bug:?}"),
            Self::Model(bug) => write!(f, "controller {bug:?}"),
        }
    }
}

/// Injects a bug into what this thread runs from now on, or removes it.
#[cfg(feature = "injected-bugs")]
pub fn inject(bug: Option<Bug>) {
    booking_ring::injected_bugs::inject(if let Some(Bug::Ring(bug)) = bug { Some(bug) } else { None });
    bookings::decide::injected_bugs::inject(if let Some(Bug::Bookings(bug)) = bug {
        Some(bug)
    } else {
        None
    });
    model::inject(if let Some(Bug::Model(bug)) = bug { Some(bug) } else { None });
}

pub(crate) use model::is_injected;

mod model {
    booking_decision::switch!(super::ModelBug);
}
