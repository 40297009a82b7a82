//! Publishes the Events of a pass over a group.

use booking_runtime::controller::Context;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;

use super::{gather::Snapshot, write::Refused};
use crate::decide::{groups::output::Decision, subject::Subject};

/// Publishes the Events of a decision, except those about statuses that the API server refused.
pub(super) async fn report(cx: &Context<'_>, snapshot: &Snapshot, decision: &Decision, refused: &Refused) {
    let notes = decision.events.iter().filter(|note| !refused.concerns(&note.subject));
    cx.publish(notes.filter_map(|note| Some((note, reference(snapshot, &note.subject)?)))).await;
}

fn reference(snapshot: &Snapshot, subject: &Subject) -> Option<ObjectReference> {
    match subject {
        Subject::Resource => snapshot.resource.as_ref().map(|resource| resource.object_ref(&())),
        Subject::Booking(uid) => {
            let mut bookings = snapshot.bookings.iter();
            let found = bookings.find(|booking| booking.metadata.uid.as_ref() == Some(uid));
            found.map(|booking| booking.object_ref(&()))
        }
        Subject::Scheduler | Subject::Monitor => None,
    }
}
