//! A simulated EC2: the Query API as the AWS SDKs speak it, over a world of instances that this process makes up.
//!
//! Its one port, with its clock, call log, faults, throttling and accounts, speaks [RDS](crate::rds) and STS as well:
//! a call says by its version which of them it is for.
//!
//! What it has beyond a plain emulator: transitions take time, describes may lag, starts may fall back, any call can be
//! spoiled by rule, and every call is on record. It holds 100,000 instances and more.
//!
//! ```text
//! server ─ wire ─> endpoint ─ admission, faults, call_log ─> world (pure: now is an argument) ─ xml ─> server
//!    └── admin (JSON) ──> handle ──────────────────────────────^        client: admin from another process
//! ```
//!
//! Simulated: `DescribeInstances`, `StartInstances`, `StopInstances`, `CreateTags`, `DeleteTags`. Each instance is a
//! reservation of its own, so a page of so many reservations is one of so many instances.

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

/// The tag that marks a group of machines for the operator, as users know it.
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
