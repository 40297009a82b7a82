//! Indexes: objects by a value, such as a label, an owner or a group of machines.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Name;

/// Names of objects by a value that a family derives from them. A [`Table`](super::Table) keeps the index current.
#[derive(Debug)]
pub struct Index<V>(Mutex<HashMap<V, BTreeSet<Name>>>);

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Eq + Hash> Index<V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<V, BTreeSet<Name>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the values of an object.
    pub fn replace(&self, name: &Name, old: impl IntoIterator<Item = V>, new: impl IntoIterator<Item = V>) {
        let mut names = self.lock();
        for value in old {
            if let Some(members) = names.get_mut(&value) {
                members.remove(name);
                if members.is_empty() {
                    names.remove(&value);
                }
            }
        }
        for value in new {
            names.entry(value).or_default().insert(name.clone());
        }
    }

    /// The objects that have a value, in order of their names.
    pub fn names(&self, value: &V) -> Vec<Name> {
        self.lock().get(value).into_iter().flatten().cloned().collect()
    }

    /// All values that at least one object has.
    pub fn values(&self) -> Vec<V>
    where
        V: Clone,
    {
        self.lock().keys().cloned().collect()
    }
}
