//! What a family sends, and how its delivery is recorded.

use std::{fmt::Debug, hash::Hash};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Key, gate::PartGate, write::WriteError};

/// Something to tell somebody.
pub trait Notice: Clone + Debug + Send + Sync + 'static {
    /// What tells one notice of a key from another.
    type Id: Clone + Debug + Eq + Hash + Ord + Send + Sync + 'static;

    /// Which.
    fn id(&self) -> &Self::Id;

    /// By which way it is sent.
    ///
    /// # Errors
    /// Why it can be sent by none, in words.
    fn channel(id: &Self::Id) -> Result<Channel, String>;

    /// Mail address or URL.
    fn recipient(id: &Self::Id) -> &str;

    /// What it is about: a word for a metric label.
    fn event(id: &Self::Id) -> &'static str;

    /// From when on it is of no use.
    fn deadline(&self) -> Timestamp;

    /// Its words, with the figures of the moment at which it is sent.
    fn letter(&self, now: Timestamp) -> Letter;
}

/// A way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Mail.
    Email,
    /// A webhook.
    Webhook,
}

impl Channel {
    /// A word for a metric label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Mail address or URL.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Some lines.
    pub body: String,
    /// What a webhook is sent.
    pub json: String,
    /// `<…@booking-operator>`: the same for the same notice, whichever replica sends it.
    pub message_id: String,
}

/// Records a delivery if no pass does so: the key is about to be another replica's, or the process to end, and whoever
/// follows must not send once more.
#[async_trait]
pub trait Recorder<N: Notice>: Send + Sync {
    /// Writes what became of a notice, through the gate of the call that sent it.
    ///
    /// # Errors
    /// [`WriteError`]: then the next owner of the key sends it once more.
    async fn record(
        &self,
        gate: &PartGate,
        key: &Key,
        notice: &N,
        delivery: &booking_decision::Delivery,
    ) -> Result<(), WriteError>;
}
