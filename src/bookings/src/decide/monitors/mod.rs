//! ResourceMonitors: which Resources a sweep over the cloud asks for.
//!
//! A *sweep* finds the groups of machines that may be discovered. A group without a Resource gets one, unless a
//! person deleted it: that is remembered ([`ResourceMonitorStatus::dismissed`]) until its machines change, or
//! until the entry is removed. A person deleted it if it had one at the sweep before
//! ([`ResourceMonitorStatus::known`]).
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what a stored ResourceMonitor means, or what is wrong with it |
//! | [`decide`](mod@decide) | Resources to create, status, Events, the next sweep |
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

/// The groups that a sweep found: the ids of their machines by the value of the group tag. Terminated machines are
/// not among them.
pub type Groups = BTreeMap<String, BTreeSet<String>>;

/// What came of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// None was due.
    NotDue,
    /// It found these groups.
    Found {
        /// When.
        at: Timestamp,
        /// What.
        groups: Groups,
    },
    /// The cloud refused.
    Failed {
        /// Its words.
        message: String,
        /// When to try again.
        retry_at: Timestamp,
    },
}

#[cfg(test)]
mod tests;
