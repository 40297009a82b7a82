//! Keys: the unit of work.

use std::fmt;

/// A key: an object, which exists or is only named by other objects, together with all objects that concern it. Only
/// one pass at a time works on a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The sort of the key, which selects its controller. It is a stable word and also a metric label.
    pub kind: &'static str,
    /// The namespace. Empty for a cluster-scoped object.
    pub namespace: String,
    /// The name. It may be empty, because some objects name nothing.
    pub name: String,
}

impl Key {
    /// Creates a key from its parts.
    pub fn new(kind: &'static str, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
