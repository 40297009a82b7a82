//! How a table learns of changes: from its watch, and from the answers to own writes.

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

/// What the watch reports.
impl<K: Object> Table<K> {
    /// Records an object that was seen. Returns the keys for which something changed.
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

    /// Records that the watch reports an object as gone, or as no longer selected, as of its version. Another object
    /// of the same name may exist already.
    pub fn lost(&self, object: &K) -> BTreeSet<Key> {
        self.gone_at(object, version(object.meta()))
    }

    /// Records that an object was looked for and does not exist any more.
    pub fn is_gone(&self, object: &K) -> BTreeSet<Key> {
        self.gone_at(object, u64::MAX)
    }

    fn gone_at(&self, object: &K, gone_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let (name, uid) = (Name::of(object.meta()), uid(object));
        let known = state.objects.get(&name).and_then(|packed| Some((packed.version(), packed.open()?)));
        let known = known.filter(|(_, known)| known.meta().uid == object.meta().uid);
        // It has come back to the selection since, and another read has shown it already.
        if known.as_ref().is_some_and(|(version, _)| *version > gone_at) {
            return BTreeSet::new();
        }
        state.gone.add(uid.to_owned(), gone_at);
        if known.is_some() { self.remove(&mut state, &name, gone_at) } else { BTreeSet::new() }
    }

    /// Ends a consistent list, which showed the store as of version `read_at` or later. Objects that it did not show
    /// are gone, unless they were created later.
    pub fn keep(&self, listed: &HashSet<Name>, read_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let objects = state.objects.iter();
        let gone: Vec<Name> = objects
            .filter(|(name, object)| !listed.contains(*name) && object.version() <= read_at)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().flat_map(|name| self.remove(&mut state, name, read_at)).collect()
    }

    /// Replaces all objects, because the store was restored to an older state, by those that it showed as of
    /// `version`. None if this was already done since `epoch`.
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

    /// The version up to which the watch has reported everything. Zero if that is not known. Own writes do not count,
    /// because other writers' earlier writes may not have arrived yet.
    pub fn watched(&self) -> u64 {
        self.lock().watched
    }

    /// Records that a watch that began in `epoch` has reported everything up to a version. Returns whether that epoch
    /// is still current.
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

    /// Removes an object. At version `gone_at` it did not exist any more.
    fn remove(&self, state: &mut State<K>, name: &Name, gone_at: u64) -> BTreeSet<Key> {
        let Some(packed) = state.objects.remove(name) else { return BTreeSet::new() };
        let Some(old) = packed.open() else { return BTreeSet::new() };
        // An older list that is still being read must not bring it back.
        state.gone.add(uid(&old).to_owned(), gone_at.max(packed.version()));
        let mut changed = self.replaced(name, Some(&old), None);
        changed.extend(self.keyed_by.of(name, &old));
        changed
    }

    /// Updates indexes and followers after an object has replaced another, or has come or gone. Returns the keys that
    /// this concerns in addition to the object's own.
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

/// What own writes report.
impl<K: Object> Table<K> {
    /// Announces a write of a status. The watch may show it before the answer arrives.
    pub fn expect(&self, object: &K, status: &K::Status) {
        self.lock().expected.insert(uid(object).to_owned(), status.clone());
    }

    /// Records that a write to `object` failed: it changed nothing, or its result is unknown.
    pub fn failed(&self, object: &K) {
        self.lock().expected.remove(uid(object));
    }

    /// Records that a write succeeded. `answer` is the object after the write. Returns the keys of other objects for
    /// which something changed.
    pub fn wrote(&self, answer: &K) -> BTreeSet<Key> {
        let mut state = self.lock();
        state.expected.remove(uid(answer));
        // If the watch has shown that the object is gone, it must not come back.
        let name = Name::of(answer.meta());
        let known = state.objects.get(&name).filter(|old| version(answer.meta()) > old.version());
        match known.and_then(Packed::open).filter(|old| old.meta().uid == answer.meta().uid) {
            Some(old) => self.put(&mut state, name, Some(&old), answer),
            None => BTreeSet::new(),
        }
    }

    /// Gives all objects to a follower whose rules have changed. No object changes meanwhile.
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

/// Whether it is another object of the same name, or its deletion has begun, or its spec has changed.
fn is_replaced(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid || old.deletion_timestamp != new.deletion_timestamp || old.generation != new.generation
}
