//! Kinds that are known only at run time, because a user's object names them.
//!
//! A controller says which kind a key needs, and when the key does not need it any more. The watch of a kind begins
//! with the first key and ends with the last. If the API server does not serve the kind, its watch is tried again
//! with growing waits. Other kinds are not affected.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt;
use kube::{Client, api::ApiResource};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{KeyGate, WatchedKind};
use crate::{
    Key,
    store::{Served, Table, object::RuntimeObject},
};

/// The most kinds that are watched. Each costs a connection and a task. If a key needs one more, it gets an error.
const KINDS_MAX: usize = 200;

/// Returns the keys under which an object of such a kind is worked on.
type KeysOf = Arc<dyn Fn(&RuntimeObject) -> Vec<Key> + Send + Sync>;

/// A key needs more kinds than can be watched at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{KINDS_MAX} kinds are watched already, which is the most")]
pub struct TooManyKinds;

/// The kinds of a controller that are known only at run time.
pub struct RuntimeKinds {
    /// Label selector of their objects. None means all.
    labels: Option<String>,
    keys_of: KeysOf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: Option<Begun>,
    watched: HashMap<ApiResource, WatchedRuntimeKind>,
}

/// What a watch needs. A family has it once it has begun.
#[derive(Clone)]
pub(crate) struct Begun {
    pub(crate) client: Client,
    pub(crate) namespace: Option<String>,
    pub(crate) gate: Arc<KeyGate>,
    /// Ends the process.
    pub(crate) stop: CancellationToken,
}

/// The keys that need a kind.
type NeededBy = Arc<Mutex<BTreeSet<Key>>>;

struct WatchedRuntimeKind {
    table: Arc<Table<RuntimeObject>>,
    needed_by: NeededBy,
    /// Its watch, which ends when this is dropped.
    task: Option<AbortOnDropHandle<()>>,
}

impl RuntimeKinds {
    /// Creates it without kinds. Only objects with these labels are watched. `keys_of` returns the keys under which
    /// an object is worked on.
    pub fn new(
        labels: Option<String>,
        keys_of: impl Fn(&RuntimeObject) -> Vec<Key> + Send + Sync + 'static,
    ) -> Self {
        Self { labels, keys_of: Arc::new(keys_of), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Registers that a key needs a kind, and returns the kind's table. The table is empty until its watch has listed
    /// it.
    ///
    /// # Errors
    /// [`TooManyKinds`] if too many kinds are watched already.
    pub fn need(
        &self,
        key: &Key,
        resource: &ApiResource,
        namespaced: bool,
    ) -> Result<Arc<Table<RuntimeObject>>, TooManyKinds> {
        let mut state = self.lock();
        if let Some(known) = state.watched.get_mut(resource) {
            lock(&known.needed_by).insert(key.clone());
            return Ok(known.table.clone());
        }
        if state.watched.len() >= KINDS_MAX {
            return Err(TooManyKinds);
        }
        let served = Served { labels: self.labels.clone(), ..Served::of(resource.clone(), namespaced) };
        let keys_of = self.keys_of.clone();
        let table = Arc::new(Table::new(served).keyed_by(move |object| keys_of(object)));
        let needed_by = Arc::new(Mutex::new(BTreeSet::from([key.clone()])));
        let task = state.begun.as_ref().map(|begun| begun.watch(&table, &needed_by));
        state.watched.insert(resource.clone(), WatchedRuntimeKind { table: table.clone(), needed_by, task });
        Ok(table)
    }

    /// Registers that a key needs only these kinds from now on.
    pub fn keep_only(&self, key: &Key, needed: &[ApiResource]) {
        self.lock().watched.retain(|resource, watched| {
            let mut needed_by = lock(&watched.needed_by);
            if !needed.contains(resource) {
                needed_by.remove(key);
            }
            !needed_by.is_empty()
        });
    }

    /// The kinds that are watched now.
    pub fn present(&self) -> Vec<Arc<dyn WatchedKind>> {
        let state = self.lock();
        state.watched.values().map(|watched| watched.table.clone() as Arc<dyn WatchedKind>).collect()
    }

    pub(super) fn begin(&self, begun: &Begun) {
        let mut state = self.lock();
        for watched in state.watched.values_mut() {
            watched.task = Some(begun.watch(&watched.table, &watched.needed_by));
        }
        state.begun = Some(begun.clone());
    }
}

impl Begun {
    fn watch(&self, table: &Arc<Table<RuntimeObject>>, needed_by: &NeededBy) -> AbortOnDropHandle<()> {
        let (begun, table, needed_by) = (self.clone(), table.clone(), needed_by.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let follows = table.follow(&begun.client, begun.namespace.as_deref(), &begun.gate);
            let first = async {
                table.health().synced().await;
                // Keys that found it empty are due again, even if it has no object of theirs.
                let keys = lock(&needed_by).clone();
                begun.gate.pass(keys);
            };
            let both = AssertUnwindSafe(async { tokio::join!(follows, first) });
            if both.catch_unwind().await.is_err() {
                // A table that nobody keeps current would be believed.
                begun.stop.cancel();
            }
        }))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use kube::api::GroupVersionKind;

    use super::*;

    fn kind(name: &str) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("tests.example.com", "v1", name))
    }

    fn key(name: &str) -> Key {
        Key::new("test", "n", name)
    }

    #[test]
    fn a_kind_is_watched_from_the_first_key_that_needs_it_to_the_last() {
        // given two keys that need a kind, and one of them needs another one, too
        let kinds = RuntimeKinds::new(None, |_| Vec::new());
        let first = kinds.need(&key("a"), &kind("Widget"), true).unwrap();
        assert!(Arc::ptr_eq(&first, &kinds.need(&key("b"), &kind("Widget"), true).unwrap()));
        kinds.need(&key("a"), &kind("Gadget"), true).unwrap();
        assert_eq!(kinds.present().len(), 2);
        // when each needs less, then what nobody needs any more goes
        kinds.keep_only(&key("a"), &[kind("Widget")]);
        assert_eq!(kinds.present().len(), 1);
        kinds.keep_only(&key("a"), &[]);
        assert_eq!(kinds.present().len(), 1);
        kinds.keep_only(&key("b"), &[]);
        assert!(kinds.present().is_empty());
    }

    #[test]
    fn one_kind_more_than_are_watched_at_most_is_refused() {
        let kinds = RuntimeKinds::new(None, |_| Vec::new());
        for number in 0..KINDS_MAX {
            kinds.need(&key("a"), &kind(&format!("Kind{number}")), true).unwrap();
        }
        assert_eq!(kinds.need(&key("a"), &kind("More"), true).err(), Some(TooManyKinds));
    }
}
