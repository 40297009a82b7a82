//! Cloud providers: one small trait, [`Provider`], and what implements it.
//!
//! This crate knows machines, tags and groups of machines. It knows nothing of bookings, and nothing
//! of who owns which work: a mutation is handed a [`Permit`], which says at the moment of the call
//! whether it may still go out.
//!
//! | module | what is there |
//! |---|---|
//! | [`provider`] | the trait and its vocabulary |
//! | [`error`] | every error code, classified; the only place that reads them |
//! | [`aws`] | accounts, credentials, time-outs: what all of AWS has in common |
//! | [`ec2`] | EC2 |
//! | [`rds`] | RDS: DB instances and DB clusters |
//! | [`dispatch`] | what many want at the same time becomes few calls |
//! | [`budget`] | token buckets, and whose turn it is |
//! | [`isolate`] | one bad id must not fail the rest of a call |

pub mod aws;
pub mod budget;
pub mod dispatch;
pub mod ec2;
pub mod error;
pub mod isolate;
pub mod provider;
pub mod rds;

pub use aws::{Aws, Cloud, Clouds, SetupError};
pub use dispatch::{Dispatcher, Haste, Mutation, Request};
pub use ec2::Ec2;
pub use error::{CloudError, ErrorClass};
pub use provider::{CloudKey, Instance, InstanceState, Provider, Results, Tag};
pub use rds::Rds;
