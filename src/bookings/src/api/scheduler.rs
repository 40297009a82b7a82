//! BookingScheduler: creates Bookings by a cron schedule.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::api::{Notification, admission, root_type};

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
    printcolumn(name = "NEXT", json_path = ".status.next", type_ = "string"),
    printcolumn(name = "SUSPEND", json_path = ".spec.suspend", type_ = "boolean", priority = 1),
    printcolumn(name = "LAST", json_path = ".status.last", type_ = "string", priority = 1),
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
pub struct BookingSchedulerSpec {
    /// Cron schedule of the starts, for example "0 8 * * 1-5".
    #[schemars(length(max = 256))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,

    /// IANA time zone that the schedule and the exclusions go by, for example Europe/Berlin. UTC if it
    /// is absent. Only one of both may name a zone: this field, or a CRON_TZ= in the schedule.
    #[schemars(length(max = 64))]
    #[x_kube(validation = admission::plain_text_or_empty())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,

    /// Length of each Booking in minutes, 1 to 527040 (366 days).
    #[schemars(range(min = 1, max = 527_040))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,

    /// While true nothing is booked. What falls into that time is not made up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// An occurrence that could not be booked within so many minutes after its start, 1 to 527040, is left
    /// out. Without it one is booked late as long as its own window lasts.
    #[schemars(range(min = 1, max = 527_040))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline_minutes: Option<i64>,

    /// Dates in the schedule's time zone on which nothing is booked, for example 2027-12-25; at most 366.
    #[schemars(length(max = 366), inner(length(max = 10)))]
    #[x_kube(validation = admission::dates())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusions: Option<Vec<String>>,

    /// How many finished Bookings of this scheduler are kept, 0 to 1000; 10 if it is absent.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_bookings_limit: Option<i64>,

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
    #[x_kube(validation = admission::plain_text(), validation = admission::user())]
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
    /// Start of the next occurrence that will be booked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,

    /// Start of the last occurrence that was booked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,

    /// All occurrences up to this instant are dealt with, RFC 3339: what was booked stays deleted if it is
    /// deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_to: Option<String>,

    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: the next occurrence is known. Stalled: the spec is invalid.
    #[x_kube(merge_strategy = crate::api::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A BookingScheduler as stored; see [`BookingSchedulerSpec`].
    BookingScheduler, BookingSchedulerCrd, BookingSchedulerSpec, BookingSchedulerStatus
}
