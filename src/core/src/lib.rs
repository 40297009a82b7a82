//! Booking decisions, as pure functions: no I/O, no clock, no cloud SDK.
//!
//! The one question asked here is [`decide`]: given a Resource, all Bookings that name it, what was
//! observed of its machines, what this process sent to them lately, and the time: which calls go out,
//! which statuses are written, and when must the question be asked again? The answer is a value, a
//! [`Decision`]; the controller carries it out. [`decide_scheduler`] asks a smaller one: which Bookings a
//! BookingScheduler is to create now; [`decide_monitor`] another: which Resources a ResourceMonitor is.
//!
//! | module | what it decides |
//! |---|---|
//! | [`booking`], [`group`] | what a stored spec means, or what is wrong with it |
//! | [`grant`] | which window each Booking is granted |
//! | [`hold`] | who holds the group now, and which locks are ours |
//! | [`claim`] | which of several Resources on one group acts |
//! | [`drive`] | what each machine needs |
//! | `ahead` | whether a group is locked ahead of its window |
//! | [`look`] | whether the group must be looked at before |
//! | [`notify`] | whom to tell what, once |
//! | [`places`] | which accounts and regions a namespace may use |
//! | [`progress`] | how far the group is, in words for its conditions |
//! | [`cron`], [`scheduler`] | when a schedule fires, and which Bookings come of it |
//! | [`monitor`] | which Resources come of the machines that a sweep finds |
//! | [`decision`] | the whole, with statuses, Events and the next wake-up |

mod ahead;
pub mod attempts;
pub mod booking;
pub mod claim;
mod condition;
pub mod cron;
pub mod decision;
pub mod drive;
mod events;
pub mod grant;
pub mod group;
pub mod hold;
pub mod instance;
pub mod instant;
pub mod look;
pub mod monitor;
mod names;
pub mod notify;
mod pass;
pub mod places;
pub mod planted;
pub mod progress;
mod publish;
mod release;
pub mod scheduler;
mod status;
mod wake;
pub mod window;

pub use attempts::{Action, Attempts, Backoff};
pub use claim::Claim;
pub use decision::{
    Call, Decision, Finalizer, Observation, Occasion, Settings, Turn, World, group_to_observe,
};
pub use events::{EventType, Note, Subject};
pub use instance::{Instance, InstanceState};
pub use monitor::{MonitorDecision, MonitorWorld, decide_monitor};
pub use notify::{Deliveries, Delivery, Notice};
pub use pass::decide;
pub use places::{Place, Places};
pub use scheduler::{SchedulerDecision, SchedulerWorld, decide_scheduler};
