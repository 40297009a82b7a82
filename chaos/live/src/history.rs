//! What happened to one ring, as facts: what was due, what was called, who owned what, what was done to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{clock::At, kinds::Kind};

/// A Resource and its group of machines, as the index into the ring's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub(crate) usize);

/// A stretch for which a key is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its first moment.
    pub(crate) from: At,
    /// Its end.
    pub(crate) to: At,
}

/// What a call to the cloud asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// To see.
    Describe,
    /// To start machines.
    Start,
    /// To stop machines.
    Stop,
    /// To set or remove tags.
    Tag,
}

/// A call that arrived at the cloud.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The key that it concerns.
    pub(crate) key: KeyId,
    /// The process that sent it.
    pub(crate) process: Arc<str>,
    /// The process's Pod.
    pub(crate) pod: Arc<str>,
    /// What it asks for.
    pub(crate) verb: Verb,
    /// When it was signed, in whole seconds of its sender's clock; just before it was sent.
    pub(crate) signed: Option<At>,
    /// When it arrived.
    pub(crate) arrived: At,
    /// When its answer went out; absent while it runs.
    pub(crate) completed: Option<At>,
    /// It did what it asked for.
    pub(crate) took_effect: bool,
}

impl Call {
    /// Whether it changes anything.
    pub(crate) fn mutates(&self) -> bool {
        self.verb != Verb::Describe
    }
}

/// The ring object came to say that a Pod's process owns a slot.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    /// When that was seen: never before it was so.
    pub(crate) seen: At,
    /// The slot.
    pub(crate) slot: u16,
    /// The Pod of the owner.
    pub(crate) pod: Arc<str>,
}

/// A fault, and how long lateness is its consequence.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// What was done.
    pub(crate) kind: Kind,
    /// Since when.
    pub(crate) from: At,
    /// Until when what is due may be late.
    pub(crate) until: At,
    /// The keys that it hits; none means all.
    pub(crate) keys: Option<BTreeSet<KeyId>>,
}

impl Span {
    /// Whether it hits a key.
    pub(crate) fn hits(&self, key: KeyId) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&key))
    }
}

/// A process stood still.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    /// Which one.
    pub(crate) process: Arc<str>,
    /// Since when.
    pub(crate) paused: At,
    /// When it went on.
    pub(crate) resumed: At,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The slot of each key; absent while no ring is known.
    pub(crate) slots: BTreeMap<KeyId, u16>,
    /// What each key is booked for, in order, none overlapping or adjoining another.
    pub(crate) windows: BTreeMap<KeyId, Vec<Window>>,
    /// Calls in order of arrival.
    pub(crate) calls: Vec<Call>,
    /// Changes of owners in the order seen.
    pub(crate) owned: Vec<Owned>,
    /// When nobody could look at the ring object.
    pub(crate) blind: Vec<(At, At)>,
    /// Faults in order.
    pub(crate) spans: Vec<Span>,
    /// Pauses.
    pub(crate) pauses: Vec<Pause>,
    /// Up to when all that was due has had its time.
    pub(crate) end: Option<At>,
}
