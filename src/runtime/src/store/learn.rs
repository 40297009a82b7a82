//! What a table learns: from its watch, and from the answers of own writes.

use std::{
    collections::{BTreeSet, HashSet},
    sync::PoisonError,
};

use kube::api::ObjectMeta;

use super::{
    Object,
    gone::Gone,
    packed::Packed,
    table::{KeyedBy, Name, State, Table},
    version::version,
};
use crate::Key;

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

    /// The watch says that an object is gone, or is selected no more, as of its version. Another one of its name may be
    /// there already.
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

    /// A consistent list was complete. It showed the store as of version `read_at` or later: objects that it did not
    /// show are gone, unless they came later.
    pub fn keep(&self, listed: &HashSet<Name>, read_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let objects = state.objects.iter();
        let gone: Vec<Name> = objects
            .filter(|(name, object)| !listed.contains(*name) && object.version() <= read_at)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().flat_map(|name| self.remove(&mut state, name, read_at)).collect()
    }

    /// The store was restored to an older state: what is known is replaced by what it showed as of `version`. None if
    /// that was done already since `epoch`.
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

    /// Up to which version a watch has told everything; zero if that is not known. Own writes do not count: others'
    /// writes before them may not have come yet.
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

    /// A write has succeeded; `answer` is the object as it stands now. Gives the keys of others for which something
    /// changed.
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
