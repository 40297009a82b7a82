//! Records a delivery without a pass: where the key is about to be another replica's, or the process to end, no pass
//! comes any more, and whoever follows must not send once more.
//!
//! It is a part of the call that sent the notice: as long as that one is not over, the key is nobody else's.

use bookings::{
    api::Booking,
    decide::groups::notices::{Delivery, recorded},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};

use crate::controller::{
    Key,
    write::{FIELD_MANAGER, WriteError, status_patch},
};

/// A pass that was still at work may cross it, and a person.
const TRIES: usize = 3;

/// Writes what became of a notice into its Booking.
///
/// # Errors
/// [`WriteError`]: then whoever comes next sends it once more.
pub(super) async fn record(
    client: &Client,
    key: &Key,
    (name, id): (&str, &bookings::decide::groups::notices::NoticeId),
    delivery: &Delivery,
) -> Result<(), WriteError> {
    let bookings: Api<Booking> = Api::namespaced(client.clone(), &key.namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    for _ in 0..TRIES {
        let Some(booking) = bookings.get_opt(name).await? else { return Ok(()) };
        let status = Some(&booking).filter(|it| it.uid().as_ref() == Some(&id.booking_uid));
        let Some(status) = status.and_then(|booking| recorded(booking, id, delivery)) else { return Ok(()) };
        let version = booking.metadata.resource_version.as_deref();
        let patch: Patch<_> = status_patch(version, booking.status.as_ref(), &status)?;
        match bookings.patch_status(name, &params, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            written => return written.map(drop).map_err(WriteError::from),
        }
    }
    Err(WriteError::Conflict)
}
