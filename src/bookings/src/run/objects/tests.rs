use std::collections::BTreeSet;

use booking_runtime::Key;

use super::*;
use crate::{
    api::{BookingSpec, ResourceHolder, ResourceSpec},
    decide::groups::claim::Claim,
    run::groups::claim_of,
};

fn objects() -> Objects {
    Objects::new(Arc::new(Locations::new("", "here-1", vec![])))
}

fn meta(name: &str, version: u64) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some("n".into()),
        uid: Some(format!("uid-{name}")),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    }
}

fn resource(name: &str, tag: &str, version: u64) -> Resource {
    let spec = ResourceSpec { type_: Some("ec2".into()), tag: Some(tag.into()), ..ResourceSpec::default() };
    Resource { metadata: meta(name, version), ..Resource::new(name, spec) }
}

fn keys(changed: BTreeSet<Key>) -> Vec<String> {
    changed.into_iter().map(|key| key.name).collect()
}

#[test]
fn bookings_are_found_under_the_resource_they_name_and_a_finished_one_concerns_its_scheduler() {
    // given a Booking that a scheduler owns
    let objects = objects();
    let spec = BookingSpec { resource_name: Some("web".into()), ..BookingSpec::default() };
    let mut booking = Booking { metadata: meta("b", 1), ..Booking::new("b", spec) };
    booking.metadata.owner_references =
        Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "manager.kotaico.de/v1".into(),
            kind: "BookingScheduler".into(),
            name: "daily".into(),
            uid: "uid-daily".into(),
            controller: Some(true),
            ..Default::default()
        }]);
    assert_eq!(keys(objects.bookings.saw(&booking)), ["web", "daily"]);
    let (group, owner) = (Key::new(GROUP, "n", "web"), Key::new(SCHEDULER, "n", "daily"));
    assert_eq!((objects.bookings.of_key(&group).len(), objects.owned.names(&owner).len()), (1, 1));
    // when it has finished, then its scheduler has to act
    booking.metadata.resource_version = Some("2".into());
    booking.status = Some(BookingStatus { status: Some("FINISHED".into()), ..BookingStatus::default() });
    assert_eq!(keys(objects.bookings.saw(&booking)), ["web", "daily"]);
    // when it is gone, then nothing is left
    objects.bookings.lost(&booking);
    assert_eq!((objects.bookings.of_key(&group).len(), objects.owned.names(&owner).len()), (0, 0));
}

#[test]
fn the_others_on_a_group_are_asked_anew_when_a_resource_comes_holds_or_goes() {
    let objects = objects();
    assert_eq!(keys(objects.resources.saw(&resource("one", "web", 1))), ["one"]);
    assert_eq!(keys(objects.resources.saw(&resource("two", "web", 2))), ["one", "two"]);
    assert_eq!(keys(objects.resources.saw(&resource("other", "db", 3))), ["other"]);
    // when a write of this replica gives the hold to one of them
    let mut holds = resource("two", "web", 4);
    let holder = Some(ResourceHolder::default());
    holds.status = Some(ResourceStatus { holder, ..ResourceStatus::default() });
    assert_eq!(keys(objects.resources.wrote(&holds)), ["one"]);
    let one = Key::new(GROUP, "n", "one");
    assert_eq!(claim_of(&objects, &one), Claim::Other);
    // when that one is deleted
    assert_eq!(keys(objects.resources.lost(&holds)), ["one", "two"]);
    assert_eq!(claim_of(&objects, &one), Claim::Ours);
}

#[test]
fn a_resource_that_spells_out_the_operators_own_region_is_on_the_same_group() {
    let objects = objects();
    let mut spelled = resource("b", "web", 1);
    spelled.spec.region = Some("here-1".into());
    objects.resources.saw(&spelled);
    assert_eq!(keys(objects.resources.saw(&resource("a", "web", 2))), ["a", "b"]);
}

#[test]
fn a_resource_replaced_by_another_of_its_name_wakes_the_others_on_the_group() {
    let objects = objects();
    objects.resources.saw(&resource("one", "web", 1));
    objects.resources.saw(&resource("two", "web", 2));
    let mut another = resource("two", "web", 3);
    another.metadata.uid = Some("uid-another".into());
    assert_eq!(keys(objects.resources.saw(&another)), ["one", "two"]);
}

#[test]
fn of_two_resources_on_one_group_in_two_namespaces_one_acts() {
    let objects = objects();
    let mut elsewhere = resource("two", "web", 2);
    elsewhere.metadata.namespace = Some("m".into());
    objects.resources.saw(&resource("one", "web", 1));
    assert_eq!(keys(objects.resources.saw(&elsewhere)), ["two", "one"]);
    let claim = |namespace: &str, name: &str| claim_of(&objects, &Key::new(GROUP, namespace, name));
    assert_eq!((claim("n", "one"), claim("m", "two")), (Claim::Ours, Claim::Other));
}
