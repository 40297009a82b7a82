//! Finds the instances that may carry a tag, so that a filter need not look at 100,000 instances.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::{Field, Filter, Pattern};
use super::model::Tags;

/// The position of an instance in the order of listings.
pub(crate) type Slot = u64;

/// The instances of one scope. The index has every tag of every remembered version of an instance, so that reads of an
/// earlier moment also find their instances. So its results must be checked.
#[derive(Debug, Default)]
pub(crate) struct ScopeIndex {
    slots: BTreeSet<Slot>,
    tags: BTreeMap<String, BTreeMap<String, BTreeSet<Slot>>>,
}

impl ScopeIndex {
    pub(crate) fn add(&mut self, slot: Slot, tags: &Tags) {
        self.slots.insert(slot);
        for (key, value) in tags {
            let values = self.tags.entry(key.clone()).or_default();
            values.entry(value.clone()).or_default().insert(slot);
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }

    pub(crate) fn remove_tag(&mut self, slot: Slot, key: &str, value: &str) {
        let Some(values) = self.tags.get_mut(key) else {
            return;
        };
        if let Some(slots) = values.get_mut(value) {
            slots.remove(&slot);
            if slots.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.tags.remove(key);
        }
    }

    /// A superset of the instances that all `filters` accept. It is as small as the best one of them makes it.
    pub(crate) fn candidates(&self, filters: &[Filter]) -> Candidates<'_> {
        let narrowed = filters.iter().filter_map(|filter| self.narrow(filter));
        narrowed.min_by_key(Candidates::len).unwrap_or(Candidates::Sets(vec![&self.slots]))
    }

    fn narrow(&self, filter: &Filter) -> Option<Candidates<'_>> {
        let sets = match &filter.field {
            Field::Tag(key) => match self.tags.get(key) {
                Some(values) => matching(values, filter),
                None => Vec::new(),
            },
            Field::TagKey => matching(&self.tags, filter).into_iter().flat_map(BTreeMap::values).collect(),
            _ => return None,
        };
        Some(Candidates::of(sets))
    }
}

/// The entries whose key the filter accepts. Without wildcards it is a look-up.
fn matching<'a, V>(entries: &'a BTreeMap<String, V>, filter: &Filter) -> Vec<&'a V> {
    let exact: Option<BTreeSet<&str>> = filter.patterns.iter().map(exact_text).collect();
    match exact {
        Some(texts) => texts.into_iter().filter_map(|text| entries.get(text)).collect(),
        None => entries.iter().filter(|(key, _)| filter.accepts(key)).map(|(_, value)| value).collect(),
    }
}

fn exact_text(pattern: &Pattern) -> Option<&str> {
    match pattern {
        Pattern::Exact(text) => Some(text),
        Pattern::Wild(_) => None,
    }
}

/// The slots to look at, in order, from any slot on.
#[derive(Debug)]
pub(crate) enum Candidates<'a> {
    Sets(Vec<&'a BTreeSet<Slot>>),
    Merged(BTreeSet<Slot>),
}

impl<'a> Candidates<'a> {
    /// Up to this number of sets is read side by side. More are merged first.
    const SIDE_BY_SIDE: usize = 8;

    fn of(sets: Vec<&'a BTreeSet<Slot>>) -> Self {
        if sets.len() <= Self::SIDE_BY_SIDE {
            Self::Sets(sets)
        } else {
            Self::Merged(sets.into_iter().flatten().copied().collect())
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Sets(sets) => sets.iter().map(|set| set.len()).sum(),
            Self::Merged(set) => set.len(),
        }
    }

    /// The first slot at or after `slot`.
    pub(crate) fn at_or_after(&self, slot: Slot) -> Option<Slot> {
        match self {
            Self::Sets(sets) => sets.iter().filter_map(|set| set.range(slot..).next()).min().copied(),
            Self::Merged(set) => set.range(slot..).next().copied(),
        }
    }
}

#[cfg(test)]
impl ScopeIndex {
    /// The number of values of a tag in the index.
    pub(crate) fn tag_values(&self, key: &str) -> usize {
        self.tags.get(key).map_or(0, BTreeMap::len)
    }

    /// The number of instances that a describe with these filters looks at.
    pub(crate) fn looked_at(&self, filters: &[super::filter::RawFilter]) -> usize {
        Filter::parse_all(filters).map_or(usize::MAX, |filters| self.candidates(&filters).len())
    }
}
