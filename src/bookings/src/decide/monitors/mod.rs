//! ResourceMonitors: which Resources a discovery scan of the cloud asks for.
//!
//! A discovery scan finds the groups of machines that may be discovered. A group without a Resource gets one, unless
//! a user deleted it. The deletion is remembered ([`ResourceMonitorStatus::dismissed`]) until the group's machines
//! change or the entry is removed. If a group had a Resource at the previous scan ([`ResourceMonitorStatus::known`])
//! and has none now, a user deleted it.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what a stored ResourceMonitor means, or what is wrong with it |
//! | [`decide`](mod@decide) | Resources to create, status, Events, the next scan |
//! | [`name`] | the name of a discovered Resource |
//!
//! [`ResourceMonitorStatus::dismissed`]: crate::api::ResourceMonitorStatus::dismissed
//! [`ResourceMonitorStatus::known`]: crate::api::ResourceMonitorStatus::known

pub mod decide;
pub mod name;
pub mod spec;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use decide::{Creation, MonitorDecision, MonitorInput, decide_monitor, is_same_group, scan_due};

/// The groups that a scan found: the ids of their machines by the value of the group tag, without terminated
/// machines.
pub type Groups = BTreeMap<String, BTreeSet<String>>;

/// The result of a discovery scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// None was due.
    NotDue,
    /// It found these groups.
    Found {
        /// When it was made.
        at: Timestamp,
        /// The groups.
        groups: Groups,
    },
    /// The cloud refused the scan.
    Failed {
        /// The cloud's error message.
        message: String,
        /// When to try again.
        retry_at: Timestamp,
    },
}

#[cfg(test)]
mod tests;
