//! All bugs that can be put in on purpose, one at a time: in the ring, in the decisions, and in the model
//! of the controller.

use std::fmt;

/// A rule of the controller, left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelBug {
    /// The keys of a slot that was gained are not worked on before they change.
    LosesWakeUp,
    /// The keys of a slot that was gained are worked on from what the watch had shown.
    GainsWithoutReading,
}

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// In the ring.
    Ring(booking_ring::injected_bugs::Bug),
    /// In the decisions.
    Bookings(bookings::decide::injected_bugs::Bug),
    /// In the controller.
    Model(ModelBug),
}

impl Bug {
    /// All of them.
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

/// Injects a bug into what this thread runs from now on, or takes it away.
#[cfg(feature = "injected-bugs")]
pub fn inject(bug: Option<Bug>) {
    booking_ring::injected_bugs::inject(if let Some(Bug::Ring(bug)) = bug { Some(bug) } else { None });
    bookings::decide::injected_bugs::inject(if let Some(Bug::Bookings(bug)) = bug { Some(bug) } else { None });
    model::inject(if let Some(Bug::Model(bug)) = bug { Some(bug) } else { None });
}

pub(crate) use model::is_injected;

mod model {
    booking_decision::switch!(super::ModelBug);
}
