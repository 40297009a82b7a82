//! What the passes of BookingSchedulers and ResourceMonitors write.

use bookings::api::{
    Booking, BookingScheduler, BookingSchedulerStatus, Resource, ResourceMonitor, ResourceMonitorStatus,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{FIELD_MANAGER, READ_TIMEOUT, WriteError, Writer};
use crate::controller::decode::{Lean, Watched};

/// What came of a creation.
#[derive(Debug)]
pub enum Created<K> {
    /// It was not there before.
    New,
    /// One of its name was.
    Exists(Box<K>),
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
        self.status("scheduler_status", &self.schedulers, scheduler, status).await.map(drop)
    }

    /// Writes a ResourceMonitor's status.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn monitor_status(
        &self,
        monitor: &ResourceMonitor,
        status: &ResourceMonitorStatus,
    ) -> Result<(), WriteError> {
        self.status("monitor_status", &self.monitors, monitor, status).await.map(drop)
    }

    /// Creates a Booking unless one of its name exists.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn create_booking(&self, booking: &Booking) -> Result<Created<Booking>, WriteError> {
        self.create("booking_create", &self.bookings, booking).await
    }

    /// Creates a Resource unless one of its name exists.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn create_resource(&self, resource: &Resource) -> Result<Created<Resource>, WriteError> {
        self.create("resource_create", &self.resources, resource).await
    }

    async fn create<K: Watched>(
        &self,
        what: &'static str,
        api: &Api<Lean<K>>,
        object: &K,
    ) -> Result<Created<K>, WriteError> {
        let sent = Lean(object.clone());
        let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let creation = async {
            match api.create(&how, &sent).await {
                Ok(created) => Ok(Some(created)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
                Err(error) => Err(error),
            }
        };
        let created = self.leave.send(what, creation).await.map_err(|error| match error {
            // A quota, a policy, a webhook, or a namespace that is going.
            WriteError::Api(kube::Error::Api(status)) if status.code == 403 => {
                WriteError::Refused(status.message)
            }
            error => error,
        })?;
        if let Some(Lean(created)) = created {
            for key in self.cache.saw(created) {
                self.queue.add(key);
            }
            return Ok(Created::New);
        }
        let read = tokio::time::timeout(READ_TIMEOUT, api.get_opt(&object.name_any())).await;
        match read.map_err(|_| WriteError::Timeout)?? {
            Some(Lean(existing)) => Ok(Created::Exists(Box::new(existing))),
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
}
