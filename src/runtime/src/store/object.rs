//! The interface for kinds: what a family defines for a kind.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use kube::api::{ApiResource, ObjectMeta};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A kind whose objects are stored: the whole object, or a small record that the family makes of it.
pub trait Object: Clone + Debug + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The part that the operator writes. When the watch shows an own write of it, that starts no pass.
    type Status: Clone + PartialEq + Debug + Serialize + Send + Sync + 'static;
    /// What the object means. It is computed once per version.
    type Parsed: Send + Sync + 'static;

    /// Which metadata are kept in addition to name, namespace, uid, versions, times and finalizers.
    const KEEPS: Keeps = Keeps::NOTHING;
    /// Text that objects of this kind have in common. It makes the packed form smaller.
    const DICTIONARY: &'static [u8] = b"";

    /// Reads an object from its top-level fields. Its metadata is set afterwards.
    ///
    /// # Errors
    /// A field does not have the form that the kind requires.
    fn read(fields: &Fields<'_>) -> serde_json::Result<Self>;

    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Its metadata, for changes.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// Its status.
    fn status(&self) -> Option<&Self::Status>;

    /// Whether two versions ask for the same. If they do not, the change starts a pass.
    fn asks_same(&self, other: &Self) -> bool;

    /// Computes what it means.
    fn parse(&self) -> Self::Parsed;

    /// Whether passes will open it often. If not, it is not kept open.
    fn is_open(&self) -> bool {
        true
    }
}

/// Which metadata of an object are kept. Metadata that no code reads are never kept, because a user may write a
/// quarter of a megabyte of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// The annotations that are kept, by key.
    pub annotations: &'static [&'static str],
    /// Which labels are kept.
    pub labels: Labels,
    /// Whether the controlling owner is kept.
    pub controller: bool,
}

/// Which labels are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Only these.
    Of(&'static [&'static str]),
    /// All labels, because users write selectors for them.
    All,
}

impl Keeps {
    /// No metadata.
    pub const NOTHING: Self = Self { annotations: &[], labels: Labels::Of(&[]), controller: false };
}

/// The top-level fields of an object, except its metadata, as the API server sent them.
#[derive(Debug, Default)]
pub struct Fields<'a>(pub(crate) BTreeMap<Cow<'a, str>, &'a RawValue>);

impl Fields<'_> {
    /// A field. The default if the field is absent or null.
    ///
    /// # Errors
    /// The field has another form.
    pub fn get<T: DeserializeOwned + Default>(&self, name: &str) -> serde_json::Result<T> {
        let Some(raw) = self.0.get(name) else { return Ok(T::default()) };
        Ok(serde_json::from_str::<Option<T>>(raw.get())?.unwrap_or_default())
    }

    /// The names of the existing fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }
}

/// Where the API server serves a kind, and which of its objects are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Group, version, kind and plural name. The group may be known only at start.
    pub resource: ApiResource,
    /// Whether the kind is namespaced.
    pub namespaced: bool,
    /// Label selector. None means all.
    pub labels: Option<String>,
    /// Field selector. None means all.
    pub fields: Option<String>,
}

impl Served {
    /// All objects of a namespaced kind.
    pub fn namespaced<K: kube::Resource<DynamicType = ()>>() -> Self {
        Self::of(ApiResource::erase::<K>(&()), true)
    }

    /// All objects of a cluster-scoped kind.
    pub fn cluster<K: kube::Resource<DynamicType = ()>>() -> Self {
        Self::of(ApiResource::erase::<K>(&()), false)
    }

    /// All objects of a kind that is given as a value.
    pub fn of(resource: ApiResource, namespaced: bool) -> Self {
        Self { resource, namespaced, labels: None, fields: None }
    }

    /// Only objects with these labels.
    #[must_use]
    pub fn with_labels(self, selector: impl Into<String>) -> Self {
        Self { labels: Some(selector.into()), ..self }
    }

    /// Only objects with these fields.
    #[must_use]
    pub fn with_fields(self, selector: impl Into<String>) -> Self {
        Self { fields: Some(selector.into()), ..self }
    }

    /// The namespace in which to ask, if the process is limited to one.
    pub(crate) fn within<'a>(&self, namespace: Option<&'a str>) -> Option<&'a str> {
        namespace.filter(|_| self.namespaced)
    }
}

/// A kind that is known only at run time. Whole objects are kept.
impl Object for RuntimeObject {
    type Status = serde_json::Value;
    type Parsed = ();

    const KEEPS: Keeps = Keeps { annotations: &[], labels: Labels::All, controller: true };

    fn read(fields: &Fields<'_>) -> serde_json::Result<Self> {
        let mut object = Self::default();
        for name in fields.names() {
            let value: serde_json::Value = fields.get(name)?;
            match name {
                // A list may leave them out, a watch does not.
                "apiVersion" | "kind" => {}
                "status" => object.status = Some(value),
                _ => drop(object.data.insert(name.to_owned(), value)),
            }
        }
        Ok(object)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn status(&self) -> Option<&serde_json::Value> {
        self.status.as_ref()
    }

    fn asks_same(&self, other: &Self) -> bool {
        self.data == other.data && self.metadata.labels == other.metadata.labels
    }

    fn parse(&self) {}
}

/// An object of a kind that is known only at run time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct RuntimeObject {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its fields, except metadata and status.
    #[serde(flatten)]
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}
