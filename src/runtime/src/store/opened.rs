//! Objects that passes have opened recently, with their meaning.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    ops::Deref,
    sync::Arc,
};

use super::{Name, Object};

/// The most objects of a kind that are kept open, which take some megabytes. A pass that comes again soon finds them.
const OPENED_MAX: usize = 2048;

/// An object, and what it means.
pub struct Opened<K: Object> {
    object: K,
    parsed: K::Parsed,
}

impl<K: Object> Opened<K> {
    /// Computes what an object means.
    pub fn new(object: K) -> Self {
        let parsed = object.parse();
        Self { object, parsed }
    }

    /// What it means.
    pub fn parsed(&self) -> &K::Parsed {
        &self.parsed
    }
}

impl<K: Object> fmt::Debug for Opened<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<K: Object> Deref for Opened<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

/// The objects that were opened last, by name, each at one version. The oldest is dropped first.
pub(super) struct OpenedLately<K: Object> {
    by_name: HashMap<Name, (u64, Arc<Opened<K>>)>,
    order: VecDeque<Name>,
}

impl<K: Object> Default for OpenedLately<K> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Object> OpenedLately<K> {
    pub(super) fn get(&self, name: &Name, version: u64) -> Option<Arc<Opened<K>>> {
        self.by_name.get(name).filter(|(of, _)| *of == version).map(|(_, opened)| opened.clone())
    }

    pub(super) fn put(&mut self, name: &Name, version: u64, opened: &Arc<Opened<K>>) {
        if self.by_name.insert(name.clone(), (version, opened.clone())).is_none() {
            self.order.push_back(name.clone());
        }
        let oldest = if self.order.len() > OPENED_MAX { self.order.pop_front() } else { None };
        if let Some(oldest) = oldest {
            self.by_name.remove(&oldest);
        }
    }

    /// Drops an object that has changed or is gone.
    pub(super) fn drop_one(&mut self, name: &Name) {
        if self.by_name.remove(name).is_some() {
            self.order.retain(|of| of != name);
        }
    }
}
