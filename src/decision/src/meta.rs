//! The fields of an object's metadata that are read.

use crate::impossible;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

/// When an object was created. An object without a creation time counts as the oldest.
pub fn created(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::MIN, |time| time.0)
}

/// An object's uid. The API server gives a uid to every object that it stores.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_else(|| {
        impossible("meta.uid");
        ""
    })
}
