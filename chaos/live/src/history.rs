//! The facts of one ring: which starts and stops were due, which calls were made, which process owned what, and which
//! faults happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{clock::At, kinds::Kind};

/// A Resource and its group of machines, by their index in the ring's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub(crate) usize);

/// A period for which a key is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its first moment.
    pub(crate) from: At,
    /// Its end.
    pub(crate) to: At,
}

/// The request of a call to the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Describes machines.
    Describe,
    /// Starts machines.
    Start,
    /// Stops machines.
    Stop,
    /// Sets or removes tags.
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
    /// When it was signed, in whole seconds of its sender's clock. That is immediately before it was sent.
    pub(crate) signed: Option<At>,
    /// When it arrived.
    pub(crate) arrived: At,
    /// When its answer went out. None while it runs.
    pub(crate) completed: Option<At>,
    /// Whether it took effect.
    pub(crate) took_effect: bool,
}

impl Call {
    /// Whether the call changes anything.
    pub(crate) fn mutates(&self) -> bool {
        self.verb != Verb::Describe
    }
}

/// The moment at which the ring object first named a Pod's process as the owner of a slot.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    /// When the change was seen. It was never seen before it happened.
    pub(crate) seen: At,
    /// The slot.
    pub(crate) slot: u16,
    /// The Pod of the owner.
    pub(crate) pod: Arc<str>,
}

/// A fault, and the period for which it explains lateness.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// The kind of the fault.
    pub(crate) kind: Kind,
    /// When the fault began.
    pub(crate) from: At,
    /// The time until which starts and stops may be late.
    pub(crate) until: At,
    /// The keys that it hits. None means all.
    pub(crate) keys: Option<BTreeSet<KeyId>>,
}

impl Span {
    /// Whether the fault hits a key.
    pub(crate) fn hits(&self, key: KeyId) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&key))
    }
}

/// A period in which a process stood still.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    /// The process.
    pub(crate) process: Arc<str>,
    /// When it stopped.
    pub(crate) paused: At,
    /// When it continued.
    pub(crate) resumed: At,
}

/// All facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The slot of each key. A key is missing while no ring is known.
    pub(crate) slots: BTreeMap<KeyId, u16>,
    /// The windows for which each key is booked, in order. They neither overlap nor adjoin each other.
    pub(crate) windows: BTreeMap<KeyId, Vec<Window>>,
    /// Calls in order of arrival.
    pub(crate) calls: Vec<Call>,
    /// Changes of owners, in the order in which they were seen.
    pub(crate) owned: Vec<Owned>,
    /// The periods in which nobody could look at the ring object.
    pub(crate) blind: Vec<(At, At)>,
    /// The faults, in order.
    pub(crate) spans: Vec<Span>,
    /// Pauses.
    pub(crate) pauses: Vec<Pause>,
    /// Everything that was due before this moment has had its time.
    pub(crate) end: Option<At>,
}
