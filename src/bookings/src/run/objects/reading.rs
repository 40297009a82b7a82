//! Tests of how objects are read from the API server's text, and of which fields are kept.

use std::sync::Arc;

use booking_runtime::{store::Object, watch::decode::Trimmed};
use kube::{
    ResourceExt,
    core::{ObjectList, WatchEvent},
};
use serde_json::{Value, json};

use super::Objects;
use crate::{
    api::{Booking, DISCOVERED_BY, Resource},
    decide::locations::Locations,
};

fn booking() -> Value {
    json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": "Booking",
        "metadata": {
            "name": "report", "namespace": "team", "uid": "u", "resourceVersion": "4711", "generation": 3,
            "creationTimestamp": "2027-03-01T08:00:00Z", "deletionTimestamp": "2027-03-01T09:00:00Z",
            "labels": { "a": "b" }, "annotations": { "c": "d" }, "finalizers": ["manager.kotaico.de/release"],
            "ownerReferences": [{
                "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler", "name": "s", "uid": "v",
                "controller": true,
            }],
        },
        "spec": { "resource_name": "ec2.web", "user_id": "Zo\u{eb}", "start_at": "2027-03-01T08:00:00Z" },
        "status": { "status": "SCHEDULED" },
    })
}

fn trimmed<K: Object>(text: &str) -> K {
    serde_json::from_str::<Trimmed<K>>(text).unwrap().0
}

#[test]
fn an_object_is_read_as_its_type_reads_it() {
    let text = booking().to_string();
    let mut whole: Booking = serde_json::from_str(&text).unwrap();
    let read = trimmed::<Booking>(&text);
    // except labels and annotations, because nothing reads them
    (whole.metadata.labels, whole.metadata.annotations) = (None, None);
    assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(whole).unwrap());
}

#[test]
fn managed_fields_and_what_kubectl_left_are_not_kept() {
    let mut sent = booking();
    sent["metadata"]["managedFields"] = json!([{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }]);
    sent["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("x");
    let read = trimmed::<Booking>(&sent.to_string());
    assert_eq!(
        serde_json::to_value(read).unwrap(),
        serde_json::to_value(trimmed::<Booking>(&booking().to_string())).unwrap()
    );
}

#[test]
fn of_annotations_and_owners_only_what_the_kind_keeps_is_kept() {
    // given a Resource with a quarter of a megabyte of annotations, and an owner that controls nothing
    let mut sent = booking();
    sent["metadata"]["annotations"] = json!({ "big": "x".repeat(250 << 10), DISCOVERED_BY: "all" });
    sent["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" }]);
    sent["spec"] = json!({ "tag": "web" });
    // when it is read
    let read = trimmed::<Resource>(&sent.to_string());
    // then only the name of the monitor is left
    let kept = read.metadata.annotations.unwrap();
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), [(DISCOVERED_BY.to_owned(), "all".to_owned())]);
    assert_eq!((read.metadata.labels, read.metadata.owner_references), (None, None));
    assert_eq!(trimmed::<Booking>(&booking().to_string()).metadata.owner_references.unwrap().len(), 1);
}

#[test]
fn a_booking_is_kept_in_a_few_hundred_bytes() {
    let objects = Objects::new(Arc::new(Locations::new("", "here-1", vec![])));
    objects.bookings.saw(&trimmed::<Booking>(&booking().to_string()));
    assert!((100..400).contains(&objects.bookings.bytes()), "{} bytes", objects.bookings.bytes());
}

#[test]
fn an_object_that_cannot_be_decoded_stands_as_an_empty_one_and_fails_no_other() {
    // given three Resources, of which the middle one has a number as its tag
    let resource = |name: &str, spec: Value| {
        json!({
            "metadata": { "name": name, "namespace": "n", "resourceVersion": "1" }, "spec": spec
        })
    };
    let list = json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": "ResourceList", "metadata": { "resourceVersion": "9" },
        "items": [
            resource("a", json!({ "tag": "a" })),
            resource("b", json!({ "tag": 7 })),
            resource("c", json!({ "tag": "c" })),
        ],
    });
    // when they are listed
    let list: ObjectList<Trimmed<Resource>> = serde_json::from_str(&list.to_string()).unwrap();
    // then all are there, and the middle one has an empty spec
    let read = list.items.iter().map(|Trimmed(it)| (it.name_any(), it.spec.tag.clone()));
    let expected = [("a", Some("a")), ("b", None), ("c", Some("c"))];
    assert!(read.eq(expected.map(|(name, tag)| (name.to_owned(), tag.map(ToOwned::to_owned)))));
}

#[test]
fn an_object_without_a_spec_or_with_a_null_status_is_read() {
    let read = trimmed::<Booking>(r#"{ "metadata": { "name": "b" }, "status": null }"#);
    assert_eq!((read.name_any(), read.status.is_none()), ("b".to_owned(), true));
}

#[test]
fn a_line_of_a_watch_is_read() {
    let object = booking();
    let line = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
    let event: WatchEvent<Trimmed<Booking>> = serde_json::from_str(&line).unwrap();
    let WatchEvent::Modified(Trimmed(read)) = event else { panic!("it is a change") };
    assert_eq!(read.name_any(), "report");
}
