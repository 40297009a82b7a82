//! Objects of any kind that are bad outside of their spec. See [`super`] for how to add one.

use serde_json::json;

use super::row::{
    Expected::{Condition, Refused},
    Kind::{Booking, BookingScheduler, Resource, ResourceMonitor},
    Row, alone, raw, root, x,
};

/// A list in a list in a list, and so on.
fn deep(levels: usize) -> String {
    format!("{}{}", x("[", levels), x("]", levels))
}

/// Anchors, each of which has nine references to the one before.
fn laughs() -> String {
    let many = |level: u32| vec![format!("*a{level}"); 9].join(", ");
    let next = |level: u32| format!("a{}: &a{} [{}]", level + 1, level + 1, many(level));
    format!("a0: &a0 [ha]\n{}", (0..8).map(next).collect::<Vec<_>>().join("\n"))
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        // names
        ("the name is in upper case",
            root(Resource, json!({"metadata": {"name": "Web"}})),
            Refused("metadata.name | \"Web\" | lower case alphanumeric")),
        ("the name is 254 characters",
            root(Resource, json!({"metadata": {"name": x("x", 254)}})), Refused("metadata.name | 253")),
        ("the name is empty", root(Booking, json!({"metadata": {"name": ""}})), Refused("name")),
        ("the name is missing", root(Booking, json!({"metadata": {"name": null}})), Refused("name")),
        ("the name is made up by the server",
            root(Booking, json!({"metadata": {"name": null, "generateName": "b-"}})),
            Refused("generate name")),
        ("the name is a number", root(Booking, json!({"metadata": {"name": 5}})), Refused("name")),
        ("the name has a slash", root(ResourceMonitor, json!({"metadata": {"name": "a/b"}})), Refused("\"a/b\" | /")),
        ("the name is a step up", root(ResourceMonitor, json!({"metadata": {"name": ".."}})), Refused("\"..\"")),
        ("the name has a blank",
            root(BookingScheduler, json!({"metadata": {"name": "a b"}})), Refused("metadata.name | \"a b\"")),
        ("the name has an underscore",
            root(BookingScheduler, json!({"metadata": {"name": "a_b"}})), Refused("metadata.name | \"a_b\"")),
        ("the name is an umlaut", root(Resource, json!({"metadata": {"name": "ü"}})), Refused("metadata.name | \"ü\"")),
        ("the name is written right to left",
            root(Resource, json!({"metadata": {"name": "a\u{202e}b"}})), Refused("metadata.name")),
        ("the namespace is another",
            root(Booking, json!({"metadata": {"namespace": "elsewhere"}})), Refused("namespace | elsewhere")),
        ("the name is as long as it may be",
            root(Booking, json!({"metadata": {"name": x("b", 253)}})),
            Condition("Ready", "ResourceNotFound", "")),
        ("the name is as long as it may be",
            root(BookingScheduler, json!({"metadata": {"name": x("s", 253)}})),
            Condition("Ready", "Scheduled", "")),
        ("the name is as long as it may be",
            root(Resource, json!({"metadata": {"name": x("r", 253)}})),
            Condition("Ready", "NoInstances", "")),
        ("the name is as long as it may be",
            root(ResourceMonitor, json!({"metadata": {"name": x("m", 253)}})),
            Condition("Ready", "Swept", "")),
        // other metadata
        ("there is no metadata", root(Booking, json!({"metadata": null})), Refused("name")),
        ("the metadata is a list", root(Booking, json!({"metadata": ["web"]})), Refused("metadata")),
        ("a label has a bad value",
            root(Resource, json!({"metadata": {"labels": {"team": "a b"}}})),
            Refused("metadata.labels | \"a b\"")),
        ("a label has a value of 64 characters",
            root(Resource, json!({"metadata": {"labels": {"team": x("x", 64)}}})),
            Refused("metadata.labels | 63")),
        ("a label has a bad key",
            root(Resource, json!({"metadata": {"labels": {"-team-": "a"}}})),
            Refused("metadata.labels | \"-team-\"")),
        ("a label is a number", root(Booking, json!({"metadata": {"labels": {"team": 1}}})), Refused("labels")),
        ("an annotation is a map",
            root(Booking, json!({"metadata": {"annotations": {"a": {"b": "c"}}}})), Refused("annotations")),
        ("the annotations are 300 KiB",
            root(Booking, json!({"metadata": {"annotations": {"a": x("x", 300 << 10)}}})),
            Refused("metadata.annotations | may not be more than 262144")),
        ("a finalizer is no name",
            root(Resource, json!({"metadata": {"finalizers": ["not a name"]}})),
            Refused("metadata.finalizers | \"not a name\"")),
        ("an owner has no uid",
            root(Booking, json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]}})),
            Refused("metadata.ownerReferences.uid | must not be empty")),
        ("there is a field of metadata that is none",
            root(Booking, json!({"metadata": {"owner": "ann"}})),
            Refused("unknown field \"metadata.owner\"")),
        // kind and version
        ("the version is none",
            root(Booking, json!({"apiVersion": "manager.kotaico.de/v9"})),
            Refused("no matches for kind \"Booking\" | v9")),
        ("the group is none",
            root(Booking, json!({"apiVersion": "kotaico.de/v1"})),
            Refused("no matches for kind \"Booking\" | kotaico.de")),
        ("the version is missing", root(Booking, json!({"apiVersion": null})), Refused("apiVersion")),
        ("the kind is in lower case",
            root(Booking, json!({"kind": "booking"})), Refused("kind | \"booking\" | must be Booking")),
        ("the kind is the plural",
            root(Resource, json!({"kind": "Resources"})), Refused("no matches for kind \"Resources\"")),
        ("the kind is missing", root(Resource, json!({"kind": null})), Refused("kind")),
        ("the kind is another's: a Booking that is a Resource",
            root(Booking, json!({"kind": "Resource"})), Refused("unknown field \"spec.user_id\"")),
        // specs
        ("a Booking has no spec",
            root(Booking, json!({"spec": null})), Refused("spec: Required value: a spec is required")),
        ("a Resource has no spec",
            root(Resource, json!({"spec": null})), Refused("spec: Required value: a spec is required")),
        ("a BookingScheduler has no spec",
            root(BookingScheduler, json!({"spec": null})),
            Refused("spec: Required value: a spec is required")),
        ("a ResourceMonitor has no spec",
            root(ResourceMonitor, json!({"spec": null})),
            Refused("spec: Required value: a spec is required")),
        ("the spec is a list", root(Booking, json!({"spec": ["web"]})), Refused("spec | must be of type object")),
        ("the spec is a text", root(Resource, json!({"spec": "web"})), Refused("spec | must be of type object")),
        ("the spec is a number", root(ResourceMonitor, json!({"spec": 1})), Refused("spec | must be of type object")),
        ("the spec is empty",
            raw(BookingScheduler, "spec: {}"),
            Condition("Stalled", "Invalid", "spec.schedule | the schedule is empty")),
        ("there is a field beside the spec that is none",
            root(Resource, json!({"tag": "web"})), Refused("unknown field \"tag\"")),
        ("the status is not the user's to say",
            root(Booking, json!({"status": {"status": "IN PROGRESS", "holder": "ben"}})),
            Condition("Ready", "ResourceNotFound", "")),
        ("the status is a text",
            root(Booking, json!({"status": "FINISHED"})), Condition("Ready", "ResourceNotFound", "")),
        ("the status has a field that is none",
            root(Booking, json!({"status": {"state": "FINISHED"}})),
            Refused("unknown field \"status.state\"")),
        // texts
        ("there is nothing", alone(""), Refused("no objects passed to apply")),
        ("it is a number", alone("5"), Refused("invalid object to validate")),
        ("it is a list", alone("[1, 2]"), Refused("invalid object to validate")),
        ("it is JSON without an end", alone("{\"kind\": \"Booking\""), Refused("unexpected EOF")),
        ("it is YAML with tabs", alone("spec:\n\tuser_id: ann"), Refused("yaml")),
        ("it holds a NUL",
            raw(Booking, "spec: {user_id: \"\0\"}"), Refused("yaml: control characters are not allowed")),
        ("it names an anchor that is none", raw(Booking, "spec: *good"), Refused("unknown anchor 'good'")),
        ("it laughs a billion times", raw(Booking, &laughs()), Refused("yaml: document contains excessive aliasing")),
        ("it is 1000 lists deep",
            raw(Booking, &format!("spec: {}", deep(1000))), Refused("spec | must be of type object")),
        ("it is 20000 lists deep", raw(Booking, &format!("spec: {}", deep(20_000))), Refused("exceeded max depth")),
        ("it has 4 MiB", root(Booking, json!({"spec": {"user_id": x("x", 4 << 20)}})), Refused("too large")),
    ]
}
