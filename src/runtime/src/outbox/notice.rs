//! The interface for notices: what a family sends, and how the deliveries are recorded.

use std::{fmt::Debug, hash::Hash};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Key, gate::PartGate, write::WriteError};

/// A message for a recipient.
pub trait Notice: Clone + Debug + Send + Sync + 'static {
    /// The identity of a notice among those of its key.
    type Id: Clone + Debug + Eq + Hash + Ord + Send + Sync + 'static;

    /// Its identity.
    fn id(&self) -> &Self::Id;

    /// The channel through which it is sent.
    ///
    /// # Errors
    /// Why no channel can send it, as a text.
    fn channel(id: &Self::Id) -> Result<Channel, String>;

    /// Mail address or URL.
    fn recipient(id: &Self::Id) -> &str;

    /// What it is about: a word that is a metric label.
    fn event(id: &Self::Id) -> &'static str;

    /// After this instant it is useless.
    fn deadline(&self) -> Timestamp;

    /// Its text, with the values of the moment at which it is sent.
    fn letter(&self, now: Timestamp) -> Letter;
}

/// A channel.
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

/// The text of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Mail address or URL.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Some lines.
    pub body: String,
    /// The body of a webhook.
    pub json: String,
    /// `<…@booking-operator>`. It is the same for the same notice, whichever replica sends it.
    pub message_id: String,
}

/// Records a delivery if no pass does. That is the case if the key is about to be handed over or the process is about
/// to end. The next owner must not send the notice a second time.
#[async_trait]
pub trait Recorder<N: Notice>: Send + Sync {
    /// Records the delivery of a notice, through the gate of the call that sent it.
    ///
    /// # Errors
    /// [`WriteError`] if the record failed. The next owner of the key then sends the notice a second time.
    async fn record(
        &self,
        gate: &PartGate,
        key: &Key,
        notice: &N,
        delivery: &booking_decision::Delivery,
    ) -> Result<(), WriteError>;
}
