//! Objects as the API server sends them, decoded as far as anything here looks.
//!
//! A replica is told of every change of every object, so what decoding one costs is paid once per change and replica. Half of
//! an object is `managedFields`, which nothing here reads: they are skipped, not built and thrown away. Nor is the object kept
//! twice in case it cannot be decoded, as `kube::core::DeserializeGuard` does.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{api::ObjectMeta, core::NamespaceResourceScope};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::cache::Cached;

/// What `kubectl apply` leaves of what it was given: as large as the object, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A kind that is watched.
pub trait Watched:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Cached + Debug + Default
{
}

impl<K> Watched for K where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Cached + Debug + Default
{
}

/// An object without what nothing here reads. One that cannot be decoded stands as an empty one of its name, which is invalid
/// and says so in its condition: it must not fail the list, or end the watch, for the others.
#[derive(Clone, Debug)]
pub struct Lean<K>(pub K);

impl<'de, K: Watched> Deserialize<'de> for Lean<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let parts: Parts<'_> = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        let metadata = ObjectMeta::from(parts.metadata);
        let mut object = decoded::<K>(parts.spec, parts.status).unwrap_or_else(|error| {
            let ObjectMeta { name, namespace, .. } = &metadata;
            tracing::error!(kind = &*K::kind(&()), ?namespace, ?name, %error, "object cannot be decoded");
            K::default()
        });
        *object.meta_mut() = metadata;
        Ok(Self(object))
    }
}

fn decoded<K: Watched>(spec: Option<&RawValue>, status: Option<&RawValue>) -> serde_json::Result<K> {
    let spec = spec.map_or_else(|| Ok(K::Spec::default()), |spec| serde_json::from_str(spec.get()))?;
    let status = status.map(|status| serde_json::from_str(status.get())).transpose()?;
    Ok(K::assemble(spec, status))
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(default)]
    metadata: Metadata,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// What is read of an object's metadata, and what an owner reference to it needs.
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

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let annotations = read.annotations.map(|mut all| {
            all.remove(LAST_APPLIED);
            all
        });
        Self {
            annotations: annotations.filter(|all| !all.is_empty()),
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            finalizers: read.finalizers,
            generation: read.generation,
            labels: read.labels,
            name: read.name,
            namespace: read.namespace,
            owner_references: read.owner_references,
            resource_version: read.resource_version,
            uid: read.uid,
            ..Self::default()
        }
    }
}

impl<K: Serialize> Serialize for Lean<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<K: kube::Resource> kube::Resource for Lean<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use bookings::api::{Booking, Resource};
    use kube::{
        ResourceExt,
        core::{ObjectList, WatchEvent},
    };
    use serde_json::{Value, json};

    use super::*;

    fn booking() -> Value {
        json!({
            "apiVersion": "manager.kotaico.de/v1", "kind": "Booking",
            "metadata": {
                "name": "report", "namespace": "team", "uid": "u", "resourceVersion": "4711", "generation": 3,
                "creationTimestamp": "2027-03-01T08:00:00Z", "deletionTimestamp": "2027-03-01T09:00:00Z",
                "labels": { "a": "b" }, "annotations": { "c": "d" }, "finalizers": ["manager.kotaico.de/release"],
                "ownerReferences": [{
                    "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler", "name": "s", "uid": "v",
                    "controller": true,
                }],
            },
            "spec": { "resource_name": "ec2.web", "user_id": "Zo\u{eb}", "start_at": "2027-03-01T08:00:00Z" },
            "status": { "status": "SCHEDULED" },
        })
    }

    fn lean<K: Watched>(text: &str) -> K {
        serde_json::from_str::<Lean<K>>(text).unwrap().0
    }

    #[test]
    fn an_object_is_read_as_its_type_reads_it() {
        let text = booking().to_string();
        let whole: Booking = serde_json::from_str(&text).unwrap();
        let read = lean::<Booking>(&text);
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(whole).unwrap());
    }

    #[test]
    fn managed_fields_and_what_kubectl_left_are_not_kept() {
        let mut sent = booking();
        sent["metadata"]["managedFields"] = json!([{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }]);
        sent["metadata"]["annotations"][LAST_APPLIED] = json!("x");
        let read = lean::<Booking>(&sent.to_string());
        assert_eq!(
            serde_json::to_value(read).unwrap(),
            serde_json::to_value(lean::<Booking>(&booking().to_string())).unwrap()
        );
    }

    #[test]
    fn an_object_that_cannot_be_decoded_stands_as_an_empty_one_and_fails_no_other() {
        // given three Resources, the one in the middle with a number for a tag
        let resource = |name: &str, spec: Value| json!({ "metadata": { "name": name, "namespace": "n", "resourceVersion": "1" }, "spec": spec });
        let list = json!({
            "apiVersion": "manager.kotaico.de/v1", "kind": "ResourceList", "metadata": { "resourceVersion": "9" },
            "items": [
                resource("a", json!({ "tag": "a" })), resource("b", json!({ "tag": 7 })), resource("c", json!({ "tag": "c" })),
            ],
        });
        // when they are listed
        let list: ObjectList<Lean<Resource>> = serde_json::from_str(&list.to_string()).unwrap();
        // then all are there, the one without what it asks for
        let read = list.items.iter().map(|Lean(it)| (it.name_any(), it.spec.tag.clone()));
        let expected = [("a", Some("a")), ("b", None), ("c", Some("c"))];
        assert!(read.eq(expected.map(|(name, tag)| (name.to_owned(), tag.map(ToOwned::to_owned)))));
    }

    #[test]
    fn an_object_without_a_spec_or_with_a_null_status_is_read() {
        let read = lean::<Booking>(r#"{ "metadata": { "name": "b" }, "status": null }"#);
        assert_eq!((read.name_any(), read.status.is_none()), ("b".to_owned(), true));
    }

    #[test]
    fn a_line_of_a_watch_is_read() {
        let object = booking();
        let line = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
        let event: WatchEvent<Lean<Booking>> = serde_json::from_str(&line).unwrap();
        let WatchEvent::Modified(Lean(read)) = event else { panic!("it is a change") };
        assert_eq!(read.name_any(), "report");
    }
}
