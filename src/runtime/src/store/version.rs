//! resourceVersions as the numbers that they are.

use kube::api::ObjectMeta;

/// An object's `resourceVersion`.
pub fn version(meta: &ObjectMeta) -> u64 {
    number(meta.resource_version.as_deref())
}

/// A `resourceVersion`. One that is no number is newer than all others, so that it is read again and again rather than missed.
pub fn number(version: Option<&str>) -> u64 {
    version.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}
