//! Names of what is installed, and of the node.

/// The operator's namespace.
pub(crate) const NAMESPACE: &str = "booking-operator";
/// The namespace of the bookings.
pub(crate) const USERS: &str = "booking-e2e";
/// The node, if e2e has one of its own.
pub(crate) const NODE: &str = "booking-e2e";

/// Whether a list of kinds and namespaces contains one that we install.
pub(crate) fn is_ours(list: &str) -> bool {
    let namespaces = [NAMESPACE, USERS].map(|name| format!("namespace/{name}"));
    list.lines().any(|line| line.ends_with(".manager.kotaico.de") || namespaces.iter().any(|it| it == line))
}
