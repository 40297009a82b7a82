//! The API group `manager.kotaico.de`, version `v1`: types only.
//!
//! | kind | what it is |
//! |---|---|
//! | [`Resource`] | a group of cloud machines that can be booked |
//! | [`Booking`] | a user's claim to one Resource for a time |
//! | [`ResourceMonitor`] | discovers groups and creates Resources for them |
//! | [`BookingScheduler`] | creates Bookings by a cron schedule |
//!
//! Each kind has two types. Programs read and write the type with the plain name: every field of its spec is
//! optional, so that every stored object can be decoded. [`decide`](crate::decide) decides what the fields mean. The
//! other type, in [`crd`], exists to generate the CRD.
//!
//! Field names are snake_case and status words are upper case because the predecessor defined these kinds.
//! `conditions` and `observedGeneration` follow Kubernetes.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat the keys of their attributes")]
#![allow(clippy::doc_markdown, reason = "kubectl explain prints the docs of fields, backticks and all")]

pub mod admission;
mod booking;
pub mod crd;
mod merge;
mod monitor;
mod resource;
mod scheduler;

pub use booking::{Booking, BookingSpec, BookingStatus, Notification, Notified, booking_state};
pub use monitor::{DismissedGroup, ResourceMonitor, ResourceMonitorSpec, ResourceMonitorStatus};
pub use resource::{
    Lock, OnDelete, Resource, ResourceHolder, ResourceSpec, ResourceStatus, WhenIdle, group_state,
};
pub use scheduler::{BookingScheduler, BookingSchedulerSpec, BookingSchedulerStatus, BookingTemplate};

/// The API group of all kinds.
pub const GROUP: &str = "manager.kotaico.de";

/// The finalizer on Resources. The operator removes the lock tags of a Resource before the Resource goes.
pub const FINALIZER: &str = "manager.kotaico.de/release-locks";

/// The annotation on Resources that a ResourceMonitor created. Its value is the monitor's name.
pub const DISCOVERED_BY: &str = "manager.kotaico.de/discovered-by";

/// Resource types that exist in the API.
pub const RESOURCE_TYPES: [&str; 2] = ["ec2", "rds"];

/// Notification types that exist in the API.
pub const NOTIFICATION_TYPES: [&str; 2] = ["email", "webhook"];
/// The words of `notifications[].on`.
pub const NOTIFICATION_EVENTS: [&str; 4] = ["before_end", "start", "ready", "failure"];

/// Declares the lenient root type of a kind. The kind's names come from its CRD type.
macro_rules! root_type {
    ($(#[$doc:meta])* $name:ident, $crd:ident, $spec:ident, $status:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize, kube::Resource)]
        #[resource(inherit = $crd)]
        pub struct $name {
            /// `apiVersion` and `kind`.
            #[serde(flatten, default)]
            pub types: Option<kube::core::TypeMeta>,
            /// Standard object metadata.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// What the user asks for. If an object was stored without a spec, this is an empty one.
            #[serde(default)]
            pub spec: $spec,
            /// What the operator observed and decided.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<$status>,
        }

        impl $name {
            /// An object of this kind, not yet stored.
            pub fn new(name: &str, spec: $spec) -> Self {
                Self {
                    types: Some(kube::core::TypeMeta::resource::<$crd>()),
                    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                        name: Some(name.to_owned()),
                        ..Default::default()
                    },
                    spec,
                    status: None,
                }
            }
        }
    };
}
pub(crate) use root_type;
