//! The snapshot that a pass over a group works on.

use std::sync::Arc;

use booking_runtime::{
    Key,
    store::{Name, Opened},
};
use jiff::Timestamp;

use crate::{
    api::{Booking, Resource},
    decide::{
        groups::{
            claim::claim,
            group::{Blocked, Group, validate},
        },
        locations::Locations,
    },
    run::objects::Objects,
};

/// The objects that a pass over a group works on.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The Resource, if it exists.
    pub(super) resource: Option<Arc<Opened<Resource>>>,
    /// The group that it acts on, or why it acts on none.
    pub(super) standing: Option<Result<Group, Blocked>>,
    /// All Bookings that name it, in order of their names.
    pub(super) bookings: Vec<Arc<Opened<Booking>>>,
    /// The accounts and regions with which the standing was decided.
    pub(super) locations: Arc<Locations>,
}

impl Snapshot {
    /// Takes the snapshot of a key at `now`.
    pub(super) fn gather(objects: &Objects, key: &Key, now: Timestamp) -> Self {
        let groups = objects.groups.now();
        let name = Name::new(&key.namespace, &key.name);
        let resource = objects.resources.get(&name);
        let standing = resource.as_ref().map(|resource| {
            let group = validate(resource, &groups.locations)?;
            let others = groups.names(&group.key).into_iter().filter(|other| *other != name);
            let mut others = objects.resources.get_all(others);
            // Between the two reads a Resource may have left the group.
            others.retain(|other| groups.key(other).as_ref() == Some(&group.key));
            let all = others.iter().chain([resource]).map(|resource| &***resource);
            group.claimed(claim(resource, all, now))
        });
        Self {
            bookings: objects.bookings.of_key(key),
            resource,
            standing,
            locations: groups.locations.clone(),
        }
    }

    /// Whether neither a Resource nor a Booking has that name.
    pub(super) fn is_empty(&self) -> bool {
        self.resource.is_none() && self.bookings.is_empty()
    }

    /// The group that must be observed, if any.
    pub(super) fn group(&self) -> Option<&Group> {
        self.standing.as_ref()?.as_ref().ok()
    }
}

/// Whether a Resource acts on its group, as far as the store knows.
#[cfg(test)]
pub(in crate::run) fn claim_of(objects: &Objects, key: &Key) -> crate::decide::groups::claim::Claim {
    use crate::decide::groups::claim::Claim;

    match Snapshot::gather(objects, key, Timestamp::UNIX_EPOCH).standing {
        Some(Err(Blocked::Claimed)) => Claim::Other,
        _ => Claim::Ours,
    }
}
