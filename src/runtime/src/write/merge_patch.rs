//! Merge patches (RFC 7386).

use kube::api::Patch;
use serde_json::{Value, json};

use super::WriteError;

/// A merge patch that turns one status into another if the object is still at `version`. Fields that this release
/// does not know stay as they are.
///
/// # Errors
/// Cannot happen in practice, because statuses are plain data.
pub fn status_patch<S: serde::Serialize>(
    version: Option<&str>,
    old: Option<&S>,
    new: &S,
) -> Result<Patch<Value>, WriteError> {
    let json = |status: &S| serde_json::to_value(status).map_err(kube::Error::SerdeError);
    let old = old.map(json).transpose()?.unwrap_or_else(|| json!({}));
    let changes = difference(&old, &json(new)?);
    Ok(Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "status": changes })))
}

/// The JSON merge patch (RFC 7386) that turns `old` into `new`.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, value)| {
        let before = old.get(key).unwrap_or(&Value::Null);
        (key.clone(), difference(before, value))
    });
    removed.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_patch_names_only_what_changes_and_removes_what_is_gone() {
        let old = json!({ "a": 1, "b": { "c": 1, "d": 2 }, "gone": true, "list": [1, 2] });
        let new = json!({ "a": 1, "b": { "c": 1, "d": 3 }, "new": "x", "list": [2] });
        let expected = json!({ "b": { "d": 3 }, "gone": null, "new": "x", "list": [2] });
        assert_eq!(difference(&old, &new), expected);
    }

    #[test]
    fn a_patch_carries_the_version_it_was_decided_from() {
        let new = json!({ "status": "SCHEDULED" });
        let Patch::Merge(patch) = status_patch(Some("7"), None, &new).unwrap() else { panic!() };
        assert_eq!(
            patch,
            json!({ "metadata": { "resourceVersion": "7" }, "status": { "status": "SCHEDULED" } })
        );
    }
}
