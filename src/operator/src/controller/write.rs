//! Writes to the API server. Each is a compare-and-swap on the version that the decision was made
//! from: one made from an old view fails instead of undoing what somebody else wrote. A Booking's end
//! is such a write, and comes before the stop: an extension that we have not seen yet makes it fail.

mod create;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use booking_decision::permit::{Permit, PermitLapsed};
use bookings::api::{
    Booking, BookingScheduler, BookingStatus, FINALIZER, Lock, Resource, ResourceMonitor, ResourceStatus,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use self::create::Created;
use super::{
    Key,
    cache::Cache,
    decode::{Lean, Watched},
    queue::WorkQueue,
};

/// Who we are in managedFields and Events.
pub const FIELD_MANAGER: &str = "booking-operator";

/// Longest time one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object has changed or is gone: decide again from what it is now.
    #[error("changed meanwhile")]
    Conflict,
    /// No answer in time: it may have taken effect.
    #[error("no answer in time")]
    Timeout,
    /// Somebody else may own the object's key by now: nothing was sent.
    #[error(transparent)]
    PermitLapsed(#[from] PermitLapsed),
    /// The API server refused this one object's change; it will refuse it again.
    #[error("refused: {0}")]
    Refused(String),
    /// The API server failed, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl WriteError {
    /// A stable word, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::PermitLapsed(_) => "permit_lapsed",
            Self::Refused(_) => "refused",
            Self::Api(_) => "api",
        }
    }
}

/// Writes for one namespace, with leave to work on one key.
#[derive(Clone)]
pub struct Writer {
    bookings: Api<Lean<Booking>>,
    resources: Api<Lean<Resource>>,
    schedulers: Api<Lean<BookingScheduler>>,
    monitors: Api<Lean<ResourceMonitor>>,
    cache: Arc<Cache>,
    queue: Arc<WorkQueue>,
    leave: Leave,
}

/// Writes to the API server that are under way at once: more make it slower for everybody.
pub const WRITES_AT_ONCE: usize = 32;

/// Leave to write, asked before each write.
#[derive(Clone)]
pub struct Leave {
    /// Leave to work on the key.
    pub permit: Arc<dyn Permit>,
    /// Shared by all passes.
    pub writes: Arc<Semaphore>,
}

impl Leave {
    /// The same leave, with other places.
    #[must_use]
    pub fn with(&self, places: &Arc<Semaphore>) -> Self {
        Self { permit: self.permit.clone(), writes: places.clone() }
    }

    /// Sends a write, if there still is leave, and waits for its reply.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn send<T>(
        &self,
        what: &'static str,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let answer = self.bounded(write).await;
        let outcome = answer.as_ref().map_or_else(WriteError::category, |_| "ok");
        metrics::counter!("booking_operator_api_writes_total", "write" => what, "outcome" => outcome)
            .increment(1);
        answer
    }

    async fn bounded<T>(&self, write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        let _turn = self.writes.acquire().await;
        let call = self.permit.begin()?;
        let Ok(answer) = tokio::time::timeout(self.permit.call_timeout(), write).await else {
            return Err(WriteError::Timeout);
        };
        // Without a reply, or with one that somebody between gave, the write may still be under way.
        let over = match &answer {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => status.code < 500,
            Err(_) => false,
        };
        if over {
            call.replied();
        }
        match answer {
            // 404: gone, and with it the version that was to be swapped.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(WriteError::Conflict),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 413 | 422) => {
                Err(WriteError::Refused(status.message))
            }
            answer => answer.map_err(WriteError::from),
        }
    }
}

impl Writer {
    /// A writer for a namespace.
    pub fn new(
        client: Client,
        namespace: &str,
        cache: Arc<Cache>,
        queue: Arc<WorkQueue>,
        leave: Leave,
    ) -> Self {
        Self {
            bookings: Api::namespaced(client.clone(), namespace),
            resources: Api::namespaced(client.clone(), namespace),
            schedulers: Api::namespaced(client.clone(), namespace),
            monitors: Api::namespaced(client, namespace),
            cache,
            queue,
            leave,
        }
    }

    /// Writes a Booking's status.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn booking_status(&self, booking: &Booking, status: &BookingStatus) -> Result<(), WriteError> {
        self.status("booking_status", &self.bookings, booking, status).await.map(drop)
    }

    /// Writes a Resource's status; gives the Resource as it is then.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn resource_status(
        &self,
        resource: &Resource,
        status: &ResourceStatus,
    ) -> Result<Resource, WriteError> {
        self.status("resource_status", &self.resources, resource, status).await
    }

    async fn status<K>(
        &self,
        what: &'static str,
        api: &Api<Lean<K>>,
        object: &K,
        status: &K::Status,
    ) -> Result<K, WriteError>
    where
        K: Watched,
    {
        let version = object.meta().resource_version.as_deref();
        let patch = status_patch(version, object.status(), status)?;
        self.cache.expect(object, status);
        let name = object.name_any();
        let answer = self.leave.send(what, api.patch_status(&name, &params(), &patch)).await;
        self.written(api, object, answer).await
    }

    /// Adds our finalizer; gives the Resource as it is then.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn add_finalizer(&self, resource: &Resource) -> Result<Resource, WriteError> {
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.patch_resource("finalizer", resource, json!({ "metadata": { "finalizers": finalizers } })).await
    }

    /// Removes our finalizer.
    ///
    /// # Errors
    /// See [`WriteError`]. A Resource that is gone already is no error.
    pub async fn remove_finalizer(&self, resource: &Resource) -> Result<(), WriteError> {
        let finalizers: Vec<&String> =
            resource.finalizers().iter().filter(|name| *name != FINALIZER).collect();
        let body = json!({ "metadata": { "finalizers": finalizers } });
        self.patch_resource("finalizer", resource, body).await.map(drop)
    }

    /// Clears `booked_by` and `booked_until`, which must still say `trace`.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn clear_trace(&self, resource: &Resource, trace: &Lock) -> Result<Resource, WriteError> {
        let spec = &resource.spec;
        let unchanged = spec.booked_by.as_deref().unwrap_or_default() == trace.user
            && spec.booked_until.as_deref().unwrap_or_default() == trace.until;
        if !unchanged {
            return Err(WriteError::Conflict);
        }
        let body = json!({ "spec": { "booked_by": "", "booked_until": "" } });
        self.patch_resource("take_over", resource, body).await
    }

    async fn patch_resource(
        &self,
        what: &'static str,
        resource: &Resource,
        mut body: Value,
    ) -> Result<Resource, WriteError> {
        if let Some(meta) =
            body.as_object_mut().map(|body| body.entry("metadata").or_insert_with(|| json!({})))
        {
            merge(meta, json!({ "resourceVersion": resource.resource_version() }));
        }
        let name = resource.name_any();
        let answer = self.leave.send(what, self.resources.patch(&name, &params(), &Patch::Merge(body))).await;
        self.written(&self.resources, resource, answer).await
    }

    /// Reads an object that is not what it was thought to be.
    async fn reread<K>(&self, api: &Api<Lean<K>>, object: &K) -> BTreeSet<Key>
    where
        K: Watched,
    {
        match tokio::time::timeout(READ_TIMEOUT, api.get_opt(&object.name_any())).await {
            Ok(Ok(Some(Lean(fresh)))) if fresh.uid() == object.uid() => self.cache.saw(fresh),
            Ok(Ok(_)) => self.cache.lost(object),
            _ => BTreeSet::new(),
        }
    }

    /// Records what came of a write. After a conflict the object is read afresh: that is news, and may
    /// concern other keys, for it may have been retargeted.
    async fn written<K>(
        &self,
        api: &Api<Lean<K>>,
        object: &K,
        answer: Result<Lean<K>, WriteError>,
    ) -> Result<K, WriteError>
    where
        K: Watched,
    {
        let (changed, answer) = match answer {
            Ok(Lean(written)) => (self.cache.wrote(written.clone()), Ok(written)),
            Err(error) => {
                self.cache.failed(object);
                let changed = match error {
                    WriteError::Conflict => self.reread(api, object).await,
                    _ => BTreeSet::new(),
                };
                (changed, Err(error))
            }
        };
        for key in changed {
            self.queue.add(key);
        }
        answer
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A merge patch that turns one status into another if the object is still at `version`. Fields that
/// this release does not know stay as they are.
pub(crate) fn status_patch<S: serde::Serialize>(
    version: Option<&str>,
    old: Option<&S>,
    new: &S,
) -> Result<Patch<Value>, WriteError> {
    let json = |status: &S| serde_json::to_value(status).map_err(kube::Error::SerdeError);
    let old = old.map(json).transpose()?.unwrap_or_else(|| json!({}));
    let changes = difference(&old, &json(new)?);
    Ok(Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "status": changes })))
}

/// The JSON merge patch (RFC 7386) that turns `old` into `new`.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, value)| {
        let before = old.get(key).unwrap_or(&Value::Null);
        (key.clone(), difference(before, value))
    });
    removed.chain(changed).collect()
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_patch_names_only_what_changes_and_removes_what_is_gone() {
        let old = json!({ "a": 1, "b": { "c": 1, "d": 2 }, "gone": true, "list": [1, 2] });
        let new = json!({ "a": 1, "b": { "c": 1, "d": 3 }, "new": "x", "list": [2] });
        let expected = json!({ "b": { "d": 3 }, "gone": null, "new": "x", "list": [2] });
        assert_eq!(difference(&old, &new), expected);
    }

    #[test]
    fn a_patch_carries_the_version_it_was_decided_from() {
        let new = BookingStatus { status: Some("SCHEDULED".into()), ..Default::default() };
        let Patch::Merge(patch) = status_patch(Some("7"), None, &new).unwrap() else { panic!() };
        assert_eq!(
            patch,
            json!({ "metadata": { "resourceVersion": "7" }, "status": { "status": "SCHEDULED" } })
        );
    }
}
