//! Booking: a user's claim to a Resource for a time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{NOTIFICATION_EVENTS, NOTIFICATION_TYPES, admission, root_type};

/// The words of `Booking.status.status`.
pub mod booking_state {
    /// The window has not begun, or the Booking waits for another holder.
    pub const SCHEDULED: &str = "SCHEDULED";
    /// The Booking holds its group.
    pub const IN_PROGRESS: &str = "IN PROGRESS";
    /// The window is over.
    pub const FINISHED: &str = "FINISHED";
}

/// What to book, for whom and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "manager.kotaico.de",
    version = "v1",
    kind = "Booking",
    root = "BookingCrd",
    doc = "A Booking claims a Resource for a time: its group of machines runs, locked for user_id, from start_at to end_at.",
    namespaced,
    status = "BookingStatus",
    shortname = "bk",
    category = "booking-operator",
    printcolumn(name = "START", json_path = ".spec.start_at", type_ = "string"),
    printcolumn(name = "END", json_path = ".spec.end_at", type_ = "string"),
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
    ),
    printcolumn(name = "HOLDER", json_path = ".status.holder", type_ = "string", priority = 1),
    printcolumn(
        name = "READY AFTER",
        json_path = ".status.ready_after_seconds",
        type_ = "integer",
        priority = 1
    )
)]
#[x_kube(validation = admission::end_after_start())]
pub struct BookingSpec {
    /// Name of the Resource to book, in the Booking's own namespace. It need not exist yet.
    #[schemars(length(max = 253))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,

    /// First instant of the booking, RFC 3339, for example 2027-03-01T08:00:00Z.
    #[schemars(length(max = "admission::INSTANT_MAX_LENGTH"))]
    #[x_kube(validation = admission::instant())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,

    /// End of the booking, RFC 3339, after start_at. Move it to extend; set it to the present, or
    /// delete the Booking, to release early.
    #[schemars(length(max = "admission::INSTANT_MAX_LENGTH"))]
    #[x_kube(validation = admission::instant())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<String>,

    /// Who holds the group meanwhile. Becomes the value of the tag resource-booking-locked-by.
    /// Immutable.
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = admission::plain_text(),
        validation = admission::user(),
        validation = admission::immutable("delete the Booking and create one for the other user")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,

    /// Whom to tell before the booking ends.
    #[schemars(length(max = 50))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<Notification>>,

    /// Minutes after its end at which the finished Booking is deleted, 0 to 527040. It stays if this is absent.
    #[schemars(range(min = 0, max = 527_040))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_minutes_after_finished: Option<i64>,

    /// Time zone of the times in notifications, for example Europe/Berlin; the offset of end_at if it is absent.
    #[schemars(length(max = 64))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// One notification of a Booking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Notification {
    /// How to notify: email or webhook.
    #[schemars(length(max = 32))]
    #[x_kube(validation = admission::one_of(&NOTIFICATION_TYPES))]
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,

    /// Where to send it: for email one address, for webhook an https URL that the operator is allowed to call.
    #[schemars(length(max = 512))]
    #[x_kube(validation = admission::plain_text())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,

    /// What to tell: before_end (if this is absent), start, ready, failure.
    #[schemars(length(max = 4), inner(length(max = 16)))]
    #[x_kube(validation = admission::each_one_of(&NOTIFICATION_EVENTS))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<String>>,

    /// Minutes before the end at which before_end is told, 1 to 10080; 20 if it is absent.
    #[schemars(range(min = 1, max = 10_080))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_before_minutes: Option<i64>,
}

/// A notification that was sent, or given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notified {
    /// The notification's type.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// Its recipient.
    #[serde(default)]
    pub recipient: String,
    /// What was told.
    #[serde(default)]
    pub event: String,
    /// About which instant, RFC 3339: the end of which before_end tells, else the start of the booking.
    #[serde(default)]
    pub about: String,
    /// When it was sent or given up, RFC 3339.
    #[serde(default)]
    pub at: String,
    /// Why it was given up; absent if it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the operator observed and decided for a Booking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct BookingStatus {
    /// SCHEDULED before it holds its group, IN PROGRESS while it does, FINISHED after end_at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,

    /// Whether everybody has been told of the end that the booking has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_sent: Option<bool>,

    /// The metadata.generation that this status was computed from.
    #[serde(rename = "observedGeneration", default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The Resource on which the granted window stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_resource: Option<String>,

    /// First instant of the window granted to this Booking. Nobody else takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_from: Option<String>,

    /// End of the window granted to this Booking. Before end_at where another user's window follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_until: Option<String>,

    /// Who holds the group: this Booking's own user while it does, else the one it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,

    /// Seconds from the start of its window until the whole group first ran and was locked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_after_seconds: Option<i64>,

    /// What was told to whom: nobody is told the same twice.
    #[schemars(length(max = 256))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<Notified>,

    /// Accepted: the spec is valid. Ready: the whole group runs and is locked for this Booking.
    /// Stalled: the spec is invalid; nothing happens until it is mended.
    #[x_kube(merge_strategy = crate::api::merge::by_type())]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

root_type! {
    /// A Booking as stored; see [`BookingSpec`].
    Booking, BookingCrd, BookingSpec, BookingStatus
}
