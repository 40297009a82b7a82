//! Writes to the API server, for any kind. Each write is a compare-and-swap on the version from which the decision
//! was made. A write from an old version fails; it does not undo what somebody else wrote.
//!
//! A pass asks the permit of its own key. It may touch an object of another key only with a create, with a delete by
//! uid and resourceVersion, or with a compare-and-swap on fields on which both sides have agreed.

mod error;
pub mod merge_patch;

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

pub use self::error::WriteError;
use self::merge_patch::status_patch;
use crate::{
    Key,
    gate::EffectGate,
    queue::WorkQueue,
    store::{Object, Table},
    watch::decode::Trimmed,
};

/// The name of this operator in managedFields and Events.
pub const FIELD_MANAGER: &str = "booking-operator";

/// The longest time for one read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a creation.
#[derive(Debug)]
pub enum Created<K> {
    /// The object did not exist before.
    New,
    /// An object of its name existed.
    Exists(Box<K>),
}

/// Writes objects of one kind for one key.
pub struct Writer<'a, K: Object> {
    pub(crate) client: &'a kube::Client,
    pub(crate) table: &'a Table<K>,
    pub(crate) queue: &'a WorkQueue,
    pub(crate) gate: &'a EffectGate,
}

/// In all methods, `what` is a metric label: a stable word.
impl<K: Object> Writer<'_, K> {
    fn api(&self, object: &K) -> Api<Trimmed<K>> {
        crate::watch::api(self.client.clone(), self.table.served(), object.meta().namespace.as_deref())
    }

    /// Writes an object's status. Returns the object after the write.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed.
    pub async fn status(&self, what: &'static str, object: &K, status: &K::Status) -> Result<K, WriteError> {
        let version = object.meta().resource_version.as_deref();
        let patch = status_patch(version, object.status(), status)?;
        self.table.expect(object, status);
        let (api, name) = (self.api(object), name(object));
        let answer = self.gate.send(what, api.patch_status(name, &params(), &patch)).await;
        self.written(object, answer).await
    }

    /// Patches an object, except its status, if it has not changed since it was read. Returns the object after the
    /// write.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed.
    pub async fn patch(&self, what: &'static str, object: &K, mut body: Value) -> Result<K, WriteError> {
        if let Some(meta) =
            body.as_object_mut().map(|body| body.entry("metadata").or_insert_with(|| json!({})))
            && let Some(meta) = meta.as_object_mut()
        {
            meta.insert("resourceVersion".to_owned(), json!(object.meta().resource_version));
        }
        let (api, name) = (self.api(object), name(object));
        let answer = self.gate.send(what, api.patch(name, &params(), &Patch::Merge(body))).await;
        self.written(object, answer).await
    }

    /// Adds a finalizer, and keeps those of others. Returns the object after the write.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed.
    pub async fn add_finalizer(&self, object: &K, finalizer: &str) -> Result<K, WriteError> {
        let mut all = object.meta().finalizers.clone().unwrap_or_default();
        if all.iter().any(|name| name == finalizer) {
            return Ok(object.clone());
        }
        all.push(finalizer.to_owned());
        self.patch("finalizer", object, json!({ "metadata": { "finalizers": all } })).await
    }

    /// Removes a finalizer, and keeps those of others.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed.
    pub async fn remove_finalizer(&self, object: &K, finalizer: &str) -> Result<(), WriteError> {
        let all = object.meta().finalizers.as_deref().unwrap_or_default();
        let others: Vec<&String> = all.iter().filter(|name| *name != finalizer).collect();
        if others.len() == all.len() {
            return Ok(());
        }
        self.patch("finalizer", object, json!({ "metadata": { "finalizers": others } })).await.map(drop)
    }

    /// Creates an object, unless an object of its name exists.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed.
    pub async fn create(&self, what: &'static str, object: &K) -> Result<Created<K>, WriteError> {
        let (api, sent) = (self.api(object), Trimmed(object.clone()));
        let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let creation = async {
            match api.create(&how, &sent).await {
                Ok(created) => Ok(Some(created)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
                Err(error) => Err(error),
            }
        };
        let created = self.gate.send(what, creation).await.map_err(|error| match error {
            // The cause is a quota, a policy, a webhook, or a namespace that is being deleted.
            WriteError::Api(kube::Error::Api(status)) if status.code == 403 => {
                WriteError::Refused(status.message)
            }
            error => error,
        })?;
        if let Some(Trimmed(created)) = created {
            self.queue.add_all(self.table.saw(&created));
            return Ok(Created::New);
        }
        let read = tokio::time::timeout(READ_TIMEOUT, api.get_opt(name(object))).await;
        match read.map_err(|_| WriteError::Timeout)?? {
            Some(Trimmed(existing)) => Ok(Created::Exists(Box::new(existing))),
            // It has just been deleted.
            None => Err(WriteError::Conflict),
        }
    }

    /// Deletes an object if it has not changed since it was read.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed. It is not an error if the object is gone already.
    pub async fn delete(&self, what: &'static str, object: &K) -> Result<(), WriteError> {
        let meta = object.meta();
        let preconditions =
            Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let api = self.api(object);
        let deletion = async {
            match api.delete(name(object), &how).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.gate.send(what, deletion).await
    }

    /// Reads an object again after a conflict.
    async fn reread(&self, object: &K) -> BTreeSet<Key> {
        match tokio::time::timeout(READ_TIMEOUT, self.api(object).get_opt(name(object))).await {
            Ok(Ok(Some(Trimmed(fresh)))) if fresh.meta().uid == object.meta().uid => self.table.saw(&fresh),
            Ok(Ok(_)) => self.table.is_gone(object),
            _ => BTreeSet::new(),
        }
    }

    /// Records the result of a write. After a conflict the object is read again. That may concern other keys, because
    /// the object may have been retargeted.
    async fn written(&self, object: &K, answer: Result<Trimmed<K>, WriteError>) -> Result<K, WriteError> {
        let (changed, answer) = match answer {
            Ok(Trimmed(written)) => (self.table.wrote(&written), Ok(written)),
            Err(error) => {
                self.table.failed(object);
                let changed = match error {
                    WriteError::Conflict => self.reread(object).await,
                    _ => BTreeSet::new(),
                };
                (changed, Err(error))
            }
        };
        self.queue.add_all(changed);
        answer
    }
}

fn name<K: Object>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// The parameters of patches.
pub fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
