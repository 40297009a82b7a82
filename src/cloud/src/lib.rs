//! Cloud providers: one small trait, [`Provider`], and its implementations.
//!
//! This crate knows machines, tags and groups of machines. It knows no bookings, and it does not know which replica
//! owns which work: each mutation takes a [`Permit`](booking_decision::Permit), which says at the moment of the call
//! whether the call may go out.
//!
//! | module | what is there |
//! |---|---|
//! | [`provider`] | the trait and its vocabulary |
//! | [`error`] | the class of every error code; no other module reads error codes |
//! | [`aws`] | accounts, credentials, time-outs: what all services of AWS have in common |
//! | [`ec2`] | EC2 |
//! | [`rds`] | RDS: DB instances and DB clusters |
//! | [`dispatch`] | merges the requests of many callers into few calls, within the budget of `booking-budget` |
//! | [`isolate`] | separates a bad id, so that it does not fail the rest of a call |

pub mod aws;
pub mod dispatch;
pub mod ec2;
pub mod error;
pub mod isolate;
pub mod provider;
pub mod rds;

pub use aws::{Aws, Cloud, Clouds, SetupError};
pub use dispatch::{Dispatcher, Haste, Request};
pub use ec2::Ec2;
pub use error::{CloudError, ErrorClass};
pub use provider::{CloudKey, Instance, InstanceState, Mutation, Provider, Results, Tag};
pub use rds::Rds;
