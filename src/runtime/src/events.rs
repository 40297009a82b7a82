//! Publishes Events, which are for users and best effort. If an Event cannot be published, that is logged and not
//! tried again. A condition says the same.

use std::{sync::Arc, time::Duration};

use booking_decision::{EventType, Note};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event as PlainEvent},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::PostParams,
    runtime::events::{Event, EventType as KubeEventType, Recorder, Reporter},
};

use tokio::sync::Semaphore;

use crate::{clock::Clock, gate::EffectGate, write::FIELD_MANAGER};

/// The longest note of an Event, which the API server limits.
const NOTE_MAX_BYTES: usize = 1024;
/// The longest name of an object for which the recorder can make an Event's name: 253 minus a dot and 16 digits.
const NAME_MAX: usize = 236;
/// How many Events are published at once.
const EVENTS_AT_ONCE: usize = 8;
/// The longest time for all Events of one pass. Other due work must not wait for Events.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes Events.
#[derive(Clone)]
pub struct EventPublisher {
    recorder: Recorder,
    client: Client,
    instance: String,
    clock: Clock,
    /// Limits how many Events are published at once. Events have slots of their own, so that statuses do not wait for
    /// Events, nor Events for statuses.
    slots: Arc<Semaphore>,
}

impl EventPublisher {
    /// Publishes as `booking-operator`. `instance` is the name of this process.
    pub fn new(client: Client, instance: String, clock: Clock) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance.clone()) };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            instance,
            clock,
            slots: Arc::new(Semaphore::new(EVENTS_AT_ONCE)),
        }
    }

    /// Publishes Events, each about an object.
    pub async fn publish<'a, S: 'a>(
        &self,
        notes: impl Iterator<Item = (&'a Note<S>, ObjectReference)>,
        gate: &EffectGate,
    ) {
        let all = async {
            for (note, about) in notes {
                self.publish_one(note, &about, gate).await;
            }
        };
        if tokio::time::timeout(PUBLISH_TIMEOUT, all).await.is_err() {
            tracing::debug!("events not published in time");
        }
    }

    /// Publishes an Event about a replica itself, on the ring object.
    pub async fn publish_on(&self, ring: &ObjectReference, type_: KubeEventType, reason: &str, note: &str) {
        let (reason, note) = (reason.to_owned(), Some(cut(note)));
        let event = Event { type_, reason, note, action: "Clock".to_owned(), secondary: None };
        // No permit is needed, because two replicas with wrong clocks do not harm each other if both publish this.
        if let Ok(Err(error)) =
            tokio::time::timeout(PUBLISH_TIMEOUT, self.recorder.publish(&event, ring)).await
        {
            tracing::debug!(%error, reason = event.reason, "event not published");
        }
    }

    async fn publish_one<S>(&self, note: &Note<S>, about: &ObjectReference, gate: &EffectGate) {
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
        // This fails if the namespace is being deleted, because it then accepts no new objects.
        if let Err(error) = gate.with_slots(&self.slots).send("event", self.record(&event, about)).await {
            tracing::debug!(%error, reason = note.reason, "event not published");
        }
    }

    /// Records an Event. The recorder makes the Event's name from the object's name without checking the length, and
    /// it counts repetitions as a series.
    async fn record(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        let name = about.name.as_deref().unwrap_or_default();
        if name.len() <= NAME_MAX {
            return self.recorder.publish(event, about).await;
        }
        let namespace = about.namespace.clone().unwrap_or_default();
        let events: Api<PlainEvent> = Api::namespaced(self.client.clone(), &namespace);
        let type_ = if event.type_ == KubeEventType::Normal { "Normal" } else { "Warning" };
        let begin = name.get(..name.floor_char_boundary(NAME_MAX)).unwrap_or_default();
        let plain = PlainEvent {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", begin.trim_end_matches(['.', '-']))),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            action: Some(event.action.clone()),
            reason: Some(event.reason.clone()),
            note: event.note.clone(),
            type_: Some(type_.to_owned()),
            event_time: Some(MicroTime(self.clock.now())),
            regarding: Some(about.clone()),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..PlainEvent::default()
        };
        events.create(&PostParams::default(), &plain).await.map(drop)
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
