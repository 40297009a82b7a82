//! The parts of a row, and short ways to write its manifest.

use kube::core::ApiResource;
use serde_json::{Value, json};

/// What is bad, the manifest, and the expected result.
pub type Row = (&'static str, Manifest, Expected);

/// The expected result of a bad input.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// `kubectl apply` fails with a message that contains these words, separated by ` | `.
    Refused(&'static str),
    /// It is accepted, and then has a condition of this type and reason. Its message contains these words, separated
    /// by ` | `.
    Condition(&'static str, &'static str, &'static str),
}

/// The kind of an object.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Booking,
    BookingScheduler,
    Resource,
    ResourceMonitor,
}

/// What is applied. `NAME` stands for a name that only this row has.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub kind: Kind,
    /// A good object that is applied first and is then edited.
    pub first: Option<String>,
    /// The bad input as kubectl reads it: JSON or YAML.
    pub text: String,
    object: Value,
}

impl Kind {
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Booking => ApiResource::erase::<bookings::api::Booking>(&()),
            Self::BookingScheduler => ApiResource::erase::<bookings::api::BookingScheduler>(&()),
            Self::Resource => ApiResource::erase::<bookings::api::Resource>(&()),
            Self::ResourceMonitor => ApiResource::erase::<bookings::api::ResourceMonitor>(&()),
        }
    }

    /// A valid spec. The Resource that it books does not exist.
    fn good_spec(self) -> Value {
        match self {
            Self::Booking => json!({
                "resource_name": "NAME", "user_id": "zoe",
                "start_at": "2099-03-01T08:00:00Z", "end_at": "2099-03-01T09:00:00Z",
            }),
            Self::BookingScheduler => json!({
                "schedule": "0 8 * * *", "duration": 20,
                "bookingTemplate": {"resource_name": "NAME", "user_id": "zoe"},
            }),
            Self::Resource => json!({"type": "ec2", "tag": "NAME"}),
            Self::ResourceMonitor => json!({"type": "ec2"}),
        }
    }

    fn good(self) -> Value {
        let resource = self.resource();
        json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": "NAME"}, "spec": self.good_spec(),
        })
    }
}

impl Manifest {
    fn of(kind: Kind, object: Value) -> Self {
        Self { kind, first: None, text: object.to_string(), object }
    }
}

/// A good Booking with these changes of its spec. Null removes a field.
pub fn booking(changes: Value) -> Manifest {
    root(Kind::Booking, of_spec(changes))
}

/// A good `BookingScheduler` with these changes of its spec. Null removes a field.
pub fn scheduler(changes: Value) -> Manifest {
    root(Kind::BookingScheduler, of_spec(changes))
}

/// A good Resource with these changes of its spec. Null removes a field.
pub fn resource(changes: Value) -> Manifest {
    root(Kind::Resource, of_spec(changes))
}

/// A good `ResourceMonitor` with these changes of its spec. Null removes a field.
pub fn monitor(changes: Value) -> Manifest {
    root(Kind::ResourceMonitor, of_spec(changes))
}

/// A good object with these changes anywhere. Null removes a field.
pub fn root(kind: Kind, changes: Value) -> Manifest {
    Manifest::of(kind, merged(kind.good(), changes))
}

/// An object that is stored first and is then applied with these changes of its spec. Null removes a field.
pub fn edited(stored: Manifest, changes: Value) -> Manifest {
    let edited = Manifest::of(stored.kind, merged(stored.object, of_spec(changes)));
    Manifest { first: Some(stored.text), ..edited }
}

/// A good object with these fields of its spec in YAML, for input that JSON cannot express.
pub fn text(kind: Kind, fields: &str) -> Manifest {
    let good = kind.good_spec();
    let kept = good.as_object().into_iter().flatten();
    let kept = kept.filter(|(name, _)| !fields.contains(&format!("{name}:")));
    let mut all: Vec<String> = kept.map(|(name, value)| format!("{name}: {value}")).collect();
    all.push(fields.to_owned());
    raw(kind, &format!("spec: {{{}}}", all.join(", ")))
}

/// An object of this kind with this YAML below its metadata.
pub fn raw(kind: Kind, yaml: &str) -> Manifest {
    let resource = kind.resource();
    let head = format!("apiVersion: {}\nkind: {}", resource.api_version, resource.kind);
    Manifest {
        kind,
        first: None,
        text: format!("{head}\nmetadata: {{name: NAME}}\n{yaml}\n"),
        object: json!({}),
    }
}

/// Only this text.
pub fn alone(text: &str) -> Manifest {
    Manifest { kind: Kind::Booking, first: None, text: text.to_owned(), object: json!({}) }
}

/// A text repeated `count` times.
pub fn x(text: &str, count: usize) -> String {
    text.repeat(count)
}

/// A list with a value repeated `count` times.
pub fn times(count: usize, value: &Value) -> Value {
    vec![value.clone(); count].into()
}

fn of_spec(changes: Value) -> Value {
    Value::Object([("spec".to_owned(), changes)].into_iter().collect())
}

fn merged(base: Value, changes: Value) -> Value {
    match (base, changes) {
        (Value::Object(mut base), Value::Object(changes)) => {
            for (name, change) in changes {
                match (base.remove(&name), change) {
                    (_, Value::Null) => {}
                    (Some(old @ Value::Object(_)), change) => drop(base.insert(name, merged(old, change))),
                    (_, change) => drop(base.insert(name, change)),
                }
            }
            base.into()
        }
        (_, changes) => changes,
    }
}
