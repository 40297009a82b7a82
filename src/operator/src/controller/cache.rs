//! Objects by key, as the API server last showed them, our own writes included.
//!
//! A pass decides on everything that names a Resource, so it must see what the pass before it wrote,
//! though the watch may not have brought it yet: a grant that is missed could be given away twice. So a
//! write's answer is recorded here at once, and of two versions of an object the newer one stays
//! (resourceVersions compare as numbers: documented since Kubernetes 1.35, true before).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use booking_api::{Booking, Resource};
use booking_core::{Claim, claim::claim};
use kube::{ResourceExt, api::ObjectMeta};

use super::Key;

/// What a pass works on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The Resource, if it exists.
    pub resource: Option<Arc<Resource>>,
    /// All Bookings that name it, in order of their names.
    pub bookings: Vec<Arc<Booking>>,
    /// Whether the Resource acts on its group.
    pub claim: Claim,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cache {
    state: Mutex<State>,
}

/// Namespace and name.
type Name = (String, String);

#[derive(Debug, Default)]
struct State {
    resources: HashMap<Name, Arc<Resource>>,
    bookings: HashMap<Name, Arc<Booking>>,
    bookings_of: HashMap<Key, BTreeSet<String>>,
    /// Resources by what makes their machines the same.
    groups: HashMap<GroupFields, BTreeSet<Name>>,
    /// Statuses on their way to the API server, by uid: their echo is no news.
    expected: HashMap<String, Expected>,
}

/// Type, role, region, tag: unset fields compare as such. Two Resources of which only one spells out
/// the operator's own region are told apart by the decision, which refuses other regions.
type GroupFields = (Option<String>, Option<String>, Option<String>, Option<String>);

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Resource(Option<booking_api::ResourceStatus>),
    Booking(Option<booking_api::BookingStatus>),
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every method leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key.
    pub fn snapshot(&self, key: &Key) -> Snapshot {
        let state = self.lock();
        let resource = state.resources.get(&(key.namespace.clone(), key.resource.clone())).cloned();
        let names = state.bookings_of.get(key).into_iter().flatten();
        let bookings =
            names.filter_map(|name| state.bookings.get(&(key.namespace.clone(), name.clone())).cloned());
        let claim = resource.as_ref().map_or(Claim::Ours, |resource| {
            let names = state.groups.get(&group_fields(resource)).into_iter().flatten();
            claim(resource, names.filter_map(|name| state.resources.get(name)).map(Arc::as_ref))
        });
        Snapshot { bookings: bookings.collect(), resource, claim }
    }

    /// A Resource was seen. Gives the keys for which something changed.
    pub fn see_resource(&self, resource: Resource) -> BTreeSet<Key> {
        let mut state = self.lock();
        let name = name_of(&resource);
        let old = state.resources.get(&name).cloned();
        if old.as_ref().is_some_and(|old| !is_newer(&resource.metadata, &old.metadata)) {
            return BTreeSet::new();
        }
        let expected = Expected::Resource(resource.status.clone());
        let news = old.as_ref().is_none_or(|old| {
            old.spec != resource.spec
                || is_replaced(&old.metadata, &resource.metadata)
                || (old.status != resource.status && !state.is_expected(&resource.metadata, &expected))
        });
        state.put_resource(name, Arc::new(resource), news)
    }

    /// A Booking was seen. Gives the keys for which something changed.
    pub fn see_booking(&self, booking: Booking) -> BTreeSet<Key> {
        let mut state = self.lock();
        let name = name_of(&booking);
        let old = state.bookings.get(&name).cloned();
        if old.as_ref().is_some_and(|old| !is_newer(&booking.metadata, &old.metadata)) {
            return BTreeSet::new();
        }
        let expected = Expected::Booking(booking.status.clone());
        let news = old.as_ref().is_none_or(|old| {
            old.spec != booking.spec
                || is_replaced(&old.metadata, &booking.metadata)
                || (old.status != booking.status && !state.is_expected(&booking.metadata, &expected))
        });
        state.put_booking(name, Arc::new(booking), news)
    }

    /// A Resource is gone.
    pub fn forget_resource(&self, resource: &Resource) -> BTreeSet<Key> {
        self.lock().remove_resource(&name_of(resource))
    }

    /// A Booking is gone.
    pub fn forget_booking(&self, booking: &Booking) -> BTreeSet<Key> {
        self.lock().remove_booking(&name_of(booking))
    }

    /// A list was complete: Resources that it did not show are gone.
    pub fn keep_resources(&self, listed: &HashSet<Name>) -> BTreeSet<Key> {
        let mut state = self.lock();
        let gone: Vec<Name> =
            state.resources.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().flat_map(|name| state.remove_resource(name)).collect()
    }

    /// A list was complete: Bookings that it did not show are gone.
    pub fn keep_bookings(&self, listed: &HashSet<Name>) -> BTreeSet<Key> {
        let mut state = self.lock();
        let gone: Vec<Name> = state.bookings.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().flat_map(|name| state.remove_booking(name)).collect()
    }

    /// A status is about to be written: the watch may show it before the answer comes.
    pub fn expect_resource(&self, resource: &Resource, status: &booking_api::ResourceStatus) {
        let expected = Expected::Resource(Some(status.clone()));
        self.lock().expected.insert(resource.uid().unwrap_or_default(), expected);
    }

    /// As [`Self::expect_resource`].
    pub fn expect_booking(&self, booking: &Booking, status: &booking_api::BookingStatus) {
        let expected = Expected::Booking(Some(status.clone()));
        self.lock().expected.insert(booking.uid().unwrap_or_default(), expected);
    }

    /// A write has ended; `answer` is the object as it stands now, if that is known. Gives the keys of
    /// other Resources for which something changed.
    pub fn wrote_resource(&self, uid: &str, answer: Option<Resource>) -> BTreeSet<Key> {
        let mut state = self.lock();
        state.expected.remove(uid);
        let Some(answer) = answer else {
            return BTreeSet::new();
        };
        let name = name_of(&answer);
        let known = state.resources.get(&name);
        // An object that the watch has shown to be gone must not come back.
        if known.is_some_and(|old| old.uid() == answer.uid() && is_newer(&answer.metadata, &old.metadata)) {
            return state.put_resource(name, Arc::new(answer), false);
        }
        BTreeSet::new()
    }

    /// As [`Self::wrote_resource`].
    pub fn wrote_booking(&self, uid: &str, answer: Option<Booking>) {
        let mut state = self.lock();
        state.expected.remove(uid);
        if let Some(answer) = answer {
            let name = name_of(&answer);
            let known = state.bookings.get(&name);
            if known.is_some_and(|old| old.uid() == answer.uid() && is_newer(&answer.metadata, &old.metadata))
            {
                state.put_booking(name, Arc::new(answer), false);
            }
        }
    }
}

impl State {
    fn is_expected(&self, meta: &ObjectMeta, status: &Expected) -> bool {
        self.expected.get(meta.uid.as_deref().unwrap_or_default()) == Some(status)
    }

    fn put_resource(&mut self, name: Name, resource: Arc<Resource>, news: bool) -> BTreeSet<Key> {
        let group = group_fields(&resource);
        let standing = |resource: &Resource| {
            let holds = resource.status.as_ref().is_some_and(|status| status.holder.is_some());
            (group_fields(resource), holds, resource.metadata.deletion_timestamp.is_some())
        };
        let stands = standing(&resource);
        let key = Key::of_resource(&resource);
        let old = self.resources.insert(name.clone(), resource);
        let mut changed = BTreeSet::new();
        // The others on the same group ask anew whose it is.
        let moved = old.as_ref().is_none_or(|old| standing(old) != stands);
        if let Some(old) = old.as_ref().filter(|old| group_fields(old) != group) {
            changed.extend(self.leave_group(&name, &group_fields(old)));
        }
        let members = self.groups.entry(group).or_default();
        members.insert(name);
        if moved {
            changed.extend(members.iter().map(key_of_name).filter(|other| *other != key));
        }
        if news {
            changed.insert(key);
        }
        changed
    }

    fn put_booking(&mut self, name: Name, booking: Arc<Booking>, news: bool) -> BTreeSet<Key> {
        let key = Key::of_booking(&booking);
        let old = self.bookings.insert(name.clone(), booking);
        let mut changed = BTreeSet::new();
        if let Some(old_key) = old.map(|old| Key::of_booking(&old)).filter(|old_key| *old_key != key) {
            self.drop_index(&old_key, &name.1);
            changed.insert(old_key);
        }
        self.bookings_of.entry(key.clone()).or_default().insert(name.1);
        if news {
            changed.insert(key);
        }
        changed
    }

    fn remove_resource(&mut self, name: &Name) -> BTreeSet<Key> {
        let Some(old) = self.resources.remove(name) else {
            return BTreeSet::new();
        };
        let mut changed = self.leave_group(name, &group_fields(&old));
        changed.insert(key_of_name(name));
        changed
    }

    fn remove_booking(&mut self, name: &Name) -> BTreeSet<Key> {
        let Some(old) = self.bookings.remove(name) else {
            return BTreeSet::new();
        };
        let key = Key::of_booking(&old);
        self.drop_index(&key, &name.1);
        BTreeSet::from([key])
    }

    fn drop_index(&mut self, key: &Key, booking: &str) {
        if let Some(names) = self.bookings_of.get_mut(key) {
            names.remove(booking);
            if names.is_empty() {
                self.bookings_of.remove(key);
            }
        }
    }

    /// Gives the keys that stay.
    fn leave_group(&mut self, name: &Name, group: &GroupFields) -> BTreeSet<Key> {
        let Some(members) = self.groups.get_mut(group) else {
            return BTreeSet::new();
        };
        members.remove(name);
        let rest = members.iter().map(key_of_name).collect();
        if members.is_empty() {
            self.groups.remove(group);
        }
        rest
    }
}

fn group_fields(resource: &Resource) -> GroupFields {
    let spec = &resource.spec;
    (spec.type_.clone(), spec.role_arn.clone(), spec.region.clone(), spec.tag.clone())
}

fn key_of_name(name: &Name) -> Key {
    Key { namespace: name.0.clone(), resource: name.1.clone() }
}

fn name_of(object: &impl ResourceExt) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn is_newer(new: &ObjectMeta, old: &ObjectMeta) -> bool {
    new.uid != old.uid || version(new) > version(old)
}

fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Another object of the same name, or one that has begun to go.
fn is_replaced(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid || old.deletion_timestamp != new.deletion_timestamp || old.generation != new.generation
}
