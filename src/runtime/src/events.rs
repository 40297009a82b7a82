//! Events: for people, best effort. One that cannot be published is logged and forgotten; the same
//! stands in a condition.

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

/// Longest note an Event may carry: the API server's limit.
const NOTE_MAX_BYTES: usize = 1024;
/// Longest name of an object whose Events the recorder can name: 253 less a dot and 16 digits.
const NAME_MAX: usize = 236;
/// Events that are published at once.
const EVENTS_AT_ONCE: usize = 8;
/// Longest time that all Events of a pass may take: what is due next must not wait for them.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes Events.
#[derive(Clone)]
pub struct EventPublisher {
    recorder: Recorder,
    client: Client,
    instance: String,
    clock: Clock,
    /// Events that are under way at once. Statuses do not wait for Events, nor Events for statuses.
    slots: Arc<Semaphore>,
}

impl EventPublisher {
    /// Publishes as `booking-operator`; `instance` is the name of this process.
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

    /// Publishes notes, each about an object.
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

    /// Publishes something about a replica itself, on the ring object.
    pub async fn publish_on(&self, ring: &ObjectReference, type_: KubeEventType, reason: &str, note: &str) {
        let (reason, note) = (reason.to_owned(), Some(cut(note)));
        let event = Event { type_, reason, note, action: "Clock".to_owned(), secondary: None };
        // Two replicas with wrong clocks do no harm to each other by saying so: no permit is needed.
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
        // A namespace that is going takes no new objects.
        if let Err(error) = gate.with_slots(&self.slots).send("event", self.record(&event, about)).await {
            tracing::debug!(%error, reason = note.reason, "event not published");
        }
    }

    /// The recorder names an Event after its object, at any length, and repeats it as a series.
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
