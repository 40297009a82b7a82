//! Objects by a value: of a label, an owner, a group of machines.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Name;

/// Names of objects by a value that a family reads off them. A [`Table`](super::Table) keeps it current.
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

    /// An object has these values in place of those.
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

    /// All values that some object has.
    pub fn values(&self) -> Vec<V>
    where
        V: Clone,
    {
        self.lock().keys().cloned().collect()
    }

    /// Forgets everything: the values are about to be read off anew.
    pub fn clear(&self) {
        self.lock().clear();
    }
}
