//! How lists of a status merge.

use kube::core::ListMerge;

/// Lists of conditions are maps keyed by their type, as in Kubernetes' own kinds.
pub(crate) fn by_type() -> ListMerge {
    ListMerge::Map(vec!["type".into()])
}
