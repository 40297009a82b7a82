//! The unit of work.

use std::fmt;

/// What a pass works on: an object, existing or only named by others, together with all that bears on it. One pass at a
/// time works on a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which controller works on it: a stable word, which is a metric label too.
    pub kind: &'static str,
    /// Namespace; empty for what is cluster-scoped.
    pub namespace: String,
    /// Name. It may be empty: some objects name nothing.
    pub name: String,
}

impl Key {
    /// A key of these parts.
    pub fn new(kind: &'static str, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
