//! The versions of the programs that are built with Go.

/// The Kubernetes version that is built; the same as in `control-plane/kubernetes/go.mod`.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// The etcd version that is built; the same as in `control-plane/etcd/go.mod`.
pub const ETCD_VERSION: &str = "v3.6.16";
