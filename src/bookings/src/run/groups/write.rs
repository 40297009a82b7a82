//! Writes the objects of a pass over a group.

use std::{collections::HashMap, sync::Arc};

use booking_decision::meta;
use booking_runtime::{
    store::Opened,
    write::{WriteError, Writer},
};
use serde_json::json;

use super::gather::Snapshot;
use crate::{
    api::{Booking, BookingStatus, Lock, Resource},
    decide::{groups::output::Decision, subject::Subject},
    run::lateness,
};

type Write<'a> = (&'a Booking, &'a BookingStatus);

/// The Bookings' statuses in two groups. The first are those that others rely on (states and grants): they are
/// written before the calls. The second only tell users something, so no machine waits for them.
pub(super) fn by_weight<'a>(
    snapshot: &'a Snapshot,
    decision: &'a Decision,
) -> (Vec<Write<'a>>, Vec<Write<'a>>) {
    let known: HashMap<&str, &Booking> =
        snapshot.bookings.iter().map(|booking| (meta::uid(&booking.metadata), &***booking)).collect();
    let writes = decision.booking_statuses.iter();
    writes.filter_map(|(uid, status)| Some((*known.get(uid.as_str())?, status))).partition(
        |(booking, new)| {
            booking.status.as_ref().is_none_or(|old| {
                (&old.status, &old.granted_resource, &old.granted_from, &old.granted_until)
                    != (&new.status, &new.granted_resource, &new.granted_from, &new.granted_until)
            })
        },
    )
}

/// Bookings whose status the API server refused. They do not hold up the others. Nothing is reported about them, and
/// they are tried again.
#[derive(Default)]
pub(super) struct Refused {
    uids: Vec<String>,
    last: Option<WriteError>,
}

impl Refused {
    pub(super) async fn write(
        &mut self,
        bookings: &Writer<'_, Booking>,
        statuses: &[Write<'_>],
    ) -> Result<(), WriteError> {
        for (booking, status) in statuses {
            match bookings.status("booking_status", booking, status).await {
                Err(error @ WriteError::Refused(_)) => {
                    self.uids.extend(booking.metadata.uid.clone());
                    self.last = Some(error);
                }
                written => {
                    written?;
                    let before = booking.status.as_ref().and_then(|old| old.ready_after_seconds);
                    if before.is_none() {
                        lateness::ready(status.ready_after_seconds);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn concerns(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::Booking(uid) if self.uids.contains(uid))
    }

    pub(super) fn into_result(self) -> Result<(), WriteError> {
        self.last.map_or(Ok(()), Err)
    }
}

/// Clears `booked_by` and `booked_until` if they still have the values of `trace`.
pub(super) async fn clear_trace(
    resources: &Writer<'_, Resource>,
    resource: &Resource,
    trace: &Lock,
) -> Result<Resource, WriteError> {
    let spec = &resource.spec;
    let is_unchanged = spec.booked_by.as_deref().unwrap_or_default() == trace.user
        && spec.booked_until.as_deref().unwrap_or_default() == trace.until;
    if !is_unchanged {
        return Err(WriteError::Conflict);
    }
    let body = json!({ "spec": { "booked_by": "", "booked_until": "" } });
    resources.patch("take_over", resource, body).await
}

/// Deletes Bookings after the time to keep them is over.
pub(super) async fn delete_expired(
    bookings: &Writer<'_, Booking>,
    snapshot: &Snapshot,
    decision: &Decision,
) -> Result<(), WriteError> {
    let is_expired = |booking: &&Arc<Opened<Booking>>| {
        booking.metadata.uid.as_ref().is_some_and(|uid| decision.expired.contains(uid))
    };
    for booking in snapshot.bookings.iter().filter(is_expired) {
        bookings.delete("booking_delete", booking).await?;
    }
    Ok(())
}
