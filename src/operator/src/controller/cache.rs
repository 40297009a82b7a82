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

use booking_api::{Booking, BookingStatus, Resource, ResourceStatus};
use booking_core::{
    Claim,
    claim::claim,
    group::{self, GroupKey},
};
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

/// Namespace and name.
pub type Name = (String, String);

/// See the module.
#[derive(Debug)]
pub struct Cache {
    state: Mutex<State>,
}

/// Everything that is known, of both kinds.
#[derive(Debug, Default)]
pub struct State {
    /// The operator's own region: that of Resources that name none.
    region: String,
    resources: Table<Resource>,
    bookings: Table<Booking>,
    bookings_of: HashMap<Key, BTreeSet<String>>,
    /// Resources by what makes their machines the same.
    groups: HashMap<GroupKey, BTreeSet<Name>>,
}

/// Objects of a kind.
#[derive(Debug)]
pub struct Table<K: Cached> {
    objects: HashMap<Name, Arc<K>>,
    /// Statuses on their way to the API server, by uid: their echo is no news.
    expected: HashMap<String, K::Status>,
}

impl<K: Cached> Default for Table<K> {
    fn default() -> Self {
        Self { objects: HashMap::new(), expected: HashMap::new() }
    }
}

/// A kind that is kept in the cache.
pub trait Cached: ResourceExt + Clone + Send + Sync + 'static {
    /// Its status.
    type Status: Clone + PartialEq + std::fmt::Debug + Send;

    /// The status of an object.
    fn status(&self) -> Option<&Self::Status>;
    /// Whether two objects ask for the same.
    fn same_spec(&self, other: &Self) -> bool;
    /// Where objects of this kind are.
    fn table(state: &mut State) -> &mut Table<Self>
    where
        Self: Sized;
    /// An object has taken the place of another, or of none. Gives the keys that this concerns beside
    /// the object's own.
    fn replaced(state: &mut State, name: &Name, old: Option<&Self>, new: Option<&Self>) -> BTreeSet<Key>;
    /// The key under which it is worked on.
    fn key(&self) -> Key;
}

impl Cache {
    /// An empty cache of an operator in `region`.
    pub fn new(region: &str) -> Self {
        Self { state: Mutex::new(State { region: region.to_owned(), ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every method leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key.
    pub fn snapshot(&self, key: &Key) -> Snapshot {
        let state = self.lock();
        let name = |name: &str| (key.namespace.clone(), name.to_owned());
        let resource = state.resources.objects.get(&name(&key.resource)).cloned();
        let names = state.bookings_of.get(key).into_iter().flatten();
        let bookings = names.filter_map(|booking| state.bookings.objects.get(&name(booking)).cloned());
        let claim = resource.as_ref().map_or(Claim::Ours, |resource| {
            let names =
                state.group(resource).and_then(|group| state.groups.get(&group)).into_iter().flatten();
            claim(resource, names.filter_map(|name| state.resources.objects.get(name)).map(Arc::as_ref))
        });
        Snapshot { bookings: bookings.collect(), resource, claim }
    }

    /// An object was seen. Gives the keys for which something changed.
    pub fn saw<K: Cached>(&self, object: K) -> BTreeSet<Key> {
        let mut state = self.lock();
        let table = K::table(&mut state);
        let old = table.objects.get(&name_of(&object));
        if old.is_some_and(|old| !is_newer(object.meta(), old.meta())) {
            return BTreeSet::new();
        }
        let news = old.is_none_or(|old| {
            let expected = table.expected.get(object.meta().uid.as_deref().unwrap_or_default());
            !old.same_spec(&object)
                || is_replaced(old.meta(), object.meta())
                || (old.status() != object.status() && object.status() != expected)
        });
        let key = object.key();
        let mut changed = state.put(object);
        if news {
            changed.insert(key);
        }
        changed
    }

    /// An object is gone.
    pub fn lost<K: Cached>(&self, object: &K) -> BTreeSet<Key> {
        self.lock().remove::<K>(&name_of(object))
    }

    /// A list was complete: objects that it did not show are gone.
    pub fn keep<K: Cached>(&self, listed: &HashSet<Name>) -> BTreeSet<Key> {
        let mut state = self.lock();
        let known = K::table(&mut state).objects.keys();
        let gone: Vec<Name> = known.filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().flat_map(|name| state.remove::<K>(name)).collect()
    }

    /// A status is about to be written: the watch may show it before the answer comes.
    pub fn expect<K: Cached>(&self, object: &K, status: &K::Status) {
        let mut state = self.lock();
        K::table(&mut state).expected.insert(object.uid().unwrap_or_default(), status.clone());
    }

    /// A write to `object` has ended; `answer` is the object as it stands now, if that is known. Gives
    /// the keys of others for which something changed.
    pub fn wrote<K: Cached>(&self, object: &K, answer: Option<K>) -> BTreeSet<Key> {
        let mut state = self.lock();
        let table = K::table(&mut state);
        table.expected.remove(object.meta().uid.as_deref().unwrap_or_default());
        let Some(answer) = answer else {
            return BTreeSet::new();
        };
        // An object that the watch has shown to be gone must not come back.
        let known = table.objects.get(&name_of(&answer));
        if known.is_some_and(|old| old.uid() == answer.uid() && is_newer(answer.meta(), old.meta())) {
            return state.put(answer);
        }
        BTreeSet::new()
    }
}

impl State {
    fn put<K: Cached>(&mut self, object: K) -> BTreeSet<Key> {
        let (name, object) = (name_of(&object), Arc::new(object));
        let old = K::table(self).objects.insert(name.clone(), object.clone());
        K::replaced(self, &name, old.as_deref(), Some(&object))
    }

    fn remove<K: Cached>(&mut self, name: &Name) -> BTreeSet<Key> {
        let Some(old) = K::table(self).objects.remove(name) else {
            return BTreeSet::new();
        };
        let mut changed = K::replaced(self, name, Some(&old), None);
        changed.insert(old.key());
        changed
    }

    /// The group of a Resource; none if its spec makes no sense.
    fn group(&self, resource: &Resource) -> Option<GroupKey> {
        group::validate(resource, &self.region).ok().map(|group| group.key)
    }

    /// The keys of all Resources on a group.
    fn on_group(&self, group: &GroupKey) -> BTreeSet<Key> {
        let names = self.groups.get(group).into_iter().flatten();
        names.map(|(namespace, name)| Key { namespace: namespace.clone(), resource: name.clone() }).collect()
    }
}

impl Cached for Resource {
    type Status = ResourceStatus;

    fn status(&self) -> Option<&ResourceStatus> {
        self.status.as_ref()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn table(state: &mut State) -> &mut Table<Self> {
        &mut state.resources
    }

    /// The others on the same group ask anew whose it is.
    fn replaced(state: &mut State, name: &Name, old: Option<&Self>, new: Option<&Self>) -> BTreeSet<Key> {
        let standing = |resource: &Self| {
            let holds = resource.status.as_ref().is_some_and(|status| status.holder.is_some());
            (state.group(resource), holds, resource.metadata.deletion_timestamp.is_some())
        };
        let (before, after) = (old.map(standing), new.map(standing));
        if before == after {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::new();
        if let Some(group) = before.and_then(|(group, ..)| group) {
            drop_index(&mut state.groups, &group, name);
            changed.extend(state.on_group(&group));
        }
        if let Some(group) = after.and_then(|(group, ..)| group) {
            changed.extend(state.on_group(&group));
            state.groups.entry(group).or_default().insert(name.clone());
        }
        changed.remove(&Key { namespace: name.0.clone(), resource: name.1.clone() });
        changed
    }

    fn key(&self) -> Key {
        Key::of_resource(self)
    }
}

impl Cached for Booking {
    type Status = BookingStatus;

    fn status(&self) -> Option<&BookingStatus> {
        self.status.as_ref()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn table(state: &mut State) -> &mut Table<Self> {
        &mut state.bookings
    }

    /// A retargeted Booking concerns the Resource that it left, too.
    fn replaced(state: &mut State, name: &Name, old: Option<&Self>, new: Option<&Self>) -> BTreeSet<Key> {
        let (from, to) = (old.map(Key::of_booking), new.map(Key::of_booking));
        if from == to {
            return BTreeSet::new();
        }
        if let Some(from) = &from {
            drop_index(&mut state.bookings_of, from, &name.1);
        }
        if let Some(to) = to {
            state.bookings_of.entry(to).or_default().insert(name.1.clone());
        }
        from.into_iter().collect()
    }

    fn key(&self) -> Key {
        Key::of_booking(self)
    }
}

fn drop_index<G, M>(index: &mut HashMap<G, BTreeSet<M>>, group: &G, member: &M)
where
    G: Eq + std::hash::Hash,
    M: Ord,
{
    if let Some(members) = index.get_mut(group) {
        members.remove(member);
        if members.is_empty() {
            index.remove(group);
        }
    }
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

#[cfg(test)]
mod tests {
    use booking_api::{BookingSpec, ResourceHolder, ResourceSpec};

    use super::*;

    fn meta(name: &str, version: u64) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some("n".into()),
            uid: Some(format!("uid-{name}")),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        }
    }

    fn booking(name: &str, resource: &str, version: u64) -> Booking {
        let spec = BookingSpec { resource_name: Some(resource.into()), ..BookingSpec::default() };
        Booking { metadata: meta(name, version), ..Booking::new(name, spec) }
    }

    fn resource(name: &str, tag: &str, version: u64) -> Resource {
        let spec =
            ResourceSpec { type_: Some("ec2".into()), tag: Some(tag.into()), ..ResourceSpec::default() };
        Resource { metadata: meta(name, version), ..Resource::new(name, spec) }
    }

    fn with_state(mut booking: Booking, state: &str) -> Booking {
        booking.status = Some(BookingStatus { status: Some(state.into()), ..BookingStatus::default() });
        booking
    }

    fn keys(changed: BTreeSet<Key>) -> Vec<String> {
        changed.into_iter().map(|key| key.resource).collect()
    }

    fn names(cache: &Cache, resource: &str) -> Vec<String> {
        let key = Key { namespace: "n".into(), resource: resource.into() };
        cache.snapshot(&key).bookings.iter().map(|booking| booking.name_any()).collect()
    }

    #[test]
    fn bookings_are_found_under_the_resource_they_name_whether_it_exists_or_not() {
        let cache = Cache::new("here-1");
        assert_eq!(keys(cache.saw(booking("b", "web", 1))), ["web"]);
        assert_eq!(keys(cache.saw(booking("a", "web", 2))), ["web"]);
        assert_eq!(names(&cache, "web"), ["a", "b"]);
        // when one is retargeted, then both Resources are concerned
        assert_eq!(keys(cache.saw(booking("b", "db", 3))), ["db", "web"]);
        assert_eq!((names(&cache, "web"), names(&cache, "db")), (vec!["a".into()], vec!["b".into()]));
        // when one goes, then its Resource is concerned, and nothing is left behind
        assert_eq!(keys(cache.lost(&booking("b", "db", 4))), ["db"]);
        assert!(names(&cache, "db").is_empty());
    }

    #[test]
    fn of_two_versions_the_newer_stays_whichever_comes_last() {
        let cache = Cache::new("here-1");
        cache.saw(with_state(booking("b", "web", 9), "IN PROGRESS"));
        // an older echo, compared as a number: "10" is newer than "9"
        assert!(keys(cache.saw(with_state(booking("b", "web", 8), "SCHEDULED"))).is_empty());
        assert_eq!(keys(cache.saw(with_state(booking("b", "web", 10), "FINISHED"))), ["web"]);
    }

    #[test]
    fn the_echo_of_an_own_write_is_no_news_but_somebody_elses_status_is() {
        let cache = Cache::new("here-1");
        let before = booking("b", "web", 1);
        let written = with_state(booking("b", "web", 2), "SCHEDULED");
        cache.saw(before.clone());
        // given a write on its way, when the watch is faster than the answer, then that is no news
        cache.expect(&before, written.status.as_ref().unwrap());
        assert!(keys(cache.saw(written.clone())).is_empty());
        cache.wrote(&before, Some(written));
        // when somebody else writes the status, then it is
        assert_eq!(keys(cache.saw(with_state(booking("b", "web", 3), "NONSENSE"))), ["web"]);
    }

    #[test]
    fn the_answer_of_a_write_is_seen_at_once_and_brings_nothing_back() {
        let cache = Cache::new("here-1");
        let before = booking("b", "web", 1);
        cache.saw(before.clone());
        cache.wrote(&before, Some(with_state(booking("b", "web", 2), "SCHEDULED")));
        let key = Key { namespace: "n".into(), resource: "web".into() };
        assert!(cache.snapshot(&key).bookings[0].status.is_some());
        // given that it is gone, when an answer comes late, then it stays gone
        cache.lost(&before);
        cache.wrote(&before, Some(with_state(booking("b", "web", 3), "SCHEDULED")));
        assert!(names(&cache, "web").is_empty());
    }

    #[test]
    fn a_complete_list_drops_what_it_does_not_show() {
        let cache = Cache::new("here-1");
        cache.saw(booking("a", "web", 1));
        cache.saw(booking("b", "db", 2));
        let listed = HashSet::from([("n".to_owned(), "a".to_owned())]);
        assert_eq!(keys(cache.keep::<Booking>(&listed)), ["db"]);
        assert_eq!(names(&cache, "web"), ["a"]);
    }

    #[test]
    fn the_others_on_a_group_are_asked_anew_when_a_resource_comes_holds_or_goes() {
        let cache = Cache::new("here-1");
        assert_eq!(keys(cache.saw(resource("one", "web", 1))), ["one"]);
        assert_eq!(keys(cache.saw(resource("two", "web", 2))), ["one", "two"]);
        assert_eq!(keys(cache.saw(resource("other", "db", 3))), ["other"]);
        // when one takes the hold by a write of ours
        let before = resource("two", "web", 2);
        let mut holds = resource("two", "web", 4);
        let holder = Some(ResourceHolder::default());
        holds.status = Some(ResourceStatus { holder, ..ResourceStatus::default() });
        assert_eq!(keys(cache.wrote(&before, Some(holds.clone()))), ["one"]);
        let one = Key { namespace: "n".into(), resource: "one".into() };
        assert_eq!(cache.snapshot(&one).claim, Claim::Other);
        // when it goes
        assert_eq!(keys(cache.lost(&holds)), ["one", "two"]);
        assert_eq!(cache.snapshot(&one).claim, Claim::Ours);
    }

    #[test]
    fn a_resource_that_spells_out_the_operators_own_region_is_on_the_same_group() {
        let cache = Cache::new("here-1");
        let mut spelled = resource("b", "web", 1);
        spelled.spec.region = Some("here-1".into());
        cache.saw(spelled);
        assert_eq!(keys(cache.saw(resource("a", "web", 2))), ["a", "b"]);
    }
}
