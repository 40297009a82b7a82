//! The objects of one kind: how a family sets up the table, and how passes read it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::api::ObjectMeta;

use super::{Index, Object, Opened, Served, gone::Gone, opened::OpenedLately, packed::Packed};
use crate::{Key, watch::WatchHealth};

/// Namespace (empty for a cluster-scoped object) and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Name {
    /// Creates a name from its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name in an object's metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

/// A function that is called for each change of an object, with its name, its old and its new version. It may add
/// keys that the change concerns.
type Follower<K> = Box<dyn Fn(&Name, Option<&K>, Option<&K>, &mut BTreeSet<Key>) + Send + Sync>;

/// Returns the keys under which an object is worked on.
type KeysOf<K> = Box<dyn Fn(&K) -> Vec<Key> + Send + Sync>;

/// Under which keys an object is worked on.
pub(super) enum KeyedBy<K> {
    /// Under no key.
    Nothing,
    /// Under a key of its own name.
    OwnName(&'static str),
    /// Under the keys that a function returns.
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

/// The objects of one kind that its watch selects.
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
    /// Statuses that are being written, by uid. When the watch shows them, that starts no pass.
    pub(super) expected: HashMap<String, K::Status>,
    pub(super) gone: Gone,
    /// The version up to which a watch has reported everything. Zero if that is not known.
    pub(super) watched: u64,
    /// How often the store has gone back. Versions of different epochs cannot be compared.
    pub(super) epoch: u64,
    /// Each namespace once, for all names to share.
    namespaces: HashSet<Arc<str>>,
}

impl<K: Object> State<K> {
    pub(super) fn newest(&self) -> u64 {
        self.objects.values().map(Packed::version).max().unwrap_or_default()
    }

    /// The name, with the shared text of its namespace.
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

/// How a family sets up a table.
impl<K: Object> Table<K> {
    /// Creates an empty table whose objects belong to no key yet.
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

    /// Lets each object be worked on under a key of its own name.
    #[must_use]
    pub fn keyed_by_name(self, kind: &'static str) -> Self {
        Self { keyed_by: KeyedBy::OwnName(kind), ..self }
    }

    /// Lets each object be worked on under the keys that a function returns.
    #[must_use]
    pub fn keyed_by(self, of: impl Fn(&K) -> Vec<Key> + Send + Sync + 'static) -> Self {
        Self { keyed_by: KeyedBy::Keys(Box::new(of), Index::default()), ..self }
    }

    /// Adds a follower of each change, for example a count, or a function that adds the keys of other objects that a
    /// change concerns. It runs while the table is locked, so it must not call the table.
    #[must_use]
    pub fn on_change(
        mut self,
        follow: impl Fn(&Name, Option<&K>, Option<&K>, &mut BTreeSet<Key>) + Send + Sync + 'static,
    ) -> Self {
        self.followers.push(Box::new(follow));
        self
    }

    /// Adds an index by the values that a function derives from an object.
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

    /// The health of its watch.
    pub fn health(&self) -> &Arc<WatchHealth> {
        &self.health
    }
}

/// What passes read.
impl<K: Object> Table<K> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Every method leaves the state consistent before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object by its name.
    pub fn get(&self, name: &Name) -> Option<Arc<Opened<K>>> {
        let packed = self.lock().objects.get(name).cloned()?;
        self.open(name, &packed)
    }

    /// Objects by their names, without those that are gone.
    pub fn get_all(&self, names: impl IntoIterator<Item = Name>) -> Vec<Arc<Opened<K>>> {
        self.open_all(|| names)
    }

    /// Opens the objects of the names that a function gives, both as of one moment.
    fn open_all<N: IntoIterator<Item = Name>>(&self, names: impl FnOnce() -> N) -> Vec<Arc<Opened<K>>> {
        let packed: Vec<_> = {
            let state = self.lock();
            let names = names().into_iter();
            names.filter_map(|name| Some((state.objects.get(&name)?.clone(), name))).collect()
        };
        // They are opened outside of the lock, because every watch event needs the lock.
        packed.iter().filter_map(|(packed, name)| self.open(name, packed)).collect()
    }

    /// The objects of a key, in order of their names.
    pub fn of_key(&self, key: &Key) -> Vec<Arc<Opened<K>>> {
        match &self.keyed_by {
            KeyedBy::Nothing => Vec::new(),
            KeyedBy::OwnName(_) => self.get(&Name::new(&key.namespace, &key.name)).into_iter().collect(),
            KeyedBy::Keys(_, index) => self.open_all(|| index.names(key)),
        }
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Opened<K>>> {
        self.get_all(self.names(|name| &*name.namespace == namespace))
    }

    /// The names that a function selects.
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

    /// All keys under which its objects are worked on.
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

    /// How many bytes its packed objects take.
    pub fn bytes(&self) -> usize {
        self.lock().objects.values().map(Packed::bytes).sum()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.lock().objects.len()
    }
}
