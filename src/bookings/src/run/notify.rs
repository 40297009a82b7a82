//! Notices of Bookings: how they are sent, and how their deliveries are recorded.

use async_trait::async_trait;
use booking_decision::Delivery;
use booking_runtime::{
    Key,
    gate::PartGate,
    outbox::{Channel, Letter, Notice as ToSend, Recorder},
    write::{WriteError, merge_patch::status_patch, params},
};
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt, api::Patch};

use crate::{
    api::Booking,
    decide::groups::notices::{Notice, NoticeId, digest, recorded, text::text},
};

/// How often the record is tried. A pass that is still at work may write the status at the same time, and so may a
/// user.
const TRIES: usize = 3;

impl ToSend for Notice {
    type Id = NoticeId;

    fn id(&self) -> &NoticeId {
        &self.id
    }

    fn channel(id: &NoticeId) -> Result<Channel, String> {
        match id.type_.as_str() {
            "email" => Ok(Channel::Email),
            "webhook" => Ok(Channel::Webhook),
            other => Err(format!("notifications of type {other:?} do not exist")),
        }
    }

    fn recipient(id: &NoticeId) -> &str {
        &id.recipient
    }

    fn event(id: &NoticeId) -> &'static str {
        id.happening.word()
    }

    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn letter(&self, now: Timestamp) -> Letter {
        let said = text(self, now);
        let json = serde_json::json!({
            "event": self.id.happening.word(),
            "namespace": self.namespace,
            "booking": self.booking,
            "resource": self.resource,
            "user_id": self.user,
            "from": self.window.from.to_string(),
            "until": self.window.until.to_string(),
            "subject": said.subject,
            "text": said.body,
        });
        Letter {
            recipient: self.id.recipient.clone(),
            json: json.to_string(),
            message_id: message_id(&self.id),
            subject: said.subject,
            body: said.body,
        }
    }
}

/// The message id. It is the same for the same notice, whichever replica sends it.
fn message_id(id: &NoticeId) -> String {
    let whole = format!("{} {} {} {}", id.booking_uid, id.recipient, id.happening.word(), id.about);
    format!("<{}@booking-operator>", digest(&whole))
}

/// Records the delivery of a notice in its Booking.
pub struct BookingRecorder {
    client: Client,
}

impl BookingRecorder {
    /// Creates a recorder that writes with this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Recorder<Notice> for BookingRecorder {
    async fn record(
        &self,
        gate: &PartGate,
        key: &Key,
        notice: &Notice,
        delivery: &Delivery,
    ) -> Result<(), WriteError> {
        let (id, name) = (&notice.id, &notice.booking);
        let bookings: Api<Booking> = Api::namespaced(self.client.clone(), &key.namespace);
        for _ in 0..TRIES {
            let Some(booking) = bookings.get_opt(name).await? else { return Ok(()) };
            let status = Some(&booking).filter(|it| it.uid().as_ref() == Some(&id.booking_uid));
            let Some(status) = status.and_then(|booking| recorded(booking, id, delivery)) else {
                return Ok(());
            };
            let version = booking.metadata.resource_version.as_deref();
            let patch: Patch<_> = status_patch(version, booking.status.as_ref(), &status)?;
            match gate.send("booking_status", bookings.patch_status(name, &params(), &patch)).await {
                Err(WriteError::Conflict) => {}
                written => return written.map(drop),
            }
        }
        Err(WriteError::Conflict)
    }
}
