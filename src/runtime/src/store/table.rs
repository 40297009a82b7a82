//! The objects of one kind: how a family sets a table up, and what passes ask of it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::api::ObjectMeta;

use super::{Index, Object, Opened, Served, gone::Gone, opened::OpenedLately, packed::Packed};
use crate::{Key, watch::WatchHealth};

/// Namespace (empty for what is cluster-scoped) and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Name {
    /// A name of these parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name in an object's metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

/// What is told of each change of an object: its name, the old and the new version. It may add keys that the change
/// concerns.
type Follower<K> = Box<dyn Fn(&Name, Option<&K>, Option<&K>, &mut BTreeSet<Key>) + Send + Sync>;

/// Gives the keys that an object is worked on under.
type KeysOf<K> = Box<dyn Fn(&K) -> Vec<Key> + Send + Sync>;

/// Under which keys an object is worked on.
pub(super) enum KeyedBy<K> {
    /// Under none.
    Nothing,
    /// Under a key of its own name.
    OwnName(&'static str),
    /// Under the keys that a function gives.
    Keys(KeysOf<K>, Index<Key>),
}

impl<K> KeyedBy<K> {
    pub(super) fn of(&self, name: &Name, object: &K) -> Vec<Key> {
        match self {
            Self::Nothing => Vec::new(),
            Self::OwnName(kind) => vec![Key::new(kind, &*name.namespace, &*name.name)],
            Self::Keys(of, _) => of(object),
        }
    }
}

/// The objects of one kind, as far as its watch wants them.
pub struct Table<K: Object> {
    served: Served,
    health: Arc<WatchHealth>,
    pub(super) keyed_by: KeyedBy<K>,
    pub(super) followers: Vec<Follower<K>>,
    state: Mutex<State<K>>,
    pub(super) opened: Mutex<OpenedLately<K>>,
}

pub(super) struct State<K: Object> {
    pub(super) objects: HashMap<Name, Packed<K>>,
    /// Statuses on their way to the API server, by uid: their echo is no news.
    pub(super) expected: HashMap<String, K::Status>,
    pub(super) gone: Gone,
    /// The version up to which a watch has told everything; zero if that is not known.
    pub(super) watched: u64,
    /// How often the store has gone back: versions of different epochs do not compare.
    pub(super) epoch: u64,
    /// Each namespace once.
    namespaces: HashSet<Arc<str>>,
}

impl<K: Object> State<K> {
    pub(super) fn newest(&self) -> u64 {
        self.objects.values().map(Packed::version).max().unwrap_or_default()
    }

    /// The name, with a namespace that all its objects share.
    pub(super) fn shared(&mut self, name: Name) -> Name {
        if let Some(known) = self.namespaces.get(&name.namespace) {
            return Name { namespace: known.clone(), ..name };
        }
        self.namespaces.insert(name.namespace.clone());
        name
    }
}

impl<K: Object> fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count(), self.served.resource.plural)
    }
}

/// How a family sets a table up.
impl<K: Object> Table<K> {
    /// An empty table; its objects belong to no key yet.
    pub fn new(served: Served) -> Self {
        let state = State {
            objects: HashMap::new(),
            expected: HashMap::new(),
            gone: Gone::default(),
            watched: 0,
            epoch: 0,
            namespaces: HashSet::new(),
        };
        Self {
            served,
            health: Arc::default(),
            keyed_by: KeyedBy::Nothing,
            followers: Vec::new(),
            state: Mutex::new(state),
            opened: Mutex::default(),
        }
    }

    /// Each object is worked on under a key of its own name.
    #[must_use]
    pub fn keyed_by_name(self, kind: &'static str) -> Self {
        Self { keyed_by: KeyedBy::OwnName(kind), ..self }
    }

    /// Each object is worked on under the keys that a function gives.
    #[must_use]
    pub fn keyed_by(self, of: impl Fn(&K) -> Vec<Key> + Send + Sync + 'static) -> Self {
        Self { keyed_by: KeyedBy::Keys(Box::new(of), Index::default()), ..self }
    }

    /// Something that follows each change: a count, or the keys of others that a change concerns. It runs under the
    /// table's lock, so it must not ask the table.
    #[must_use]
    pub fn on_change(
        mut self,
        follow: impl Fn(&Name, Option<&K>, Option<&K>, &mut BTreeSet<Key>) + Send + Sync + 'static,
    ) -> Self {
        self.followers.push(Box::new(follow));
        self
    }

    /// An index by the values that a function reads off an object.
    #[must_use]
    pub fn index<V, I>(self, index: &Arc<Index<V>>, values: impl Fn(&K) -> I + Send + Sync + 'static) -> Self
    where
        V: Eq + std::hash::Hash + Send + 'static,
        I: IntoIterator<Item = V> + PartialEq,
    {
        let index = index.clone();
        self.on_change(move |name, old, new, _| {
            let (old, new) = (old.map(&values), new.map(&values));
            if old != new {
                index.replace(name, old.into_iter().flatten(), new.into_iter().flatten());
            }
        })
    }

    /// Where the API server serves the kind.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// How its watch stands.
    pub fn health(&self) -> &Arc<WatchHealth> {
        &self.health
    }
}

/// What passes ask.
impl<K: Object> Table<K> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Every method leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object by its name.
    pub fn get(&self, name: &Name) -> Option<Arc<Opened<K>>> {
        let packed = self.lock().objects.get(name).cloned()?;
        self.open(name, &packed)
    }

    /// Objects by their names; those that are gone are left out.
    pub fn get_all(&self, names: impl IntoIterator<Item = Name>) -> Vec<Arc<Opened<K>>> {
        let packed: Vec<_> = {
            let state = self.lock();
            names.into_iter().filter_map(|name| Some((state.objects.get(&name)?.clone(), name))).collect()
        };
        // Opened outside of the lock, which every watch event needs.
        packed.iter().filter_map(|(packed, name)| self.open(name, packed)).collect()
    }

    /// The objects of a key, in order of their names.
    pub fn of_key(&self, key: &Key) -> Vec<Arc<Opened<K>>> {
        match &self.keyed_by {
            KeyedBy::Nothing => Vec::new(),
            KeyedBy::OwnName(_) => self.get(&Name::new(&key.namespace, &key.name)).into_iter().collect(),
            KeyedBy::Keys(_, index) => self.get_all(index.names(key)),
        }
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Opened<K>>> {
        self.get_all(self.names(|name| &*name.namespace == namespace))
    }

    /// The names of all objects that a function wants.
    pub fn names(&self, wants: impl Fn(&Name) -> bool) -> Vec<Name> {
        self.lock().objects.keys().filter(|name| wants(name)).cloned().collect()
    }

    fn open(&self, name: &Name, packed: &Packed<K>) -> Option<Arc<Opened<K>>> {
        let lately = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = lately().get(name, packed.version()) {
            return Some(opened);
        }
        let opened = Arc::new(Opened::new(packed.open()?));
        if opened.is_open() {
            lately().put(name, packed.version(), &opened);
        }
        Some(opened)
    }

    /// Every key that its objects are worked on under.
    pub fn keys(&self) -> Vec<Key> {
        match &self.keyed_by {
            KeyedBy::Nothing => Vec::new(),
            KeyedBy::OwnName(kind) => {
                let state = self.lock();
                state.objects.keys().map(|name| Key::new(kind, &*name.namespace, &*name.name)).collect()
            }
            KeyedBy::Keys(_, index) => index.values(),
        }
    }

    /// Bytes that its objects take at rest.
    pub fn bytes(&self) -> usize {
        self.lock().objects.values().map(Packed::bytes).sum()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.lock().objects.len()
    }
}
