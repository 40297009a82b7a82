//! Variables of the environment that a user may set.

/// Names a directory with etcd, kube-apiserver and kubectl; the usual variable of Kubernetes' own
/// test tools.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Names the kubeconfig of a control plane that is already running, for [`super::ControlPlane::shared`].
pub const KUBECONFIG_VARIABLE: &str = "BOOKING_TESTBED_KUBECONFIG";
