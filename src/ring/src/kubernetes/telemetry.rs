//! What the ring tells people: metrics, log lines about each step of a fail-over, and Events on the ring object. If an
//! Event cannot be published, it is dropped.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::sync::mpsc;

use super::{names::Names, requests::FIELD_MANAGER};
use crate::{
    member::Member,
    protocol::{End, Story},
    record::Incarnation,
    time::Stamp,
};

/// The longest time to publish one Event.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest number of Events that wait to be published.
const WAITING_MAX: usize = 32;
/// The longest name of an Event's instance. It is the API server's limit.
const INSTANCE_MAX: usize = 128;

/// Describes the metrics to the process's recorder. The recorder must be installed.
pub fn describe() {
    describe_gauge!("booking_operator_ring_slots_owned", "Slots that this replica works on.");
    describe_gauge!("booking_operator_ring_slots", "Slots of the ring, with and without an owner.");
    describe_gauge!(
        "booking_operator_ring_permit_left_seconds",
        Unit::Seconds,
        "How long this replica may begin calls if it is not renewed, as of its last look at the ring."
    );
    describe_gauge!("booking_operator_ring_epoch", "The newest epoch of the ring that this replica acts by.");
    describe_gauge!("booking_operator_ring_leads", "1 if this replica leads, else 0.");
    describe_counter!(
        "booking_operator_ring_handoffs_total",
        "Slots that other members handed to this replica."
    );
    describe_histogram!(
        "booking_operator_ring_handoff_duration_seconds",
        Unit::Seconds,
        "From the begin of a move to this replica, as it saw it, to its end."
    );
    describe_counter!(
        "booking_operator_ring_seals_total",
        "Leases of silent members that this replica sealed."
    );
    describe_counter!("booking_operator_ring_conflicts_total", "Writes that met somebody else's.");
    describe_counter!("booking_operator_ring_lapses_total", "Permits that ran out before they were renewed.");
    describe_counter!(
        "booking_operator_ring_incarnations_ended_total",
        "Incarnations of this replica that ended, by reason."
    );
}

/// Shows counters at zero. If a series begins with its first event, Prometheus sees no increase.
pub fn begin() {
    for name in ["handoffs", "seals", "conflicts", "lapses"] {
        counter!(format!("booking_operator_ring_{name}_total")).increment(0);
    }
    let _ = histogram!("booking_operator_ring_handoff_duration_seconds");
}

/// Sets the gauges.
pub fn measure(member: &Member, now: Stamp) {
    let epoch = member.ring().map_or(0, |ring| ring.value.epoch);
    let slots = member.ring().map_or(0, |ring| ring.value.slots);
    gauge!("booking_operator_ring_slots").set(f64::from(slots));
    gauge!("booking_operator_ring_slots_owned").set(to_float(member.owned().len() as u64));
    gauge!("booking_operator_ring_permit_left_seconds").set(member.left(now).as_secs_f64());
    gauge!("booking_operator_ring_epoch").set(to_float(epoch));
    gauge!("booking_operator_ring_leads").set(f64::from(u8::from(member.leads())));
}

/// The result is exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
fn to_float(number: u64) -> f64 {
    number as f64
}

/// The reference to a ring object, for Events about it.
pub fn reference(name: &str, namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("manager.kotaico.de/v1".to_owned()),
        kind: Some("Ring".to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    }
}

/// Reports what happens to one process in the ring.
pub struct Telemetry {
    incarnation: Incarnation,
    ring: ObjectReference,
    events: mpsc::Sender<(Event, ObjectReference)>,
}

/// The telemetry of one process, and the future that publishes its Events. The future ends when the telemetry is
/// dropped.
pub(super) fn new(
    client: Client,
    namespace: &str,
    names: &Names,
    pod: &str,
) -> (Telemetry, impl Future<Output = ()> + Send + use<>) {
    let instance = pod.chars().take(INSTANCE_MAX).collect();
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    let (events, mut waiting) = mpsc::channel(WAITING_MAX);
    let ring = reference(&names.ring, namespace);
    let publish = async move {
        while let Some((event, ring)) = waiting.recv().await {
            let published = tokio::time::timeout(PUBLISH_TIMEOUT, recorder.publish(&event, &ring)).await;
            if !matches!(published, Ok(Ok(()))) {
                tracing::debug!(reason = event.reason, "event not published");
            }
        }
    };
    (Telemetry { incarnation: Incarnation::new(""), ring, events }, publish)
}

impl Telemetry {
    /// Another incarnation begins.
    pub fn begin(&mut self, incarnation: &Incarnation) {
        tracing::info!(%incarnation, "takes part in the ring from now on");
        self.incarnation = incarnation.clone();
    }

    /// The incarnation has ended.
    pub fn ended(&self, end: End) {
        let reason = end.as_str();
        counter!("booking_operator_ring_incarnations_ended_total", "reason" => reason).increment(1);
        if end == End::Left {
            tracing::info!(incarnation = %self.incarnation, reason, "has left the ring");
        } else {
            tracing::warn!(incarnation = %self.incarnation, reason, "is out of the ring: works on nothing");
        }
    }

    /// Reports a story. `ring` is the uid of the ring, if there is one.
    pub fn tell(&self, story: Story, ring: Option<&str>) {
        count(&story);
        self.log(&story);
        self.publish(story, ring);
    }

    fn log(&self, story: &Story) {
        let incarnation = self.incarnation.as_str();
        match story {
            Story::Joined => tracing::info!(incarnation, "is a member of the ring"),
            Story::Leaving => tracing::info!(incarnation, "hands over what it has"),
            Story::Leads => tracing::info!(incarnation, "leads the ring"),
            Story::LeadsNoMore => tracing::info!(incarnation, "leads the ring no more"),
            Story::Lapsed => {
                tracing::warn!(incarnation, "permit has run out: begins no call until it is renewed");
            }
            Story::Renewed(after) => tracing::info!(incarnation, after = ?after, "permit is renewed"),
            Story::Sealed(peer, silent) => {
                tracing::warn!(incarnation, %peer, silent = ?silent, "sealed a silent member: its slots are free");
            }
            Story::ToldToLeave(peer) => {
                tracing::warn!(incarnation, %peer, "told a member to leave that does not apply what the ring says");
            }
            Story::Planned(moves) => tracing::info!(incarnation, moves, "planned moves"),
            Story::HandedOver(slots, took) => {
                tracing::info!(incarnation, slots, took = ?took, "slots were handed over to it");
            }
            Story::Conflict => tracing::debug!(incarnation, "a write met somebody else's"),
            Story::Opened => tracing::info!(incarnation, "opened the ring"),
            Story::Unsupported(why) => tracing::error!(incarnation, why, "cannot take part in the ring"),
            Story::GivesWay(why) => {
                tracing::warn!(incarnation, why, "takes no part in the ring: another ring does its work");
            }
        }
    }

    fn publish(&self, story: Story, ring: Option<&str>) {
        let Some((type_, reason, about, note)) = note(&self.incarnation, story) else {
            return;
        };
        let lease = ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            name: Some(about.to_string()),
            namespace: self.ring.namespace.clone(),
            ..ObjectReference::default()
        };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Ring".to_owned(),
            // The recorder joins Events that differ in nothing else.
            secondary: Some(lease),
        };
        let ring = ObjectReference { uid: ring.map(str::to_owned), ..self.ring.clone() };
        if self.events.try_send((event, ring)).is_err() {
            tracing::debug!(reason, "event not published: too many wait");
        }
    }
}

fn count(story: &Story) {
    match story {
        Story::HandedOver(slots, took) => {
            counter!("booking_operator_ring_handoffs_total").increment(*slots as u64);
            histogram!("booking_operator_ring_handoff_duration_seconds").record(took.as_secs_f64());
        }
        Story::Sealed(..) => counter!("booking_operator_ring_seals_total").increment(1),
        Story::Conflict => counter!("booking_operator_ring_conflicts_total").increment(1),
        Story::Lapsed => counter!("booking_operator_ring_lapses_total").increment(1),
        _ => {}
    }
}

/// The Event of a story, if people look for it: type, reason, the incarnation that it is about, text.
fn note(me: &Incarnation, story: Story) -> Option<(EventType, &'static str, Incarnation, String)> {
    use EventType::{Normal, Warning};
    let mine = |type_, reason, what: &str| Some((type_, reason, me.clone(), format!("{me} {what}")));
    match story {
        Story::Joined => mine(Normal, "MemberJoined", "is a member"),
        Story::Leaving => mine(Normal, "MemberLeaving", "hands over what it has"),
        Story::Leads => mine(Normal, "LeaderElected", "leads"),
        Story::Opened => mine(Normal, "RingOpened", "opened the ring: slots may have owners"),
        Story::Sealed(peer, silent) => {
            let note = format!("{me} sealed {peer}, which was silent for {} s", silent.as_secs());
            Some((Warning, "MemberSealed", peer, note))
        }
        Story::ToldToLeave(peer) => {
            let note = format!("{me} told {peer} to leave, which does not apply what the ring says");
            Some((Warning, "MemberToldToLeave", peer, note))
        }
        Story::Unsupported(why) => {
            let why: String = why.chars().take(256).collect();
            mine(Warning, "RingUnsupported", &format!("cannot take part: {why}"))
        }
        Story::GivesWay(why) => {
            let why: String = why.chars().take(512).collect();
            mine(Warning, "RingGivesWay", &format!("takes no part: {why}"))
        }
        Story::LeadsNoMore
        | Story::Lapsed
        | Story::Renewed(_)
        | Story::Planned(_)
        | Story::HandedOver(..)
        | Story::Conflict => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_who_it_is_about() {
        let (me, peer) = (Incarnation::new("a"), Incarnation::new("b"));
        let told = |story| note(&me, story).map(|(_, reason, about, note)| (reason, about, note));
        assert_eq!(told(Story::Joined), Some(("MemberJoined", me.clone(), "a is a member".to_owned())));
        let sealed = told(Story::Sealed(peer.clone(), Duration::from_millis(15_300)));
        assert_eq!(sealed, Some(("MemberSealed", peer, "a sealed b, which was silent for 15 s".to_owned())));
        assert_eq!(told(Story::Conflict), None);
        let (_, _, long) = told(Story::Unsupported("é".repeat(5000))).unwrap();
        assert!(long.len() < 1024);
    }
}
