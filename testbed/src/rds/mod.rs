//! A simulated RDS beside the simulated EC2. It has the same port, clock, call log, faults, throttling and accounts.
//!
//! Databases and clusters take time to start and to stop, and a stopped one comes back by itself after seven days. A
//! describe does not lag as it does for EC2, because a lag of seconds does not matter beside transitions that take
//! minutes. The call log shows the identifier or ARN by which a call names a database.
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
