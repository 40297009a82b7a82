//! What a BookingScheduler's pass writes.

use booking_api::{Booking, BookingScheduler, BookingSchedulerStatus};
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{FIELD_MANAGER, READ_TIMEOUT, WriteError, Writer, params, status_patch, without_managed_fields};

/// What came of a creation.
#[derive(Debug)]
pub enum Created {
    /// It was not there before.
    New,
    /// One of its name was.
    Exists(Box<Booking>),
}

impl Writer {
    /// Writes a BookingScheduler's status.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn scheduler_status(
        &self,
        scheduler: &BookingScheduler,
        status: &BookingSchedulerStatus,
    ) -> Result<(), WriteError> {
        let version = scheduler.metadata.resource_version.as_deref();
        let patch = status_patch(version, scheduler.status.as_ref(), status)?;
        self.cache.expect(scheduler, status);
        let name = scheduler.name_any();
        let answer =
            self.leave.send("scheduler_status", self.schedulers.patch_status(&name, &params(), &patch)).await;
        self.written(&self.schedulers, scheduler, answer).await.map(drop)
    }

    /// Creates a Booking unless one of its name exists.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn create_booking(&self, booking: &Booking) -> Result<Created, WriteError> {
        let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let creation = async {
            match self.bookings.create(&how, booking).await {
                Ok(created) => Ok(Some(created)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
                Err(error) => Err(error),
            }
        };
        if let Some(created) = self.leave.send("booking_create", creation).await? {
            self.take_in(created);
            return Ok(Created::New);
        }
        let read = tokio::time::timeout(READ_TIMEOUT, self.bookings.get_opt(&booking.name_any())).await;
        match read.map_err(|_| WriteError::Timeout)?? {
            Some(existing) => Ok(Created::Exists(Box::new(existing))),
            // It has gone just now.
            None => Err(WriteError::Conflict),
        }
    }

    /// Deletes a Booking if it still is as it was seen.
    ///
    /// # Errors
    /// See [`WriteError`]. That it is gone already is none.
    pub async fn delete_booking(&self, booking: &Booking) -> Result<(), WriteError> {
        let preconditions =
            Preconditions { uid: booking.uid(), resource_version: booking.resource_version() };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let name = booking.name_any();
        let deletion = async {
            match self.bookings.delete(&name, &how).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.leave.send("booking_delete", deletion).await
    }

    fn take_in(&self, booking: Booking) {
        for key in self.cache.saw(without_managed_fields(booking)) {
            self.queue.add(key);
        }
    }
}
