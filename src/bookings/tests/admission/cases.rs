//! Tables of cases. Each line says what changes in a good object, and which words the refusal must have, separated by
//! ` | `. If a rule raises an error instead of answering, the test fails, even if a refusal is expected.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::common::{api, object, refusal, served};

/// No words: the object must be accepted.
pub const OK: &str = "";

/// The spec of a good Booking.
pub fn booking() -> Value {
    json!({
        "resource_name": "ec2.warehouse", "user_id": "a1b2c3d4e5",
        "start_at": "2027-03-01T08:00:00Z", "end_at": "2027-03-01T09:00:00Z",
    })
}

/// The spec of a good Resource.
pub fn resource() -> Value {
    json!({"type": "ec2", "tag": "warehouse"})
}

/// The spec of a good `BookingScheduler`.
pub fn scheduler() -> Value {
    let template = json!({"resource_name": "ec2.warehouse", "user_id": "a1b2c3d4e5"});
    json!({"schedule": "0 * * * *", "duration": 20, "bookingTemplate": template})
}

/// `base` with the fields of `changes` replaced; null removes one.
fn merged(base: &Value, changes: &Value) -> Value {
    let (Value::Object(base), Value::Object(changes)) = (base, changes) else { return changes.clone() };
    let mut result = base.clone();
    for (name, change) in changes {
        if change.is_null() {
            result.remove(name);
        } else {
            let before = result.get(name).cloned().unwrap_or(Value::Null);
            result.insert(name.clone(), merged(&before, change));
        }
    }
    result.into()
}

/// What is wrong with the server's answer, if anything is.
fn complaint(what: &Value, expected: &str, answer: kube::Result<DynamicObject>) -> Option<String> {
    let wrong = match (expected, answer) {
        (OK, Ok(_)) => return None,
        (OK, Err(error)) => error.to_string(),
        (expected, answer) => match refusal(answer) {
            Ok(message) if expected.split(" | ").all(|words| message.contains(words)) => return None,
            Ok(message) => format!("expected {expected:?}, got {message}"),
            Err(wrong) => wrong,
        },
    };
    let what: String = what.to_string().chars().take(120).collect();
    Some(format!("{what}: {}", wrong.chars().take(500).collect::<String>()))
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

/// Creates the good object with each change.
pub async fn creating(kind: &str, base: &Value, cases: &[(Value, &str)]) {
    let (_, client, namespace) = served("admission").await;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut complaints = Vec::new();
    for (changes, expected) in cases {
        let object = object(kind, "case", merged(base, changes));
        let answer = api(&client, &namespace, kind).create(&params, &object).await;
        complaints.extend(complaint(changes, expected, answer));
    }
    assert_none(&complaints);
}

/// Stores the good object with the first value, then merges each second value into its spec.
pub async fn updating(kind: &str, base: &Value, cases: &[(Value, Value, &str)]) {
    let (_, client, namespace) = served("admission").await;
    let api = api(&client, &namespace, kind);
    let mut complaints = Vec::new();
    for (number, (before, changes, expected)) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        api.create(&PostParams::default(), &object(kind, &name, merged(base, before))).await.unwrap();
        let patch = Patch::Merge(json!({"spec": changes}));
        let answer = api.patch(&name, &PatchParams::default().dry_run(), &patch).await;
        complaints.extend(complaint(changes, expected, answer));
    }
    assert_none(&complaints);
}
