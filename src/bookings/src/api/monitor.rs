//! ResourceMonitor: discovers groups of machines and creates Resources for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{
    RESOURCE_TYPES, admission,
    resource::{REGION_PATTERN, ROLE_PATTERN},
    root_type,
};

const WHY_IMMUTABLE: &str = "what it knows of its groups would be wrong; create another ResourceMonitor";

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
    category = "booking-operator",
    printcolumn(name = "AGE", json_path = ".metadata.creationTimestamp", type_ = "date"),
    printcolumn(name = "TYPE", json_path = ".spec.type", type_ = "string", priority = 1),
    printcolumn(name = "FOUND", json_path = ".status.found", type_ = "integer", priority = 1),
    printcolumn(name = "VANISHED", json_path = ".status.vanished", type_ = "integer", priority = 1),
    printcolumn(name = "SWEPT", json_path = ".status.last_sweep", type_ = "string", priority = 1),
    printcolumn(
        name = "READY",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        type_ = "string",
        priority = 1
    )
)]
#[x_kube(
    validation = admission::optional_immutable("region", WHY_IMMUTABLE),
    validation = admission::optional_immutable("role_arn", WHY_IMMUTABLE)
)]
pub struct ResourceMonitorSpec {
    /// Kind of machines to look for: ec2 or rds.
    #[schemars(length(max = 16))]
    #[x_kube(validation = admission::one_of(&RESOURCE_TYPES))]
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,

    /// Seconds between two sweeps, 10 to 86400; 60 if it is absent.
    #[schemars(range(min = 10, max = 86_400))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<i64>,

    /// Region to look in; absent means the operator's own. Immutable, also from absent to set.
    #[schemars(length(max = 32))]
    #[x_kube(validation = admission::matches(REGION_PATTERN, "must be a region, for example eu-central-1"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// Role to assume to look; absent means the operator's own account. Immutable, also from absent to set.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = admission::matches(ROLE_PATTERN, "must be the ARN of an IAM role"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// A group whose Resource a person deleted: it is not created again before its machines change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DismissedGroup {
    /// Value of the tag resource-booking-application.
    #[serde(default)]
    pub tag: String,
    /// A digest of the ids of its machines.
    #[serde(default)]
    pub machines: String,
    /// When that was noticed, RFC 3339.
    #[serde(default)]
    pub since: String,
}

/// What the operator observed for a ResourceMonitor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ResourceMonitorStatus {
    /// The kind of machines that this status is about.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,

    /// When the machines were last looked for with success, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sweep: Option<String>,

    /// Groups that were found then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,

    /// Resources that this monitor has created so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,

    /// Discovered Resources whose group was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanished: Option<i64>,

    /// Tags of the groups found that had a Resource: one that has none any more was deleted by a person.
    #[schemars(length(max = 20_000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,

    /// Groups whose Resources persons have deleted, the newest thousand. Remove an entry to have its
    /// Resource created again.
    #[schemars(length(max = 1000))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dismissed: Vec<DismissedGroup>,

    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: the last sweep succeeded. Stalled: the spec is invalid.
    #[x_kube(merge_strategy = crate::api::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A ResourceMonitor as stored; see [`ResourceMonitorSpec`].
    ResourceMonitor, ResourceMonitorCrd, ResourceMonitorSpec, ResourceMonitorStatus
}
