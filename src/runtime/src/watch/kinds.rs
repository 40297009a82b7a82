//! The kinds that controllers register, without their types, so that the process can run them.

use std::sync::Arc;

use async_trait::async_trait;
use kube::{Client, api::ListParams};

use super::{
    KeyGate, ReadError, RuntimeKinds, WatchHealth, api,
    catch_up::{CatchUp, Way},
    follow,
    runtime_kinds::Begun,
};
use crate::{
    Key,
    store::{Object, Table},
};

/// A kind of a family, without its type.
#[async_trait]
pub trait WatchedKind: Send + Sync {
    /// Its plural name, as in URLs.
    fn plural(&self) -> &str;

    /// The health of its watch.
    fn health(&self) -> &Arc<WatchHealth>;

    /// All keys under which its objects are worked on.
    fn keys(&self) -> Vec<Key>;

    /// Keeps its table current forever.
    async fn follow(&self, client: &Client, namespace: Option<&str>, gate: &KeyGate);

    /// Lets its table catch up.
    ///
    /// # Errors
    /// [`ReadError`] if a read failed.
    async fn catch_up(&self, by: CatchUp<'_>) -> Result<Way, ReadError>;

    /// Whether the API server serves it.
    ///
    /// # Errors
    /// A text that says what to wait for.
    async fn find(&self, client: &Client, namespace: Option<&str>) -> Result<(), String>;
}

#[async_trait]
impl<K: Object> WatchedKind for Table<K> {
    fn plural(&self) -> &str {
        &self.served().resource.plural
    }

    fn health(&self) -> &Arc<WatchHealth> {
        Table::health(self)
    }

    fn keys(&self) -> Vec<Key> {
        Table::keys(self)
    }

    async fn follow(&self, client: &Client, namespace: Option<&str>, gate: &KeyGate) {
        follow::follow((client, namespace), self, gate).await;
    }

    async fn catch_up(&self, by: CatchUp<'_>) -> Result<Way, ReadError> {
        by.table(self).await
    }

    async fn find(&self, client: &Client, namespace: Option<&str>) -> Result<(), String> {
        let kinds = self.plural();
        let api = api::<K>(client.clone(), self.served(), namespace);
        let found = api.list_metadata(&ListParams::default().limit(1)).await;
        found.map(drop).map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => {
                format!("the CRD of {kinds} (kubectl apply -k crds/)")
            }
            other => format!("the API server to list {kinds}: {other}"),
        })
    }
}

/// The kinds that the controllers of a family watch.
#[derive(Default)]
pub struct Watches {
    kinds: Vec<Arc<dyn WatchedKind>>,
    runtime_kinds: Vec<Arc<RuntimeKinds>>,
}

impl Watches {
    /// Registers a kind. If two controllers register the same table, it is watched once.
    pub fn kind<K: Object>(&mut self, table: &Arc<Table<K>>) -> &mut Self {
        let is_same =
            |known: &Arc<dyn WatchedKind>| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(table));
        if !self.kinds.iter().any(is_same) {
            self.kinds.push(table.clone());
        }
        self
    }

    /// Registers kinds that are known only at run time.
    pub fn runtime_kinds(&mut self, kinds: &Arc<RuntimeKinds>) -> &mut Self {
        if !self.runtime_kinds.iter().any(|known| Arc::ptr_eq(known, kinds)) {
            self.runtime_kinds.push(kinds.clone());
        }
        self
    }

    /// All kinds that are known at the start.
    pub fn kinds(&self) -> &[Arc<dyn WatchedKind>] {
        &self.kinds
    }

    /// All kinds that are watched now, including those known only at run time.
    pub fn present(&self) -> Vec<Arc<dyn WatchedKind>> {
        self.kinds.iter().cloned().chain(self.present_at_runtime()).collect()
    }

    /// The kinds known only at run time that are watched now.
    pub(crate) fn present_at_runtime(&self) -> Vec<Arc<dyn WatchedKind>> {
        self.runtime_kinds.iter().flat_map(|kinds| kinds.present()).collect()
    }

    /// Starts the watches of the run-time kinds that are needed. Called when the family begins.
    pub(crate) fn begin_runtime_kinds(&self, begun: &Begun) {
        for kinds in &self.runtime_kinds {
            kinds.begin(begun);
        }
    }
}
