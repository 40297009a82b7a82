//! The objects of one kind.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::api::ObjectMeta;

use super::{
    Index, Object, Opened, Served, gone::Gone, opened::OpenedLately, packed::Packed, version::version,
};
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

/// What is told of each change of an object: its name, the old and the new version. It may add keys that the change concerns.
type Follower<K> = Box<dyn Fn(&Name, Option<&K>, Option<&K>, &mut BTreeSet<Key>) + Send + Sync>;

/// Under which keys an object is worked on.
enum KeyedBy<K> {
    /// Under none.
    Nothing,
    /// Under a key of its own name.
    OwnName(&'static str),
    /// Under the keys that a function gives.
    Keys(Box<dyn Fn(&K) -> Vec<Key> + Send + Sync>, Index<Key>),
}

impl<K> KeyedBy<K> {
    fn of(&self, name: &Name, object: &K) -> Vec<Key> {
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
    keyed_by: KeyedBy<K>,
    followers: Vec<Follower<K>>,
    state: Mutex<State<K>>,
    opened: Mutex<OpenedLately<K>>,
}

struct State<K: Object> {
    objects: HashMap<Name, Packed<K>>,
    /// Statuses on their way to the API server, by uid: their echo is no news.
    expected: HashMap<String, K::Status>,
    gone: Gone,
    /// The version up to which a watch has told everything; zero if that is not known.
    watched: u64,
    /// How often the store has gone back: versions of different epochs do not compare.
    epoch: u64,
    /// Each namespace once.
    namespaces: HashSet<Arc<str>>,
}

impl<K: Object> State<K> {
    fn newest(&self) -> u64 {
        self.objects.values().map(Packed::version).max().unwrap_or_default()
    }

    /// The name, with a namespace that all its objects share.
    fn shared(&mut self, name: Name) -> Name {
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

    /// Something that follows each change: a count, or the keys of others that a change concerns. It runs under the table's
    /// lock, so it must not ask the table.
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
    fn lock(&self) -> MutexGuard<'_, State<K>> {
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

/// What the watch tells.
impl<K: Object> Table<K> {
    /// An object was seen. Gives the keys for which something changed.
    pub fn saw(&self, object: &K) -> BTreeSet<Key> {
        let mut state = self.lock();
        let (uid, seen) = (uid(object), version(object.meta()));
        if state.gone.has(uid, seen) {
            return BTreeSet::new();
        }
        let name = Name::of(object.meta());
        let old = state.objects.get(&name);
        if old.is_some_and(|old| seen <= old.version()) {
            return BTreeSet::new();
        }
        let old = old.and_then(Packed::open);
        let is_news = old.as_ref().is_none_or(|old| {
            let expected = state.expected.get(uid);
            !old.asks_same(object)
                || is_replaced(old.meta(), object.meta())
                || (old.status() != object.status() && (expected.is_none() || object.status() != expected))
        });
        let mut changed = self.put(&mut state, name.clone(), old.as_ref(), object);
        if is_news {
            changed.extend(self.keyed_by.of(&name, object));
        }
        changed
    }

    /// The watch says that an object is gone, or is selected no more, as of its version. Another one of its name may be there
    /// already.
    pub fn lost(&self, object: &K) -> BTreeSet<Key> {
        self.gone_at(object, version(object.meta()))
    }

    /// An object was looked for and is gone for good.
    pub fn is_gone(&self, object: &K) -> BTreeSet<Key> {
        self.gone_at(object, u64::MAX)
    }

    fn gone_at(&self, object: &K, gone_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let (name, uid) = (Name::of(object.meta()), uid(object));
        state.gone.add(uid.to_owned(), gone_at);
        let known = state.objects.get(&name).and_then(Packed::open);
        if known.is_none_or(|known| known.meta().uid != object.meta().uid) {
            return BTreeSet::new();
        }
        self.remove(&mut state, &name, gone_at)
    }

    /// A consistent list was complete. It showed the store as of version `read_at` or later: objects that it did not show are
    /// gone, unless they came later.
    pub fn keep(&self, listed: &HashSet<Name>, read_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let objects = state.objects.iter();
        let gone: Vec<Name> = objects
            .filter(|(name, object)| !listed.contains(*name) && object.version() <= read_at)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().flat_map(|name| self.remove(&mut state, name, read_at)).collect()
    }

    /// The store was restored to an older state: what is known is replaced by what it showed as of `version`. None if that
    /// was done already since `epoch`.
    pub fn went_back(&self, objects: &[K], (epoch, version): (u64, u64)) -> Option<BTreeSet<Key>> {
        let mut state = self.lock();
        if state.epoch != epoch || state.newest() <= version {
            return None;
        }
        let listed: HashSet<Name> = objects.iter().map(|object| Name::of(object.meta())).collect();
        let gone: Vec<Name> = state.objects.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        let mut changed: BTreeSet<Key> =
            gone.iter().flat_map(|name| self.remove(&mut state, name, 0)).collect();
        (state.gone, state.watched, state.epoch) = (Gone::default(), 0, epoch + 1);
        for object in objects {
            let name = Name::of(object.meta());
            changed.extend(self.keyed_by.of(&name, object));
            let old = state.objects.get(&name).and_then(Packed::open);
            changed.extend(self.put(&mut state, name, old.as_ref(), object));
        }
        Some(changed)
    }

    /// The newest version of any object.
    pub fn newest(&self) -> u64 {
        self.lock().newest()
    }

    /// Up to which version a watch has told everything; zero if that is not known. Own writes do not count: others' writes
    /// before them may not have come yet.
    pub fn watched(&self) -> u64 {
        self.lock().watched
    }

    /// A watch that began in an epoch has told everything up to a version. Whether it is that epoch still.
    pub fn has_watched(&self, epoch: u64, version: u64) -> bool {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.watched = version;
        }
        state.epoch == epoch
    }

    /// How often the store has gone back.
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn put(&self, state: &mut State<K>, name: Name, old: Option<&K>, object: &K) -> BTreeSet<Key> {
        let name = state.shared(name);
        state.objects.insert(name.clone(), Packed::new(object));
        self.replaced(&name, old, Some(object))
    }

    /// `gone_at` is a version at which the object was no more.
    fn remove(&self, state: &mut State<K>, name: &Name, gone_at: u64) -> BTreeSet<Key> {
        let Some(packed) = state.objects.remove(name) else { return BTreeSet::new() };
        let Some(old) = packed.open() else { return BTreeSet::new() };
        // An older list that is still being read must not bring it back.
        state.gone.add(uid(&old).to_owned(), gone_at.max(packed.version()));
        let mut changed = self.replaced(name, Some(&old), None);
        changed.extend(self.keyed_by.of(name, &old));
        changed
    }

    /// An object has taken the place of another, or of none. Gives the keys that this concerns beside the object's own.
    fn replaced(&self, name: &Name, old: Option<&K>, new: Option<&K>) -> BTreeSet<Key> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).drop_one(name);
        let mut changed = BTreeSet::new();
        if let KeyedBy::Keys(of, index) = &self.keyed_by {
            let (from, to) = (old.map(of), new.map(of));
            if from != to {
                changed.extend(from.clone().into_iter().flatten());
                index.replace(name, from.into_iter().flatten(), to.into_iter().flatten());
            }
        }
        for follow in &self.followers {
            follow(name, old, new, &mut changed);
        }
        changed
    }
}

/// What a write of ours tells.
impl<K: Object> Table<K> {
    /// A status is about to be written: the watch may show it before the answer comes.
    pub fn expect(&self, object: &K, status: &K::Status) {
        self.lock().expected.insert(uid(object).to_owned(), status.clone());
    }

    /// A write to `object` failed: it changed nothing, or nobody knows.
    pub fn failed(&self, object: &K) {
        self.lock().expected.remove(uid(object));
    }

    /// A write has succeeded; `answer` is the object as it stands now. Gives the keys of others for which something changed.
    pub fn wrote(&self, answer: &K) -> BTreeSet<Key> {
        let mut state = self.lock();
        state.expected.remove(uid(answer));
        // An object that the watch has shown to be gone must not come back.
        let name = Name::of(answer.meta());
        let known = state.objects.get(&name).filter(|old| version(answer.meta()) > old.version());
        match known.and_then(Packed::open).filter(|old| old.meta().uid == answer.meta().uid) {
            Some(old) => self.put(&mut state, name, Some(&old), answer),
            None => BTreeSet::new(),
        }
    }

    /// Hands all objects to a follower whose rules have changed. No object changes meanwhile.
    pub fn read_anew(&self, read: impl FnOnce(&[(Name, K)])) {
        let state = self.lock();
        let open = |(name, packed): (&Name, &Packed<K>)| Some((name.clone(), packed.open()?));
        let all: Vec<(Name, K)> = state.objects.iter().filter_map(open).collect();
        read(&all);
    }
}

fn uid<K: Object>(object: &K) -> &str {
    booking_decision::meta::uid(object.meta())
}

/// Another object of the same name, or one that has begun to go.
fn is_replaced(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid || old.deletion_timestamp != new.deletion_timestamp || old.generation != new.generation
}
