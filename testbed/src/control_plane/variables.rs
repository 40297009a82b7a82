//! Environment variables that a user may set.

/// Names a directory with etcd, kube-apiserver and kubectl. Kubernetes' own test tools use the same variable.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Names the kubeconfig of a control plane that is already running, for [`super::ControlPlane::shared`].
pub const KUBECONFIG_VARIABLE: &str = "BOOKING_TESTBED_KUBECONFIG";
