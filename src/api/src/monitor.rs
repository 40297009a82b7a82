//! ResourceMonitor: discovers groups of machines and creates Resources for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{RESOURCE_TYPES, admission, root_type};

/// What to discover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "manager.kotaico.de",
    version = "v1",
    kind = "ResourceMonitor",
    root = "ResourceMonitorCrd",
    doc = "A ResourceMonitor discovers groups of machines tagged resource-booking-managed=true and creates a Resource for each.",
    namespaced,
    status = "ResourceMonitorStatus",
    shortname = "bmon",
    category = "booking-operator"
)]
pub struct ResourceMonitorSpec {
    /// Kind of machines to look for: ec2 or rds.
    #[schemars(length(max = 16))]
    #[x_kube(validation = admission::one_of(&RESOURCE_TYPES))]
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// What the operator observed for a ResourceMonitor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ResourceMonitorStatus {
    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: the last sweep succeeded. Stalled: the spec is invalid.
    #[x_kube(merge_strategy = crate::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A ResourceMonitor as stored; see [`ResourceMonitorSpec`].
    ResourceMonitor, ResourceMonitorCrd, ResourceMonitorSpec, ResourceMonitorStatus
}
