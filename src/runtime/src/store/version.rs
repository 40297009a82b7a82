//! resourceVersions, which are numbers.

use kube::api::ObjectMeta;

/// An object's `resourceVersion`.
pub fn version(meta: &ObjectMeta) -> u64 {
    number(meta.resource_version.as_deref())
}

/// A `resourceVersion`. If it is not a number, it counts as newer than all others, so that the object is read
/// repeatedly rather than missed.
pub fn number(version: Option<&str>) -> u64 {
    version.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}
