//! What people are told, as Kubernetes Events.

/// Weight of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something needs a person.
    Warning,
}

/// An Event to publish. `S` says which object it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<S> {
    /// Which object it is about.
    pub subject: S,
    /// Its weight.
    pub type_: EventType,
    /// A word for programs, upper camel case.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}
