//! What a controller knows of Resources and Bookings, from its watches, its own writes, and reads.

use std::{collections::BTreeMap, sync::Arc};

use bookings::api::Booking;

use super::store::{Change, Kind, Object};

/// The objects that a pass works on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The Resource, if it exists.
    pub resource: Option<Object>,
    /// All Bookings that name it, in order of their names.
    pub bookings: Vec<Object>,
}

/// The newest known version of each object. A later read replaces it even by an older version, because the store may
/// have gone back.
#[derive(Debug, Default)]
pub struct Cache {
    objects: BTreeMap<(Kind, Arc<str>), Object>,
    /// The revision at which an object was known to be gone. An older version must not bring it back.
    gone: BTreeMap<(Kind, Arc<str>), u64>,
    /// The newest revision that was seen.
    newest: u64,
}

impl Cache {
    /// The newest revision that was seen.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// What is known of the Resource of this name, and of its Bookings.
    pub fn snapshot(&self, name: &Arc<str>) -> Snapshot {
        let resource = self.objects.get(&(Kind::Resource, name.clone())).cloned();
        let bookings = self.objects.range((Kind::Booking, Arc::from(""))..).map(|(_, object)| object);
        let bookings = bookings.filter(|object| object.booking().is_some_and(|booking| names(booking, name)));
        Snapshot { resource, bookings: bookings.cloned().collect() }
    }

    /// A watch shows a change. Returns whether it is news.
    pub fn saw(&mut self, change: &Change) -> bool {
        self.newest = self.newest.max(change.revision);
        let key = (change.object.value.kind(), change.object.name.clone());
        if self.gone.get(&key).is_some_and(|gone| change.revision <= *gone) {
            return false;
        }
        let known = self.objects.get(&key);
        if change.deleted {
            let goes = known.is_some_and(|known| known.uid == change.object.uid);
            if goes {
                self.objects.remove(&key);
            }
            self.gone.insert(key, change.revision);
            return goes;
        }
        let news =
            known.is_none_or(|known| known.uid != change.object.uid || known.version < change.object.version);
        if news {
            self.objects.insert(key, change.object.clone());
        }
        news
    }

    /// One of this controller's writes has succeeded.
    pub fn wrote(&mut self, object: &Object) {
        self.newest = self.newest.max(object.version);
        let key = (object.value.kind(), object.name.clone());
        // An object that the watch has shown to be gone must not come back.
        let known = self.objects.get(&key);
        if known.is_some_and(|known| known.uid == object.uid && known.version < object.version) {
            self.objects.insert(key, object.clone());
        }
    }

    /// All objects of some kinds, read consistently at `revision`. `known` was the newest known revision when the read
    /// was sent. Returns the objects that changed.
    pub fn listed(&mut self, kinds: &[Kind], objects: &[Object], revision: u64, known: u64) -> Vec<Object> {
        if revision < known {
            // The store has gone back, so nothing counts that was known before.
            self.objects.retain(|(kind, _), _| !kinds.contains(kind));
            self.gone.clear();
            self.newest = revision;
        }
        self.newest = self.newest.max(revision);
        let mut changed = Vec::new();
        let listed: BTreeMap<(Kind, Arc<str>), &Object> =
            objects.iter().map(|object| ((object.value.kind(), object.name.clone()), object)).collect();
        self.objects.retain(|key, object| {
            let gone = kinds.contains(&key.0) && object.version <= revision && !listed.contains_key(key);
            if gone {
                self.gone.insert(key.clone(), revision);
                changed.push(object.clone());
            }
            !gone
        });
        for (key, object) in listed {
            if self.gone.get(&key).is_some_and(|gone| *gone > revision) {
                continue;
            }
            let stands = self.objects.get(&key).is_some_and(|have| {
                have.uid == object.uid
                    && (have.version == object.version
                        || (have.version > object.version && have.version > known))
            });
            if !stands {
                self.objects.insert(key, object.clone());
                changed.push(object.clone());
            }
        }
        changed
    }
}

/// Whether a Booking names a Resource.
pub fn names(booking: &Booking, resource: &str) -> bool {
    booking.spec.resource_name.as_deref() == Some(resource)
}

#[cfg(test)]
mod tests {
    use bookings::api::{Booking, BookingSpec};

    use super::*;
    use crate::sim::store::Value;

    fn object(version: u64) -> Object {
        let spec = BookingSpec { resource_name: Some("web".into()), ..BookingSpec::default() };
        let value = Value::Booking(Arc::new(Booking::new("b", spec)));
        Object { name: "b".into(), uid: "u".into(), version, value }
    }

    fn known(cache: &Cache) -> Option<u64> {
        cache.snapshot(&"web".into()).bookings.first().map(|object| object.version)
    }

    #[test]
    fn an_own_write_is_not_undone_by_a_list_that_was_made_before() {
        let mut cache = Cache::default();
        cache.saw(&Change { revision: 5, object: object(5), deleted: false });
        let at_request = cache.newest();
        cache.wrote(&object(8));
        assert!(cache.listed(&[Kind::Booking], &[object(5)], 7, at_request).is_empty());
        assert_eq!(known(&cache), Some(8));
    }

    #[test]
    fn a_store_that_went_back_is_believed() {
        for revision in [7, 1_009] {
            let mut cache = Cache::default();
            cache.saw(&Change { revision: 9, object: object(9), deleted: false });
            let at_request = cache.newest();
            assert_eq!(cache.listed(&[Kind::Booking], &[object(5)], revision, at_request).len(), 1);
            assert_eq!(known(&cache), Some(5));
        }
    }
}
