//! Objects by key, as the API server last showed them, our own writes included.
//!
//! A pass decides on everything that names a Resource, so it must see what the pass before it wrote,
//! though the watch may not have brought it yet: a grant that is missed could be given away twice. So a
//! write's answer is recorded here at once, and of two versions of an object the newer one stays
//! (resourceVersions compare as numbers: documented since Kubernetes 1.35, true before).

pub mod census;
mod kept;
mod kinds;
mod unready;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bookings::{
    api::{Booking, BookingScheduler, Resource, ResourceMonitor},
    decide::{
        groups::{
            claim::{Claim, claim},
            group::{self, GroupKey},
        },
        locations::Places,
    },
};
use jiff::Timestamp;
use kube::{ResourceExt, api::ObjectMeta};
use serde::{Serialize, de::DeserializeOwned};

use self::{census::Census, kept::Kept, unready::Unready};
use super::{Key, Kind};

/// What a pass works on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The Resource, if it exists.
    pub resource: Option<Arc<Resource>>,
    /// All Bookings that name it, in order of their names.
    pub bookings: Vec<Arc<Booking>>,
    /// Whether the Resource acts on its group.
    pub claim: Claim,
    /// Which accounts and regions there were for that.
    pub places: Arc<Places>,
}

/// What a pass over a BookingScheduler works on.
#[derive(Clone, Debug)]
pub struct SchedulerSnapshot {
    /// The BookingScheduler.
    pub scheduler: Arc<BookingScheduler>,
    /// The Bookings that it owns, in order of their names.
    pub bookings: Vec<Arc<Booking>>,
}

/// What a pass over a ResourceMonitor works on.
#[derive(Clone, Debug)]
pub struct MonitorSnapshot {
    /// The ResourceMonitor.
    pub monitor: Arc<ResourceMonitor>,
    /// All Resources of its namespace.
    pub resources: Vec<Arc<Resource>>,
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
    /// Which accounts and regions there are.
    places: Arc<Places>,
    resources: Table<Resource>,
    bookings: Table<Booking>,
    schedulers: Table<BookingScheduler>,
    monitors: Table<ResourceMonitor>,
    /// Bookings by the Resource that they name, and by the scheduler that owns them.
    bookings_of: HashMap<Key, BTreeSet<String>>,
    /// Resources by what makes their machines the same.
    groups: HashMap<GroupKey, BTreeSet<Name>>,
    census: Census,
    unready: Unready,
}

/// Objects of a kind.
#[derive(Debug)]
pub struct Table<K: Cached> {
    objects: HashMap<Name, Kept<K>>,
    /// Statuses on their way to the API server, by uid: their echo is no news.
    expected: HashMap<String, K::Status>,
    /// Uids of objects that are gone: an older list must not bring them back.
    gone: Gone,
    /// The version up to which a watch has told everything; zero where that is not known.
    watched: u64,
    /// How often the store has gone back: versions of different epochs do not compare.
    epoch: u64,
}

impl<K: Cached> Table<K> {
    /// The newest version of any object.
    fn newest(&self) -> u64 {
        self.objects.values().map(Kept::version).max().unwrap_or_default()
    }
}

/// The last uids that went.
#[derive(Debug, Default)]
struct Gone {
    uids: HashSet<String>,
    order: VecDeque<String>,
}

/// Uids that are remembered at most: more do not go while a list is read.
const GONE_MAX: usize = 10_000;

impl Gone {
    fn add(&mut self, uid: String) {
        if self.uids.insert(uid.clone()) {
            self.order.push_back(uid);
        }
        let oldest = if self.order.len() > GONE_MAX { self.order.pop_front() } else { None };
        if let Some(oldest) = oldest {
            self.uids.remove(&oldest);
        }
    }
}

impl<K: Cached> Default for Table<K> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            expected: HashMap::new(),
            gone: Gone::default(),
            watched: 0,
            epoch: 0,
        }
    }
}

/// A kind that is kept in the cache.
pub trait Cached: ResourceExt + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its spec.
    type Spec: Default + DeserializeOwned;
    /// Its status.
    type Status: Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send;

    /// An object without metadata.
    fn assemble(spec: Self::Spec, status: Option<Self::Status>) -> Self;

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
    /// An empty cache.
    pub fn new(places: Arc<Places>) -> Self {
        Self { state: Mutex::new(State { places, ..State::default() }) }
    }

    /// Other accounts and regions are allowed from now on: Resources may stand for other groups, or for none.
    pub fn change_places(&self, places: Arc<Places>) {
        let mut state = self.lock();
        state.places = places;
        state.groups.clear();
        let resources: Vec<(Name, Arc<Resource>)> = state
            .resources
            .objects
            .iter()
            .filter_map(|(name, it)| Some((name.clone(), it.open()?)))
            .collect();
        for (name, resource) in resources {
            if let Some(group) = state.group(&resource) {
                state.groups.entry(group).or_default().insert(name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every method leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key at `now`.
    pub fn snapshot(&self, key: &Key, now: Timestamp) -> Snapshot {
        let state = self.lock();
        let name = |name: &str| (key.namespace.clone(), name.to_owned());
        let resource = state.resources.objects.get(&name(&key.name)).and_then(Kept::open);
        let claim = resource.as_ref().map_or(Claim::Ours, |resource| {
            let names =
                state.group(resource).and_then(|group| state.groups.get(&group)).into_iter().flatten();
            let others = names.filter(|name| **name != (key.namespace.clone(), key.name.clone()));
            let others: Vec<Arc<Resource>> =
                others.filter_map(|name| state.resources.objects.get(name)?.open()).collect();
            claim(resource, others.iter().chain([resource]).map(Arc::as_ref), now)
        });
        Snapshot { bookings: state.bookings_of(key).collect(), resource, claim, places: state.places.clone() }
    }

    /// What is known of a BookingScheduler; none if there is none.
    pub fn scheduler_snapshot(&self, key: &Key) -> Option<SchedulerSnapshot> {
        let state = self.lock();
        let name = (key.namespace.clone(), key.name.clone());
        let scheduler = state.schedulers.objects.get(&name)?.open()?;
        // One of an earlier scheduler of this name is about to be collected.
        let is_own =
            |booking: &Arc<Booking>| Key::of_owner(booking).map(|(_, uid)| uid) == scheduler.uid().as_deref();
        Some(SchedulerSnapshot { bookings: state.bookings_of(key).filter(is_own).collect(), scheduler })
    }

    /// What is known of a ResourceMonitor; none if there is none.
    pub fn monitor_snapshot(&self, key: &Key) -> Option<MonitorSnapshot> {
        let state = self.lock();
        let monitor = state.monitors.objects.get(&(key.namespace.clone(), key.name.clone()))?.open()?;
        let resources = state.resources.objects.iter();
        let of_namespace = resources.filter(|((namespace, _), _)| *namespace == key.namespace);
        Some(MonitorSnapshot {
            resources: of_namespace.filter_map(|(_, resource)| resource.open()).collect(),
            monitor,
        })
    }

    /// An object was seen. Gives the keys for which something changed.
    pub fn saw<K: Cached>(&self, object: K) -> BTreeSet<Key> {
        let mut state = self.lock();
        let table = K::table(&mut state);
        if table.gone.uids.contains(object.meta().uid.as_deref().unwrap_or_default()) {
            return BTreeSet::new();
        }
        let name = name_of(&object);
        let old = table.objects.get(&name);
        if old.is_some_and(|old| version(object.meta()) <= old.version()) {
            return BTreeSet::new();
        }
        let old = old.and_then(Kept::open);
        let news = old.as_ref().is_none_or(|old| {
            let expected = table.expected.get(object.meta().uid.as_deref().unwrap_or_default());
            !old.same_spec(&object)
                || is_replaced(old.meta(), object.meta())
                || (old.status() != object.status() && (expected.is_none() || object.status() != expected))
        });
        let key = object.key();
        let mut changed = state.put(&name, old.as_deref(), object);
        if news {
            changed.insert(key);
        }
        changed
    }

    /// An object is gone; another one of its name may be there already.
    pub fn lost<K: Cached>(&self, object: &K) -> BTreeSet<Key> {
        let mut state = self.lock();
        let name = name_of(object);
        let table = K::table(&mut state);
        table.gone.add(object.uid().unwrap_or_default());
        if table.objects.get(&name).and_then(Kept::open).is_none_or(|known| known.uid() != object.uid()) {
            return BTreeSet::new();
        }
        state.remove::<K>(&name)
    }

    /// A consistent list was complete, which showed the store as of version `read_at` or later: objects
    /// that it did not show are gone, unless they came later.
    pub fn keep<K: Cached>(&self, listed: &HashSet<Name>, read_at: u64) -> BTreeSet<Key> {
        let mut state = self.lock();
        let objects = K::table(&mut state).objects.iter();
        let gone: Vec<Name> = objects
            .filter(|(name, object)| !listed.contains(*name) && object.version() <= read_at)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().flat_map(|name| state.remove::<K>(name)).collect()
    }

    /// How many there are of what.
    pub fn census(&self) -> Census {
        self.lock().census.clone()
    }

    /// How long the Booking has been due that has waited longest for its group; zero if none is.
    pub fn longest_unready(&self, now: Timestamp) -> Duration {
        self.lock().unready.longest(now)
    }

    /// The newest version of any object of a kind.
    pub fn newest<K: Cached>(&self) -> u64 {
        K::table(&mut self.lock()).newest()
    }

    /// Up to which version a watch has told everything that happened to a kind; zero where that is not known. Our own
    /// writes do not count: others' before them may not have come yet.
    pub fn watched<K: Cached>(&self) -> u64 {
        K::table(&mut self.lock()).watched
    }

    /// A watch that began in an epoch has told everything up to a version. Whether it is that epoch still.
    pub fn has_watched<K: Cached>(&self, epoch: u64, version: u64) -> bool {
        let mut state = self.lock();
        let table = K::table(&mut state);
        if table.epoch == epoch {
            table.watched = version;
        }
        table.epoch == epoch
    }

    /// How often the store has gone back.
    pub fn epoch<K: Cached>(&self) -> u64 {
        K::table(&mut self.lock()).epoch
    }

    /// Objects of a kind.
    pub fn count<K: Cached>(&self) -> usize {
        K::table(&mut self.lock()).objects.len()
    }

    /// The store was restored to an older state: what is known of a kind is replaced by what it showed as of `version`. None if
    /// that was done already since `epoch`.
    pub fn went_back<K: Cached>(
        &self,
        objects: Vec<K>,
        (epoch, version): (u64, u64),
    ) -> Option<BTreeSet<Key>> {
        let mut state = self.lock();
        let table = K::table(&mut state);
        if table.epoch != epoch || table.newest() <= version {
            return None;
        }
        (table.gone, table.watched, table.epoch) = (Gone::default(), 0, epoch + 1);
        let listed: HashSet<Name> = objects.iter().map(name_of).collect();
        let known = K::table(&mut state).objects.keys();
        let gone: Vec<Name> = known.filter(|name| !listed.contains(*name)).cloned().collect();
        let mut changed: BTreeSet<Key> = gone.iter().flat_map(|name| state.remove::<K>(name)).collect();
        for object in objects {
            changed.insert(object.key());
            let name = name_of(&object);
            let old = K::table(&mut state).objects.get(&name).and_then(Kept::open);
            changed.extend(state.put(&name, old.as_deref(), object));
        }
        Some(changed)
    }

    /// Every key that there is anything about.
    pub fn keys(&self) -> Vec<Key> {
        let state = self.lock();
        let named = state.bookings_of.keys().cloned();
        let resources = state.resources.objects.keys().map(resource_key);
        let schedulers = state.schedulers.objects.keys().map(|name| key_of(Kind::Scheduler, name));
        let monitors = state.monitors.objects.keys().map(|name| key_of(Kind::Monitor, name));
        let keys: HashSet<Key> = named.chain(resources).chain(schedulers).chain(monitors).collect();
        keys.into_iter().collect()
    }

    /// A status is about to be written: the watch may show it before the answer comes.
    pub fn expect<K: Cached>(&self, object: &K, status: &K::Status) {
        let mut state = self.lock();
        K::table(&mut state).expected.insert(object.uid().unwrap_or_default(), status.clone());
    }

    /// A write to `object` failed; it changed nothing, or nobody knows.
    pub fn failed<K: Cached>(&self, object: &K) {
        K::table(&mut self.lock()).expected.remove(object.meta().uid.as_deref().unwrap_or_default());
    }

    /// A write has succeeded; `answer` is the object as it stands now. Gives the keys of others for
    /// which something changed.
    pub fn wrote<K: Cached>(&self, answer: K) -> BTreeSet<Key> {
        let mut state = self.lock();
        let table = K::table(&mut state);
        table.expected.remove(answer.meta().uid.as_deref().unwrap_or_default());
        // An object that the watch has shown to be gone must not come back.
        let name = name_of(&answer);
        let known = table.objects.get(&name).filter(|old| version(answer.meta()) > old.version());
        match known.and_then(Kept::open).filter(|old| old.uid() == answer.uid()) {
            Some(old) => state.put(&name, Some(&*old), answer),
            None => BTreeSet::new(),
        }
    }
}

impl State {
    /// Puts an object in the place of another of its name, or of none.
    fn put<K: Cached>(&mut self, name: &Name, old: Option<&K>, object: K) -> BTreeSet<Key> {
        let (kept, object) = Kept::new(object);
        K::table(self).objects.insert(name.clone(), kept);
        K::replaced(self, name, old, Some(&object))
    }

    fn remove<K: Cached>(&mut self, name: &Name) -> BTreeSet<Key> {
        let Some(old) = K::table(self).objects.remove(name).and_then(|old| old.open()) else {
            return BTreeSet::new();
        };
        // An older list that is still being read must not bring it back.
        K::table(self).gone.add(old.uid().unwrap_or_default());
        let mut changed = K::replaced(self, name, Some(&old), None);
        changed.insert(old.key());
        changed
    }

    /// The Bookings of a key, in order of their names.
    fn bookings_of(&self, key: &Key) -> impl Iterator<Item = Arc<Booking>> {
        let names = self.bookings_of.get(key).into_iter().flatten();
        names.filter_map(|name| self.bookings.objects.get(&(key.namespace.clone(), name.clone()))?.open())
    }

    /// The group of a Resource; none if its spec makes no sense.
    fn group(&self, resource: &Resource) -> Option<GroupKey> {
        group::validate(resource, &self.places).ok().map(|group| group.key)
    }

    /// The keys of all Resources on a group.
    fn on_group(&self, group: &GroupKey) -> BTreeSet<Key> {
        let names = self.groups.get(group).into_iter().flatten();
        names.map(resource_key).collect()
    }
}

fn key_of(kind: Kind, (namespace, name): &Name) -> Key {
    Key { kind, namespace: namespace.clone(), name: name.clone() }
}

fn resource_key(name: &Name) -> Key {
    key_of(Kind::Resource, name)
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

/// An object's `resourceVersion` as the number it is.
pub fn version(meta: &ObjectMeta) -> u64 {
    number(meta.resource_version.as_deref())
}

/// A `resourceVersion` as the number it is.
pub fn number(version: Option<&str>) -> u64 {
    version.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Another object of the same name, or one that has begun to go.
fn is_replaced(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid || old.deletion_timestamp != new.deletion_timestamp || old.generation != new.generation
}

#[cfg(test)]
mod tests;
