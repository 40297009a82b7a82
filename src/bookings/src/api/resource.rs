//! Resource: a group of cloud machines that can be booked.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{RESOURCE_TYPES, admission, root_type};

/// The words of `Resource.status.status`.
pub mod group_state {
    /// Every machine of the group runs.
    pub const RUNNING: &str = "RUNNING";
    /// No machine of the group runs.
    pub const STOPPED: &str = "STOPPED";
    /// Anything between.
    pub const PENDING: &str = "PENDING";
}

pub(crate) const REGION_PATTERN: &str = r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$";
pub(crate) const ROLE_PATTERN: &str = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$";
const WHY_IMMUTABLE: &str = "another group would be left behind, running and locked; create another Resource";

/// Which machines form the group, and what happens to them while nobody books it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "manager.kotaico.de",
    version = "v1",
    kind = "Resource",
    root = "ResourceCrd",
    doc = "A Resource is a group of cloud machines that is booked as one: all those tagged resource-booking-application=<spec.tag>.",
    namespaced,
    status = "ResourceStatus",
    shortname = "bres",
    category = "booking-operator",
    printcolumn(name = "LOCKED BY", json_path = ".status.locked_by", type_ = "string"),
    printcolumn(name = "LOCKED UNTIL", json_path = ".status.locked_until", type_ = "string"),
    printcolumn(name = "INSTANCES", json_path = ".status.instances", type_ = "integer"),
    printcolumn(name = "RUNNING", json_path = ".status.running", type_ = "integer"),
    printcolumn(name = "STATUS", json_path = ".status.status", type_ = "string"),
    printcolumn(
        name = "READY",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        type_ = "string",
        priority = 1
    ),
    printcolumn(
        name = "REASON",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        type_ = "string",
        priority = 1
    )
)]
#[x_kube(
    validation = admission::optional_immutable("region", WHY_IMMUTABLE),
    validation = admission::optional_immutable("role_arn", WHY_IMMUTABLE)
)]
pub struct ResourceSpec {
    /// Kind of machines: ec2 or rds. Immutable.
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = admission::one_of(&RESOURCE_TYPES),
        validation = admission::immutable(WHY_IMMUTABLE)
    )]
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,

    /// Value of the tag resource-booking-application that marks the machines of this group. Taken
    /// literally: a * stands for itself. Immutable.
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = admission::plain_text(),
        validation = admission::immutable(WHY_IMMUTABLE)
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,

    /// Region of the machines; absent means the operator's own. Immutable, also from absent to set.
    #[schemars(length(max = 32))]
    #[x_kube(validation = admission::matches(REGION_PATTERN, "must be a region, for example eu-central-1"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// Role to assume for the machines; absent means the operator's own account. Immutable, also
    /// from absent to set.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = admission::matches(ROLE_PATTERN, "must be the ARN of an IAM role"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,

    /// See [`WhenIdle`]: for an enum the CRD has the type's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_idle: Option<WhenIdle>,

    /// See [`OnDelete`]: for an enum the CRD has the type's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<OnDelete>,

    /// A manual hold: the user who keeps the group running, before all Bookings. Needs booked_until.
    #[schemars(length(max = 256))]
    #[x_kube(validation = admission::plain_text_or_empty())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booked_by: Option<String>,

    /// A manual hold: until when, RFC 3339. Needs booked_by.
    #[schemars(length(max = "admission::INSTANT_MAX_LENGTH"))]
    #[x_kube(validation = admission::instant_or_empty())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booked_until: Option<String>,
}

/// What happens to machines that run while nobody holds the group. Stop: they are stopped. Keep: they
/// are never stopped. Absent: they are stopped, but what ran when the Resource was first seen is left
/// running for the operator's adoption grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenIdle {
    /// They are stopped.
    Stop,
    /// They are never stopped.
    Keep,
}

/// What happens to running machines when the Resource is deleted. Release (default): they are unlocked
/// and left running. Stop: they are unlocked and stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDelete {
    /// They are unlocked and left running.
    Release,
    /// They are unlocked and stopped.
    Stop,
}

/// Who holds the group, as the operator decided it; its lock tags say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceHolder {
    /// The holder's user_id; for a manual hold booked_by.
    #[serde(default)]
    pub user: String,
    /// When the hold ends, RFC 3339.
    #[serde(default)]
    pub until: String,
    /// UID of the Booking that holds; absent for a manual hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking_uid: Option<String>,
    /// Name of the Booking that holds; absent for a manual hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking: Option<String>,
}

/// A lock as the two lock tags of a machine carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// Value of resource-booking-locked-by.
    #[serde(default)]
    pub user: String,
    /// Value of resource-booking-locked-until, RFC 3339.
    #[serde(default)]
    pub until: String,
}

/// What the operator observed and decided for a Resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ResourceStatus {
    /// Number of machines in the group, terminated ones not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,

    /// Number of machines that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<i64>,

    /// RUNNING when every machine runs, STOPPED when none does, PENDING between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,

    /// Who holds the group; empty when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<String>,

    /// Until when the group is held, RFC 3339; empty when nobody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<String>,

    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The hold in force. Recorded before the first lock tag is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<ResourceHolder>,

    /// Earlier locks of ours that have not expired. A tag that still carries one is replaced or
    /// removed; any other unexpired lock tag is somebody else's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released_locks: Vec<Lock>,

    /// When the operator first saw this Resource, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_at: Option<String>,

    /// When the group was last let go, RFC 3339; absent while held and before the first hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<String>,

    /// When the cloud will start a stopped database of the group by itself, RFC 3339: RDS does so seven days
    /// after it was stopped. It is stopped again unless somebody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_restart_at: Option<String>,

    /// Ready: observed and as it should be, stopped included. Stalled: the spec is invalid.
    /// IdleStopPending: runs unbooked and will be stopped at the time named. Unmanageable: members
    /// that an Auto Scaling group or a node group owns.
    #[x_kube(merge_strategy = crate::api::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A Resource as stored; see [`ResourceSpec`].
    Resource, ResourceCrd, ResourceSpec, ResourceStatus
}
