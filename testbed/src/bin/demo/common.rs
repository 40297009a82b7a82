//! What all parts of the demo share.

/// Why the demo cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The namespace of all objects.
pub(crate) const NAMESPACE: &str = "default";
/// The group of machines.
pub(crate) const RESOURCE: &str = "ec2.analytics";
