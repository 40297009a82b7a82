//! Events: for people, best effort. One that cannot be published is logged and forgotten; the same
//! stands in a condition.

use std::time::Duration;

use booking_core::{EventType, Note};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType as KubeEventType, Recorder, Reporter},
};

use super::write::{FIELD_MANAGER, Leave};

/// Longest note an Event may carry: the API server's limit.
const NOTE_MAX_BYTES: usize = 1024;
/// Longest time that all Events of a pass may take: what is due next must not wait for them.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes Events.
#[derive(Clone)]
pub struct Reporting(Recorder);

impl Reporting {
    /// Publishes as `booking-operator`; `instance` is the name of this process.
    pub fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance) };
        Self(Recorder::new(client, reporter))
    }

    /// Publishes notes, each about an object.
    pub async fn publish<'a>(&self, notes: impl Iterator<Item = (&'a Note, ObjectReference)>, leave: &Leave) {
        let all = async {
            for (note, about) in notes {
                self.publish_one(note, &about, leave).await;
            }
        };
        if tokio::time::timeout(PUBLISH_TIMEOUT, all).await.is_err() {
            tracing::debug!("events not published in time");
        }
    }

    /// Publishes something about a replica itself, on the ring object.
    pub async fn publish_on(&self, ring: &ObjectReference, type_: KubeEventType, reason: &str, note: &str) {
        let (reason, note) = (reason.to_owned(), Some(cut(note)));
        let event = Event { type_, reason, note, action: "Clock".to_owned(), secondary: None };
        // Two replicas with wrong clocks do no harm to each other by saying so: no permit is needed.
        if let Ok(Err(error)) = tokio::time::timeout(PUBLISH_TIMEOUT, self.0.publish(&event, ring)).await {
            tracing::debug!(%error, reason = event.reason, "event not published");
        }
    }

    async fn publish_one(&self, note: &Note, about: &ObjectReference, leave: &Leave) {
        let event = Event {
            type_: match note.type_ {
                EventType::Normal => KubeEventType::Normal,
                EventType::Warning => KubeEventType::Warning,
            },
            reason: note.reason.to_owned(),
            note: Some(cut(&note.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A namespace that is going takes no new objects.
        if let Err(error) = leave.send("event", self.0.publish(&event, about)).await {
            tracing::debug!(%error, reason = note.reason, "event not published");
        }
    }
}

fn cut(message: &str) -> String {
    message.get(..message.floor_char_boundary(NOTE_MAX_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(600);
        assert_eq!(cut(&long).len(), 1024);
        assert_eq!(cut(&format!("x{long}")).len(), 1023);
    }
}
