//! The predecessor's CRDs: the same fields, types, required fields and printer columns, and no rules.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// Name, type and path of a printer column.
type Column = (&'static str, &'static str, &'static str);

/// All four CRDs of the predecessor, in the order of their kinds' names.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let booking = || {
        let notification = require(fields(&["recipient", "type"], "string"), &["recipient", "type"]);
        let texts = ["end_at", "resource_name", "start_at", "user_id"];
        let list = json!({"notifications": {"type": "array", "items": notification}});
        require(join(fields(&texts, "string"), &list), &texts)
    };
    let resource_texts = ["booked_by", "booked_until", "tag", "type"];
    let group = join(
        fields(&["instances", "running"], "integer"),
        &typed(&["locked_by", "locked_until", "status"], "string"),
    );
    vec![
        crd(
            "Booking",
            &[
                ("START", "string", ".spec.start_at"),
                ("END", "string", ".spec.end_at"),
                ("STATUS", "string", ".status.status"),
            ],
            &booking(),
            &join(fields(&["status"], "string"), &typed(&["notification_sent"], "boolean")),
        ),
        crd(
            "BookingScheduler",
            &[
                ("SCHEDULE", "string", ".spec.schedule"),
                ("DURATION", "integer", ".spec.duration"),
                ("NEXT", "string", ".status.next"),
            ],
            &join(
                fields(&["schedule"], "string"),
                &join(typed(&["duration"], "integer"), &json!({"bookingTemplate": booking()})),
            ),
            &fields(&["next"], "string"),
        ),
        crd(
            "Resource",
            &[
                ("LOCKED BY", "string", ".status.locked_by"),
                ("LOCKED UNTIL", "string", ".status.locked_until"),
                ("INSTANCES", "integer", ".status.instances"),
                ("RUNNING", "integer", ".status.running"),
                ("STATUS", "string", ".status.status"),
            ],
            &require(fields(&resource_texts, "string"), &resource_texts),
            &require(group, &["instances", "locked_by", "locked_until", "running", "status"]),
        ),
        crd(
            "ResourceMonitor",
            &[],
            &require(fields(&["type"], "string"), &["type"]),
            &json!({"type": "object"}),
        ),
    ]
}

/// The header line that kubectl prints for each kind of the predecessor.
pub fn headers(kind: &str) -> &'static [&'static str] {
    match kind {
        "Booking" => &["NAME", "START", "END", "STATUS"],
        "BookingScheduler" => &["NAME", "SCHEDULE", "DURATION", "NEXT"],
        "Resource" => &["NAME", "LOCKED BY", "LOCKED UNTIL", "INSTANCES", "RUNNING", "STATUS"],
        _ => &["NAME", "AGE"],
    }
}

fn typed(names: &[&str], type_: &str) -> Value {
    names.iter().map(|name| ((*name).to_owned(), json!({"type": type_}))).collect::<Map<_, _>>().into()
}

fn fields(names: &[&str], type_: &str) -> Value {
    json!({"type": "object", "properties": typed(names, type_)})
}

/// Adds the entries of `more` to the properties of an object schema, or to a map of properties.
fn join(mut schema: Value, more: &Value) -> Value {
    let is_schema = schema.get("properties").is_some();
    let map = if is_schema { &mut schema["properties"] } else { &mut schema };
    map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    schema
}

fn require(mut schema: Value, names: &[&str]) -> Value {
    schema["required"] = json!(names);
    schema
}

fn crd(kind: &str, columns: &[Column], spec: &Value, status: &Value) -> CustomResourceDefinition {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let columns: Vec<Value> = columns
        .iter()
        .map(|(name, type_, path)| json!({"name": name, "type": type_, "jsonPath": path}))
        .collect();
    let schema = json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": spec, "status": status,
    }});
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.manager.kotaico.de")},
        "spec": {
            "group": "manager.kotaico.de",
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    }))
    .unwrap()
}
