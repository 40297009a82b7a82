//! BookingScheduler: creates Bookings by a cron schedule.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Notification, admission, root_type};

/// When to book, for how long, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "manager.kotaico.de",
    version = "v1",
    kind = "BookingScheduler",
    root = "BookingSchedulerCrd",
    doc = "A BookingScheduler creates a Booking for each occurrence of a cron schedule.",
    namespaced,
    status = "BookingSchedulerStatus",
    shortname = "bsched",
    category = "booking-operator",
    printcolumn(name = "SCHEDULE", json_path = ".spec.schedule", type_ = "string"),
    printcolumn(name = "DURATION", json_path = ".spec.duration", type_ = "integer"),
    printcolumn(name = "NEXT", json_path = ".status.next", type_ = "string")
)]
pub struct BookingSchedulerSpec {
    /// Cron schedule of the starts, for example "0 8 * * 1-5".
    #[schemars(length(max = 256))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,

    /// Length of each Booking in minutes, 1 to 527040 (366 days).
    #[schemars(range(min = 1, max = 527_040))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,

    /// The Booking to create.
    #[serde(rename = "bookingTemplate", default, skip_serializing_if = "Option::is_none")]
    pub booking_template: Option<BookingTemplate>,
}

/// A Booking without times of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct BookingTemplate {
    /// Name of the Resource to book, in the scheduler's own namespace.
    #[schemars(length(max = 253))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,

    /// Ignored, kept so that older manifests apply: the schedule sets the start.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,

    /// Ignored, kept so that older manifests apply: start and duration set the end.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<String>,

    /// Who holds the group meanwhile.
    #[schemars(length(max = 256))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,

    /// Whom to tell before each booking ends.
    #[schemars(length(max = 50))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<Notification>>,
}

/// What the operator observed for a BookingScheduler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct BookingSchedulerStatus {
    /// Start of the next occurrence, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,

    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: the next occurrence is known. Stalled: the spec is invalid.
    #[x_kube(merge_strategy = crate::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A BookingScheduler as stored; see [`BookingSchedulerSpec`].
    BookingScheduler, BookingSchedulerCrd, BookingSchedulerSpec, BookingSchedulerStatus
}
