//! A simulated RDS beside the simulated EC2: the same port, clock, call log, faults, throttling and accounts.
//!
//! Databases and clusters start and stop in their time, and a stopped one comes back by itself after seven days. What a
//! describe shows doesn't lag, as it does for EC2: transitions that take minutes leave nothing for a lag of seconds to
//! hide. A call that names a database by an identifier or an ARN has it so in the call log.
//!
//! ```text
//! ec2::endpoint ─ wire ─> actions ─> databases (pure: now is an argument) ─> xml
//! handle, admin, client: the administrator's side, in process and from another one
//! ```
//!
//! Simulated: `DescribeDBInstances`, `DescribeDBClusters`, `StartDBInstance`, `StopDBInstance`, `StartDBCluster`,
//! `StopDBCluster`, `AddTagsToResource`, `RemoveTagsFromResource`, `ListTagsForResource`.

mod actions;
pub(crate) mod admin;
mod arn;
mod client;
mod databases;
mod describe;
mod handle;
mod life;
mod model;
mod tagging;
mod wire;
mod xml;

#[cfg(test)]
mod tests;

pub use model::{AddDbCluster, AddDbInstance, DbClusterView, DbInstanceView};

pub(crate) use actions::{Answer, Request};
pub(crate) use databases::Databases;
pub(crate) use wire::{API_VERSION, is_action, read};
pub(crate) use xml::{NAMESPACE, render};
