//! The kinds of faults, by the names that commands, tables and reports use for them.

use std::fmt;

use crate::{Micros, seconds};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
            }
        }
    };
}

kinds! {
    /// A process is killed; a new Pod takes its place.
    Sigkill = "sigkill",
    /// A process is killed and started again in the same Pod.
    Restart = "restart",
    /// A process is killed, and a reliable source says so.
    Proof = "proof",
    /// A process is asked to end; a new Pod takes its place.
    Graceful = "graceful",
    /// The leader is killed.
    LeaderKill = "leader-kill",
    /// A process stands still, for longer or shorter than its lease. Its clocks go on.
    Sigstop = "sigstop",
    /// A machine sleeps. Its processes and its monotonic clock stand still.
    Sleep = "sleep",
    /// The wall clock is an hour off.
    Skew = "skew",
    /// The wall clock jumps once, by less or more than the error that a process accepts.
    ClockJump = "clock-jump",
    /// Nothing passes between a process and the API server.
    Partition = "partition",
    /// Requests arrive, replies and watch events do not.
    PartitionReplies = "partition-replies",
    /// Requests do not arrive, watch events do.
    PartitionRequests = "partition-requests",
    /// Everything between a process and the API server takes long, sometimes longer than time-outs.
    Slow = "slow",
    /// Writes pass, watches stand still.
    WatchStall = "watch-stall",
    /// Watches break and begin anew (410).
    WatchBreak = "watch-break",
    /// Watches begin anew from an older state.
    StaleList = "stale-list",
    /// The API server refuses requests (429, 500).
    ApiErrors = "api-errors",
    /// Requests take effect, replies are lost (504, reset).
    ApiLostReplies = "api-lost-replies",
    /// The API server restarts.
    ApiRestart = "api-restart",
    /// The API server is away for long.
    ApiOutage = "api-outage",
    /// The API server is away for at least the lease, and comes back with an older state.
    EtcdRestore = "etcd-restore",
    /// Somebody deletes the ring object.
    RingDeleted = "ring-deleted",
    /// Somebody deletes a member's Lease.
    LeaseDeleted = "lease-deleted",
    /// All replicas are replaced one by one by those of another release.
    Rollout = "rollout",
    /// More replicas.
    ScaleUp = "scale-up",
    /// Fewer replicas.
    ScaleDown = "scale-down",
    /// The cloud refuses calls because there were too many.
    CloudThrottle = "cloud-throttle",
    /// The cloud fails without effect.
    CloudErrors = "cloud-errors",
    /// The cloud's calls take effect, replies are lost.
    CloudLostReplies = "cloud-lost-replies",
    /// The cloud takes up to a call's time-out.
    CloudSlow = "cloud-slow",
    /// The cloud describes an old state.
    CloudLag = "cloud-lag",
    /// The cloud has no machine free for a start.
    CloudCapacity = "cloud-capacity",
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// When it begins.
    pub at: Micros,
    /// How long it lasts, if its kind has a length.
    pub lasts: Micros,
    /// The process that it hits: the one at this position, modulo the number of processes at that time.
    pub target: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} {}, target {}", seconds(self.at), self.kind, self.target)?;
        if self.lasts > 0 {
            write!(f, ", {} s", seconds(self.lasts))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in FaultKind::ALL {
            assert_eq!(FaultKind::from_name(kind.as_str()), Some(*kind));
        }
        assert_eq!(FaultKind::from_name("flood"), None);
    }
}
