//! Converts objects of Kubernetes to records of the protocol and back.
//!
//! Reading never panics, even if an object is odd, and it never proves anything that no member wrote. A field that is
//! absent or odd reads as the value that permits least.

pub mod lease;
pub mod ring;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::record::Stored;

/// An object cannot be understood at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// The object has no uid, or its version is not a number. No API server returns such an object.
    #[error("no uid, or a resourceVersion that is no number")]
    Metadata,
    /// A field of a ring breaks the schema.
    #[error("{0}")]
    Ring(String),
}

/// A record with the uid and version of its object.
fn stored<T>(metadata: &ObjectMeta, value: T) -> Result<Stored<T>, Odd> {
    let uid = metadata.uid.as_deref().filter(|uid| !uid.is_empty()).ok_or(Odd::Metadata)?;
    let version = metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
    Ok(Stored { uid: uid.into(), version: version.ok_or(Odd::Metadata)?, value: Arc::new(value) })
}
