//! A family for tests: ConfigMaps, Namespaces (cluster-scoped) and a kind that is known only at run time.

use std::sync::{Arc, Mutex};

use booking_runtime::{
    Key,
    controller::{Context, Controller, Outcome},
    store::{Fields, Name, Object, Table},
    watch::{RuntimeKinds, Watches},
};
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::site::widgets;

pub const KINDS: [&str; 3] = ["note", "space", "widget"];
pub const FINALIZER: &str = "tests.example.com/ours";
/// The record that is stored for a ConfigMap or a Namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Item {
    metadata: ObjectMeta,
    data: Option<serde_json::Value>,
}

impl Object for Item {
    type Status = ();
    type Parsed = ();
    fn read(fields: &Fields<'_>) -> serde_json::Result<Self> {
        Ok(Self { metadata: ObjectMeta::default(), data: fields.get("data")? })
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
    fn status(&self) -> Option<&()> {
        None
    }
    fn asks_same(&self, other: &Self) -> bool {
        self.data == other.data
    }
    fn parse(&self) {}
}

/// Works on keys of the kind `KINDS[N]`.
pub struct Worker<const N: usize> {
    pub replica: &'static str,
    pub log: Arc<Mutex<Vec<(&'static str, Key)>>>,
    pub items: Arc<Table<Item>>,
    pub widgets: Arc<RuntimeKinds>,
}

impl<const N: usize> Controller for Worker<N> {
    const KIND: &'static str = KINDS[N];
    type Memory = ();
    fn register(&self, watches: &mut Watches) {
        watches.kind(&self.items).runtime_kinds(&self.widgets);
    }
    async fn pass(&self, cx: &Context<'_>, key: &Key, (): &mut ()) -> Outcome {
        let widgets = self.widgets.need(key, &widgets(), true).ok();
        let item = self.items.get(&Name::new(&key.namespace, &key.name));
        let is_known =
            if N == 2 { widgets.is_some_and(|all| !all.of_key(key).is_empty()) } else { item.is_some() };
        let Some(call) = cx.permit().begin().ok().filter(|_| is_known) else { return Outcome::Nothing };
        self.log.lock().unwrap().push((self.replica, key.clone()));
        call.replied();
        let result = match item.filter(|_| N == 0) {
            Some(item) if item.metadata.deletion_timestamp.is_some() => {
                cx.writer(&self.items).remove_finalizer(&item, FINALIZER).await
            }
            Some(item) => cx.writer(&self.items).add_finalizer(&item, FINALIZER).await.map(drop),
            None => Ok(()),
        };
        Outcome::of(result, None)
    }
    fn forget(&self, key: &Key) {
        self.widgets.keep_only(key, &[]);
    }
}
