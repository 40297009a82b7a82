//! A simulated EC2: the Query API as the AWS SDKs speak it, over a world of instances that this process makes up.
//!
//! Its one port, with its clock, call log, faults, throttling and accounts, also serves [RDS](crate::rds) and STS. The
//! version in a call says which of them it is for.
//!
//! It can do more than a plain emulator: transitions take time, describes may lag, starts may fall back, fault rules
//! can make any call fail, and every call is in the log. It holds 100,000 instances and more.
//!
//! ```text
//! server ─ wire ─> endpoint ─ admission, faults, call_log ─> world (pure: now is an argument) ─ xml ─> server
//!    └── admin (JSON) ──> handle ──────────────────────────────^        client: admin from another process
//! ```
//!
//! Simulated: `DescribeInstances`, `StartInstances`, `StopInstances`, `CreateTags`, `DeleteTags`. Each instance is a
//! reservation of its own. So a page with a number of reservations has the same number of instances.

pub(crate) mod actions;
mod admin;
mod admin_json;
mod admission;
mod buckets;
mod call_log;
mod client;
mod endpoint;
mod error;
mod faults;
mod filter;
pub(crate) mod handle;
mod index;
mod instance;
pub(crate) mod mix;
mod model;
pub(crate) mod params;
mod request;
mod server;
mod service;
mod tagging;
pub(crate) mod text;
mod time;
mod versions;
mod wire;
mod world;
pub(crate) mod xml;

#[cfg(test)]
pub(crate) mod tests;

/// The tag that marks a group of machines for the operator.
pub const GROUP_TAG: &str = "resource-booking-application";

pub use admission::{Admission, AdmissionCall, AdmitAll, Throttled};
pub use buckets::{ActionLimits, Rate, TokenBuckets};
pub use call_log::{CallFacts, CallLogLimits, CallPage, CallQuery, CallRecord, Moment};
pub use client::{AdminClientError, Ec2AdminClient};
pub use error::{AdminError, ApiError};
pub use faults::{FaultEffect, FaultMatch, FaultRule, FaultView};
pub use filter::RawFilter;
pub use handle::{ClockView, Ec2Config, Ec2World};
pub use model::{
    AddInstances, DEFAULT_ACCOUNT, DEFAULT_REGION, FallsBack, InstanceQuery, InstanceState, InstanceView,
    Scope, Settings, SettingsPatch, StateReason, Tags,
};
pub use server::{Ec2Simulator, StartError};
pub use tagging::TagArgument;
pub use time::{ClockMode, SimTime};
