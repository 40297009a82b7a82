//! Which of several Resources on one group of machines acts.
//!
//! Two Resources, in whatever namespaces, may name the same machines. If both acted, one would stop
//! what the other has booked. So one acts: the one that holds the group, else the oldest; the others
//! act on nothing and say so.

use booking_api::Resource;

use crate::booking::created;

/// Whether a Resource may act on its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It acts.
    Ours,
    /// Another Resource acts.
    Other,
}

/// Whether `resource` acts, among all Resources of the same [`crate::group::GroupKey`], itself
/// included or not.
pub fn claim<'a>(resource: &Resource, same_group: impl Iterator<Item = &'a Resource>) -> Claim {
    let rank = rank(resource);
    let first = same_group
        .filter(|other| other.metadata.uid != resource.metadata.uid)
        .all(|other| rank < self::rank(other));
    if first { Claim::Ours } else { Claim::Other }
}

/// Lower goes first. One that is being deleted counts last, unless it still holds the group.
fn rank(resource: &Resource) -> (bool, bool, jiff::Timestamp, &str) {
    let holds = resource.status.as_ref().is_some_and(|status| status.holder.is_some());
    let meta = &resource.metadata;
    (
        !holds,
        meta.deletion_timestamp.is_some(),
        created(meta.creation_timestamp.as_ref()),
        meta.uid.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use booking_api::{ResourceHolder, ResourceSpec, ResourceStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn resource(uid: &str, created: i64) -> Resource {
        let mut resource = Resource::new(uid, ResourceSpec::default());
        resource.metadata.uid = Some(uid.to_owned());
        let time = jiff::Timestamp::from_second(created).unwrap();
        resource.metadata.creation_timestamp = Some(Time(time));
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

    #[test]
    fn the_first_of_two_resources_on_one_group_acts() {
        // given pairs in which the left one must act
        let table = [
            ("the older", resource("b", 1), resource("a", 2)),
            ("of one age the smaller uid", resource("a", 1), resource("b", 1)),
            ("the holder before the older", holding(resource("b", 2)), resource("a", 1)),
            ("the older of two holders", holding(resource("b", 1)), holding(resource("a", 2))),
            ("one that stays before one that goes", resource("b", 2), deleting(resource("a", 1))),
            ("one that goes but holds", deleting(holding(resource("b", 2))), resource("a", 1)),
        ];
        for (name, first, second) in table {
            // when both ask, then exactly the left one acts
            let both = [first.clone(), second.clone()];
            assert_eq!(claim(&first, both.iter()), Claim::Ours, "{name}");
            assert_eq!(claim(&second, both.iter()), Claim::Other, "{name}");
        }
    }

    #[test]
    fn a_resource_alone_on_its_group_acts() {
        let alone = resource("a", 1);
        assert_eq!(claim(&alone, [alone.clone()].iter()), Claim::Ours);
        assert_eq!(claim(&alone, std::iter::empty()), Claim::Ours);
    }
}
