//! Decides which of several Resources with the same machines acts.
//!
//! Two Resources, also in different namespaces, may name the same machines. If both acted, one would stop what the
//! other has booked. So only one acts: the one that holds the group or still has locks to remove, else the oldest.
//! The others act on nothing, and their conditions say so.

use crate::api::{FINALIZER, Resource, ResourceStatus};
use jiff::Timestamp;

use crate::decide::groups::locks::is_unexpired;
use booking_decision::meta::{self, created};

/// Whether a Resource may act on its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It acts.
    Ours,
    /// Another Resource acts.
    Other,
}

/// Whether `resource` acts, among all Resources of the same [`crate::decide::groups::group::GroupKey`]. The iterator
/// may contain the Resource itself.
pub fn claim<'a>(
    resource: &Resource,
    same_group: impl Iterator<Item = &'a Resource>,
    now: Timestamp,
) -> Claim {
    let rank = rank(resource, now);
    let first = same_group
        .filter(|other| other.metadata.uid != resource.metadata.uid)
        .all(|other| rank < self::rank(other, now));
    if first { Claim::Ours } else { Claim::Other }
}

/// The lowest rank acts. A Resource that is being deleted comes last, unless it still has locks.
fn rank(resource: &Resource, now: Timestamp) -> (bool, bool, Timestamp, &str) {
    let meta = &resource.metadata;
    let deleting = meta.deletion_timestamp.is_some();
    let acts = resource.status.as_ref().is_some_and(|status| has_locks(status, now));
    (
        !(acts || (deleting && has_finalizer(resource))),
        deleting,
        created(meta.creation_timestamp.as_ref()),
        meta::uid(meta),
    )
}

/// Whether our finalizer holds a Resource.
pub(crate) fn has_finalizer(resource: &Resource) -> bool {
    resource.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Whether locks of a Resource may be on machines: the holder's lock, or earlier locks that have not expired.
fn has_locks(status: &ResourceStatus, now: Timestamp) -> bool {
    status.holder.is_some() || status.released_locks.iter().any(|lock| is_unexpired(lock, now))
}

#[cfg(test)]
mod tests {
    use crate::api::{Lock, ResourceHolder, ResourceSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn resource(uid: &str, created: i64) -> Resource {
        let mut resource = Resource::new(uid, ResourceSpec::default());
        resource.metadata.uid = Some(uid.to_owned());
        resource.metadata.creation_timestamp = Some(Time(at(created)));
        resource
    }

    fn holding(mut resource: Resource) -> Resource {
        let holder = Some(ResourceHolder::default());
        resource.status = Some(ResourceStatus { holder, ..Default::default() });
        resource
    }

    fn deleting(mut resource: Resource) -> Resource {
        resource.metadata.deletion_timestamp = resource.metadata.creation_timestamp.clone();
        resource
    }

    fn having_released(mut resource: Resource, until: i64) -> Resource {
        let released_locks = vec![Lock { user: "ann".into(), until: at(until).to_string() }];
        resource.status = Some(ResourceStatus { released_locks, ..Default::default() });
        resource
    }

    fn finalized(mut resource: Resource) -> Resource {
        resource.metadata.finalizers = Some(vec![FINALIZER.into()]);
        resource
    }

    #[test]
    fn the_first_of_two_resources_on_one_group_acts() {
        // given pairs in which the left one must act
        let table = [
            ("the older", resource("b", 1), resource("a", 2)),
            ("of one age the smaller uid", resource("a", 1), resource("b", 1)),
            ("the holder before the older", holding(resource("b", 2)), resource("a", 1)),
            ("the older of two holders", holding(resource("b", 1)), holding(resource("a", 2))),
            ("one that stays before one that goes", resource("b", 2), deleting(resource("a", 1))),
            ("one that goes but has not let go", finalized(deleting(resource("b", 2))), resource("a", 1)),
            ("one with a lock of its own in force", having_released(resource("b", 2), 9), resource("a", 1)),
            ("not one whose lock has expired", resource("a", 1), having_released(resource("b", 2), 0)),
            ("one that goes but holds", deleting(holding(resource("b", 2))), resource("a", 1)),
        ];
        for (name, first, second) in table {
            // when both ask, then exactly the left one acts
            let both = [first.clone(), second.clone()];
            assert_eq!(claim(&first, both.iter(), at(0)), Claim::Ours, "{name}");
            assert_eq!(claim(&second, both.iter(), at(0)), Claim::Other, "{name}");
        }
    }

    #[test]
    fn a_resource_alone_on_its_group_acts() {
        let alone = resource("a", 1);
        assert_eq!(claim(&alone, [alone.clone()].iter(), at(0)), Claim::Ours);
        assert_eq!(claim(&alone, std::iter::empty(), at(0)), Claim::Ours);
    }
}
