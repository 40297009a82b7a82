//! The objects of this family: which fields the store keeps, under which keys they are worked on, and what is
//! counted.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use booking_decision::InvalidSpec;
use booking_runtime::{
    Key,
    store::{Fields, Index, Keeps, Labels, Name, Object, Served, Table},
};
use kube::{ResourceExt, api::ObjectMeta};

use super::{counts::Counts, overdue::Overdue};
use crate::{
    api::{
        Booking, BookingScheduler, BookingSchedulerStatus, BookingStatus, DISCOVERED_BY, Resource,
        ResourceMonitor, ResourceMonitorStatus, ResourceStatus, booking_state,
    },
    decide::{
        groups::{
            booking::{self, ValidBooking},
            group::{self, GroupKey},
        },
        locations::Locations,
        schedules::spec::{self, ValidScheduler},
    },
};

/// The sort of keys for groups. A key stands for a Resource, which may not exist, and all Bookings that name it.
pub const GROUP: &str = "resource";
/// The sort of keys for BookingSchedulers.
pub const SCHEDULER: &str = "scheduler";
/// The sort of keys for ResourceMonitors.
pub const MONITOR: &str = "monitor";

/// The text that objects of this API have in common. In packed objects it takes almost no space.
const DICTIONARY: &[u8] = br#"{"apiVersion":"manager.kotaico.de/v1","kind":"Resource","metadata":{"annotations":{"manager.kotaico.de/discovered-by":"ec2"},"creationTimestamp":"2026-11-22T06:24:35Z","finalizers":["manager.kotaico.de/release"],"generation":1,"labels":{"app.kubernetes.io/name":"","app.kubernetes.io/instance":""},"spec":{"type":"ec2","tag":"","when_idle":"Stop","on_delete":"Release","region":"eu-central-1","role_arn":"arn:aws:iam::","booked_by":"","booked_until":""},"status":{"instances":1,"running":0,"status":"STOPPED","locked_by":"","locked_until":"","observedGeneration":1,"first_seen_at":"2026-11-22T06:24:35Z","idle_since":"2026-11-22T06:24:35Z","conditions":[{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"all machines are stopped","observedGeneration":1,"reason":"Stopped","status":"True","type":"Ready"}]}}{"apiVersion":"manager.kotaico.de/v1","kind":"Booking","metadata":{"creationTimestamp":"2026-11-22T06:24:35Z","generation":1,"name":"","namespace":"default","ownerReferences":[{"apiVersion":"manager.kotaico.de/v1","controller":true,"kind":"BookingScheduler","name":"","uid":""}],"resourceVersion":"","uid":""},"spec":{"resource_name":"ec2.","start_at":"2026-11-22T06:24:35Z","end_at":"2026-11-22T18:24:35Z","user_id":"","notifications":[{"type":"email","recipient":""}]},"status":{"status":"FINISHED","notification_sent":false,"observedGeneration":1,"granted_resource":"ec2.","granted_from":"2026-11-22T06:24:35Z","granted_until":"2026-11-22T18:24:35Z","conditions":[{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"the spec is valid","observedGeneration":1,"reason":"Valid","status":"True","type":"Accepted"},{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"starts at 2026-11-22T06:24:35Z","observedGeneration":1,"reason":"Scheduled","status":"False","type":"Ready"}]}}"#;

macro_rules! object {
    ($kind:ty, $status:ty, $keeps:expr, $parsed:ty, $parse:expr, $is_open:expr) => {
        impl Object for $kind {
            type Status = $status;
            type Parsed = $parsed;

            const KEEPS: Keeps = $keeps;
            const DICTIONARY: &'static [u8] = DICTIONARY;

            fn read(fields: &Fields<'_>) -> serde_json::Result<Self> {
                let (spec, status) = (fields.get("spec")?, fields.get("status")?);
                Ok(Self { metadata: ObjectMeta::default(), status, ..Self::new("", spec) })
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn asks_same(&self, other: &Self) -> bool {
                self.spec == other.spec
            }

            fn parse(&self) -> $parsed {
                $parse(self)
            }

            fn is_open(&self) -> bool {
                $is_open(self)
            }
        }
    };
}

/// Of a Booking's owners, only the controlling BookingScheduler is read.
const KEEPS_CONTROLLER: Keeps = Keeps { controller: true, ..Keeps::NOTHING };
/// Of a Resource's annotations, only the monitor that discovered it is read.
const KEEPS_DISCOVERY: Keeps =
    Keeps { annotations: &[DISCOVERED_BY], labels: Labels::Of(&[]), controller: false };

object!(Resource, ResourceStatus, KEEPS_DISCOVERY, (), |_: &Self| (), |_: &Self| true);
object!(
    Booking,
    BookingStatus,
    KEEPS_CONTROLLER,
    Result<ValidBooking, InvalidSpec>,
    booking::validate,
    |booking: &Self| !is_finished(booking)
);
object!(
    BookingScheduler,
    BookingSchedulerStatus,
    Keeps::NOTHING,
    Result<ValidScheduler, InvalidSpec>,
    spec::validate,
    |_: &Self| true
);
object!(ResourceMonitor, ResourceMonitorStatus, Keeps::NOTHING, (), |_: &Self| (), |_: &Self| true);

/// All objects of this family, with their indexes and counts.
pub struct Objects {
    /// Resources, by their own names.
    pub resources: Arc<Table<Resource>>,
    /// Bookings, by the Resource that they name.
    pub bookings: Arc<Table<Booking>>,
    /// BookingSchedulers.
    pub schedulers: Arc<Table<BookingScheduler>>,
    /// ResourceMonitors.
    pub monitors: Arc<Table<ResourceMonitor>>,
    /// Bookings by the scheduler that owns them.
    pub owned: Arc<Index<Key>>,
    /// Resources by their group.
    pub groups: Arc<Groups>,
    /// The counts for metrics.
    pub counts: Arc<Mutex<Counts>>,
    /// The Bookings that are not ready, and since when they should be.
    pub overdue: Arc<Mutex<Overdue>>,
}

impl Objects {
    /// Creates empty tables.
    pub fn new(locations: Arc<Locations>) -> Self {
        let (groups, owned): (_, Arc<Index<Key>>) = (Arc::new(Groups::new(locations)), Arc::default());
        let (counts, overdue): (Arc<Mutex<Counts>>, Arc<Mutex<Overdue>>) = Default::default();
        Self {
            resources: Arc::new(resources(&groups, &counts)),
            bookings: Arc::new(bookings(&owned, &counts, &overdue)),
            schedulers: Arc::new(
                Table::new(Served::namespaced::<BookingScheduler>()).keyed_by_name(SCHEDULER),
            ),
            monitors: Arc::new(Table::new(Served::namespaced::<ResourceMonitor>()).keyed_by_name(MONITOR)),
            owned,
            groups,
            counts,
            overdue,
        }
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<Key> {
        let Self { resources, bookings, schedulers, monitors, .. } = self;
        [resources.keys(), bookings.keys(), schedulers.keys(), monitors.keys()].concat()
    }
}

fn resources(groups: &Arc<Groups>, counts: &Arc<Mutex<Counts>>) -> Table<Resource> {
    let (groups, counts) = (groups.clone(), counts.clone());
    Table::new(Served::namespaced::<Resource>())
        .keyed_by_name(GROUP)
        .on_change(move |_, old, new, _| lock(&counts).replaced(old, new))
        .on_change(move |name, old, new, concerned| groups.replaced(name, old, new, concerned))
}

fn bookings(
    owned: &Arc<Index<Key>>,
    counts: &Arc<Mutex<Counts>>,
    overdue: &Arc<Mutex<Overdue>>,
) -> Table<Booking> {
    let (counts, overdue) = (counts.clone(), overdue.clone());
    Table::new(Served::namespaced::<Booking>())
        .keyed_by(|booking| vec![group_of(booking)])
        .index(owned, |booking| owner(booking).map(|(key, _)| key))
        .on_change(move |_, old, new, _| lock(&counts).replaced(old, new))
        .on_change(move |_, old, new, _| lock(&overdue).replaced(old, new))
        .on_change(|_, old, new, concerned| {
            // If a Booking finishes or is deleted, its scheduler has to act.
            if old.map(is_finished) != new.map(is_finished) {
                let owners = old.and_then(owner).into_iter().chain(new.and_then(owner));
                concerned.extend(owners.map(|(key, _)| key));
            }
        })
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key under which a Booking is worked on. The name is empty if the Booking names no Resource.
pub fn group_of(booking: &Booking) -> Key {
    let name = booking.spec.resource_name.clone().unwrap_or_default();
    Key::new(GROUP, booking.namespace().unwrap_or_default(), name)
}

/// The key of the BookingScheduler that owns a Booking, and its uid.
pub fn owner(booking: &Booking) -> Option<(Key, &str)> {
    use kube::Resource as _;
    let owner = booking.owner_references().iter().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == BookingScheduler::kind(&())
            && owner.api_version == BookingScheduler::api_version(&())
    })?;
    let key = Key::new(SCHEDULER, booking.namespace().unwrap_or_default(), owner.name.clone());
    Some((key, &owner.uid))
}

fn is_finished(booking: &Booking) -> bool {
    let state = booking.status.as_ref().and_then(|status| status.status.as_deref());
    state == Some(booking_state::FINISHED)
}

/// Resources by what makes their machines the same. If one of them changes, the others on its group ask again which of
/// them acts.
#[derive(Debug)]
pub struct Groups(RwLock<Arc<GroupIndex>>);

/// The groups that Resources stand for, by the accounts and regions that there are. A pass reads both as of one moment.
#[derive(Debug)]
pub struct GroupIndex {
    /// Which accounts and regions there are.
    pub locations: Arc<Locations>,
    names: Index<GroupKey>,
}

impl GroupIndex {
    fn new(locations: Arc<Locations>) -> Self {
        Self { locations, names: Index::default() }
    }

    /// The names of all Resources on a group.
    pub fn names(&self, group: &GroupKey) -> Vec<Name> {
        self.names.names(group)
    }

    /// The group of a Resource; none if its spec makes no sense.
    pub fn key(&self, resource: &Resource) -> Option<GroupKey> {
        group::validate(resource, &self.locations).ok().map(|group| group.key)
    }

    fn standing(&self, resource: &Resource) -> ClaimFacts {
        let status = resource.status.as_ref();
        ClaimFacts {
            group: self.key(resource),
            uid: resource.uid(),
            holds: status.is_some_and(|status| status.holder.is_some()),
            released: status.map_or(0, |status| status.released_locks.len()),
            is_deleting: resource.metadata.deletion_timestamp.is_some(),
            finalizers: resource.metadata.finalizers.clone(),
        }
    }
}

impl Groups {
    fn new(locations: Arc<Locations>) -> Self {
        Self(RwLock::new(Arc::new(GroupIndex::new(locations))))
    }

    /// The groups as of now.
    pub fn now(&self) -> Arc<GroupIndex> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other accounts and regions are allowed from now on: Resources may stand for other groups, or for none. Passes see
    /// the old groups or the new ones, never a part.
    pub fn change_locations(&self, locations: Arc<Locations>, resources: &Table<Resource>) {
        resources.read_anew(|all| {
            let index = GroupIndex::new(locations);
            for (name, resource) in all {
                index.names.replace(name, None, index.key(resource));
            }
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        });
    }

    fn replaced(
        &self,
        name: &Name,
        old: Option<&Resource>,
        new: Option<&Resource>,
        concerned: &mut BTreeSet<Key>,
    ) {
        let index = self.now();
        let (before, after) = (old.map(|it| index.standing(it)), new.map(|it| index.standing(it)));
        if before == after {
            return;
        }
        let group = |standing: Option<ClaimFacts>| standing.and_then(|standing| standing.group);
        let (from, to) = (group(before), group(after));
        index.names.replace(name, from.clone(), to.clone());
        let others = from.iter().chain(&to).flat_map(|group| index.names.names(group));
        concerned.extend(others.filter(|other| other != name).map(|other| key_of(&other)));
    }
}

/// The fields that decide whether a Resource acts on its group.
#[derive(PartialEq)]
struct ClaimFacts {
    group: Option<GroupKey>,
    uid: Option<String>,
    holds: bool,
    released: usize,
    is_deleting: bool,
    finalizers: Option<Vec<String>>,
}

fn key_of(name: &Name) -> Key {
    Key::new(GROUP, &*name.namespace, &*name.name)
}

#[cfg(test)]
mod reading;
#[cfg(test)]
mod tests;
