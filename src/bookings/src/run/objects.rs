//! The kinds that are kept in the cache, and which keys a change of one concerns.

use std::collections::BTreeSet;

use bookings::api::{
    Booking, BookingScheduler, BookingSchedulerSpec, BookingSchedulerStatus, BookingSpec, BookingStatus,
    Resource, ResourceMonitor, ResourceMonitorSpec, ResourceMonitorStatus, ResourceSpec, ResourceStatus,
    booking_state,
};
use kube::{ResourceExt, api::ObjectMeta};

use super::{Cached, Name, State, Table, resource_key};
use crate::controller::Key;

impl Cached for Resource {
    type Spec = ResourceSpec;
    type Status = ResourceStatus;

    fn assemble(spec: ResourceSpec, status: Option<ResourceStatus>) -> Self {
        Self { metadata: ObjectMeta::default(), status, ..Self::new("", spec) }
    }

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
        state.census.replaced(old, new);
        let standing = |resource: &Self| {
            let holds = resource.status.as_ref().is_some_and(|status| status.holder.is_some());
            let deleting = resource.metadata.deletion_timestamp.is_some();
            let finalizers = resource.metadata.finalizers.clone();
            let released = resource.status.as_ref().map_or(0, |status| status.released_locks.len());
            (state.group(resource), resource.uid(), holds, released, deleting, finalizers)
        };
        let (before, after) = (old.map(standing), new.map(standing));
        if before == after {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::new();
        if let Some(group) = before.and_then(|(group, ..)| group) {
            super::drop_index(&mut state.groups, &group, name);
            changed.extend(state.on_group(&group));
        }
        if let Some(group) = after.and_then(|(group, ..)| group) {
            changed.extend(state.on_group(&group));
            state.groups.entry(group).or_default().insert(name.clone());
        }
        changed.remove(&resource_key(name));
        changed
    }

    fn key(&self) -> Key {
        Key::of_resource(self)
    }
}

impl Cached for Booking {
    type Spec = BookingSpec;
    type Status = BookingStatus;

    fn assemble(spec: BookingSpec, status: Option<BookingStatus>) -> Self {
        Self { metadata: ObjectMeta::default(), status, ..Self::new("", spec) }
    }

    fn status(&self) -> Option<&BookingStatus> {
        self.status.as_ref()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn table(state: &mut State) -> &mut Table<Self> {
        &mut state.bookings
    }

    /// A retargeted Booking concerns the Resource that it left, too; one that is finished or gone, its
    /// scheduler.
    fn replaced(state: &mut State, name: &Name, old: Option<&Self>, new: Option<&Self>) -> BTreeSet<Key> {
        state.census.replaced(old, new);
        state.unready.replaced(old, new);
        let mut changed = BTreeSet::new();
        let (from, to) = (old.map(Key::of_booking), new.map(Key::of_booking));
        if from != to {
            reindex(state, name, from.as_ref(), to);
            changed.extend(from);
        }
        let owner = |booking: &Self| Key::of_owner(booking).map(|(owner, _)| owner);
        let (from, to) = (old.and_then(owner), new.and_then(owner));
        if from != to {
            reindex(state, name, from.as_ref(), to.clone());
        }
        if old.map(is_finished) != new.map(is_finished) {
            changed.extend(from.into_iter().chain(to));
        }
        changed
    }

    fn key(&self) -> Key {
        Key::of_booking(self)
    }
}

impl Cached for BookingScheduler {
    type Spec = BookingSchedulerSpec;
    type Status = BookingSchedulerStatus;

    fn assemble(spec: BookingSchedulerSpec, status: Option<BookingSchedulerStatus>) -> Self {
        Self { metadata: ObjectMeta::default(), status, ..Self::new("", spec) }
    }

    fn status(&self) -> Option<&BookingSchedulerStatus> {
        self.status.as_ref()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn table(state: &mut State) -> &mut Table<Self> {
        &mut state.schedulers
    }

    fn replaced(_: &mut State, _: &Name, _: Option<&Self>, _: Option<&Self>) -> BTreeSet<Key> {
        BTreeSet::new()
    }

    fn key(&self) -> Key {
        Key::of_scheduler(self)
    }
}

impl Cached for ResourceMonitor {
    type Spec = ResourceMonitorSpec;
    type Status = ResourceMonitorStatus;

    fn assemble(spec: ResourceMonitorSpec, status: Option<ResourceMonitorStatus>) -> Self {
        Self { metadata: ObjectMeta::default(), status, ..Self::new("", spec) }
    }

    fn status(&self) -> Option<&ResourceMonitorStatus> {
        self.status.as_ref()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn table(state: &mut State) -> &mut Table<Self> {
        &mut state.monitors
    }

    fn replaced(_: &mut State, _: &Name, _: Option<&Self>, _: Option<&Self>) -> BTreeSet<Key> {
        BTreeSet::new()
    }

    fn key(&self) -> Key {
        Key::of_monitor(self)
    }
}

fn is_finished(booking: &Booking) -> bool {
    let state = booking.status.as_ref().and_then(|status| status.status.as_deref());
    state == Some(booking_state::FINISHED)
}

fn reindex(state: &mut State, name: &Name, from: Option<&Key>, to: Option<Key>) {
    if let Some(from) = from {
        super::drop_index(&mut state.bookings_of, from, &name.1);
    }
    if let Some(to) = to {
        state.bookings_of.entry(to).or_default().insert(name.1.clone());
    }
}
