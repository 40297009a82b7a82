//! What users are told, as Kubernetes Events.

/// The type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// For information.
    Normal,
    /// A user has to act.
    Warning,
}

/// An Event to publish. `S` identifies the object that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<S> {
    /// The object that it is about.
    pub subject: S,
    /// Its type.
    pub type_: EventType,
    /// A word for programs, upper camel case.
    pub reason: &'static str,
    /// A sentence for users.
    pub message: String,
}
