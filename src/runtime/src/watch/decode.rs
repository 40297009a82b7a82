//! Decodes objects from the API server's text, but only the fields that some code reads.
//!
//! A replica receives every change of every object, so the cost of decoding is paid once per change and replica. Half
//! of an object is `managedFields`, which no code reads. They are skipped instead of being built and dropped.
//! Annotations, labels and owners are kept only as far as the kind requires ([`Keeps`]). The object is not kept twice
//! in case decoding fails, as `kube::core::DeserializeGuard` would.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{
    api::{ApiResource, ObjectMeta},
    core::DynamicResourceScope,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::store::{Fields, Keeps, Labels, Object};

/// An object reduced to the fields that its kind keeps. If decoding fails, an empty object of the same name takes its
/// place, so that the list or the watch does not fail for the others. Its condition then reports that it is invalid.
#[derive(Clone, Debug)]
pub struct Trimmed<K>(pub K);

impl<'de, K: Object> Deserialize<'de> for Trimmed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        read(raw.get()).map_err(serde::de::Error::custom)
    }
}

/// Decodes an object.
///
/// # Errors
/// The text is not an object, or its metadata do not have the form that Kubernetes defines.
pub(super) fn read<K: Object>(text: &str) -> serde_json::Result<Trimmed<K>> {
    let Parts { metadata, fields } = serde_json::from_str(text)?;
    let metadata = metadata.map_or_else(|| Ok(Metadata::default()), |raw| serde_json::from_str(raw.get()))?;
    let metadata = metadata.kept(K::KEEPS);
    let mut object = K::read(&fields).unwrap_or_else(|error| {
        let ObjectMeta { name, namespace, .. } = &metadata;
        let kind: String = fields.get("kind").unwrap_or_default();
        tracing::error!(kind, ?namespace, ?name, %error, "object cannot be decoded");
        K::default()
    });
    *object.meta_mut() = metadata;
    Ok(Trimmed(object))
}

/// The top-level fields of an object, as text.
struct Parts<'a> {
    metadata: Option<&'a RawValue>,
    fields: Fields<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Parts { metadata: None, fields: Fields::default() };
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let value: &RawValue = map.next_value()?;
                    if name == "metadata" {
                        parts.metadata = Some(value);
                    } else {
                        parts.fields.0.insert(name, value);
                    }
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_map(Whole)
    }
}

/// The metadata that are read. They do not include `managedFields`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl Metadata {
    fn kept(self, keeps: Keeps) -> ObjectMeta {
        let annotations = only(self.annotations, keeps.annotations);
        let labels = match keeps.labels {
            Labels::All => self.labels.filter(|all| !all.is_empty()),
            Labels::Of(keys) => only(self.labels, keys),
        };
        let owners = self.owner_references.filter(|_| keeps.controller).map(|mut all| {
            all.retain(|owner| owner.controller == Some(true));
            all
        });
        ObjectMeta {
            annotations,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            finalizers: self.finalizers,
            generation: self.generation,
            labels,
            name: self.name,
            namespace: self.namespace,
            owner_references: owners.filter(|all| !all.is_empty()),
            resource_version: self.resource_version,
            uid: self.uid,
            ..ObjectMeta::default()
        }
    }
}

/// The entries of a map that have one of these keys.
fn only(all: Option<BTreeMap<String, String>>, keys: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut all = all.filter(|_| !keys.is_empty())?;
    all.retain(|key, _| keys.contains(&key.as_str()));
    Some(all).filter(|all| !all.is_empty())
}

impl<K: Serialize> Serialize for Trimmed<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<K: Object> kube::Resource for Trimmed<K> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(served: &ApiResource) -> Cow<'_, str> {
        served.kind.as_str().into()
    }

    fn group(served: &ApiResource) -> Cow<'_, str> {
        served.group.as_str().into()
    }

    fn version(served: &ApiResource) -> Cow<'_, str> {
        served.version.as_str().into()
    }

    fn plural(served: &ApiResource) -> Cow<'_, str> {
        served.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}
