//! Events: for people, best effort. One that cannot be published is logged and forgotten; the same
//! stands in a condition.

use std::time::Duration;

use booking_core::{EventType, Note, Subject};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource as _,
    runtime::events::{Event, EventType as KubeEventType, Recorder, Reporter},
};

use super::{
    cache::Snapshot,
    write::{FIELD_MANAGER, Leave},
};

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

    /// Publishes notes about what is in the snapshot.
    pub async fn publish(&self, snapshot: &Snapshot, notes: impl Iterator<Item = &Note>, leave: &Leave) {
        let all = async {
            for note in notes {
                self.publish_one(snapshot, note, leave).await;
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

    async fn publish_one(&self, snapshot: &Snapshot, note: &Note, leave: &Leave) {
        let Some(reference) = reference(snapshot, &note.subject) else {
            return;
        };
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
        if let Err(error) = leave.send("event", self.0.publish(&event, &reference)).await {
            tracing::debug!(%error, reason = note.reason, "event not published");
        }
    }
}

fn reference(snapshot: &Snapshot, subject: &Subject) -> Option<ObjectReference> {
    match subject {
        Subject::Resource => snapshot.resource.as_ref().map(|resource| resource.object_ref(&())),
        Subject::Booking(uid) => snapshot
            .bookings
            .iter()
            .find(|booking| booking.metadata.uid.as_ref() == Some(uid))
            .map(|booking| booking.object_ref(&())),
    }
}

fn cut(message: &str) -> String {
    let mut end = message.len().min(NOTE_MAX_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().to_owned()
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
