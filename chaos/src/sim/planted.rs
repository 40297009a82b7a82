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
    Ring(booking_ring::planted::Bug),
    /// In the decisions.
    Core(bookings::decide::injected_bugs::Bug),
    /// In the controller.
    Model(ModelBug),
}

impl Bug {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let ring = booking_ring::planted::Bug::ALL.map(Self::Ring);
        let core = bookings::decide::injected_bugs::Bug::ALL.map(Self::Core);
        let model = [ModelBug::LosesWakeUp, ModelBug::GainsWithoutReading].map(Self::Model);
        ring.into_iter().chain(core).chain(model).collect()
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(bug) => write!(f, "ring {bug:?}"),
            Self::Core(bug) => write!(f, "core {bug:?}"),
            Self::Model(bug) => write!(f, "controller {bug:?}"),
        }
    }
}

/// Plants a bug in what this thread runs from now on, or takes it away.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    booking_ring::planted::plant(if let Some(Bug::Ring(bug)) = bug { Some(bug) } else { None });
    bookings::decide::injected_bugs::plant(if let Some(Bug::Core(bug)) = bug { Some(bug) } else { None });
    model::plant(if let Some(Bug::Model(bug)) = bug { Some(bug) } else { None });
}

pub(crate) use model::planted;

mod model {
    booking_decision::switch!(super::ModelBug);
}
