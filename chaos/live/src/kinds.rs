//! The faults for a ring of live processes, and what is promised under each of them.

use std::{fmt, str::FromStr, time::Duration};

/// L of every ring here. L, P, D and T are the operator's defaults.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// P: the time between two renewals. A fault comes at a random phase of it.
pub(crate) const RENEW: Duration = Duration::from_secs(3);
/// D: how long a renewal permits calls.
pub(crate) const PERMIT: Duration = Duration::from_secs(8);
/// T: the longest call.
pub(crate) const CALL: Duration = Duration::from_secs(4);

/// A process or its node is gone silently. Others take over after L, and the time for the seal, the plan and the first
/// call.
const GONE: Duration = Duration::from_millis(16_500);
/// A reliable source says that the process is dead. Others take over after T for calls under way, and the same time as
/// above.
const PROVEN: Duration = Duration::from_secs(5);
/// The process hands its slots over.
const HANDED_OVER: Duration = Duration::from_secs(1);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A process is killed.
    Sigkill,
    /// The leader's process is killed.
    LeaderKill,
    /// A process is frozen for longer than the lease, then goes on.
    Sigstop,
    /// Nothing passes between a process and the API server.
    Partition,
    /// Requests do not arrive. Replies would arrive.
    PartitionRequests,
    /// Requests arrive. Replies do not.
    PartitionReplies,
    /// Everything arrives, but late.
    Slow,
    /// A process's wall clock is an hour off. Then this process, or another one, is killed.
    Skew,
    /// Watches of a process stand still. Everything else passes.
    WatchStall,
    /// A process is told to end.
    Graceful,
    /// All processes are replaced by those of another release, one by one.
    Rollout,
    /// The ring grows from one process to five, and shrinks to two.
    Scale,
    /// A process is killed, and its Pod's status says so at once, as the kubelet would.
    Proof,
    /// A process is killed, and another one starts in the same Pod at once.
    Restart,
    /// Somebody deletes the ring object.
    RingDeleted,
    /// The API server is killed and started again.
    ApiRestart,
    /// The API server is away for a minute.
    ApiOutage,
    /// etcd goes back to an earlier state.
    EtcdRestore,
}

impl Kind {
    /// All kinds. Those that hit every ring of an API server at the same time come last.
    pub(crate) const ALL: [Self; 18] = [
        Self::Sigkill,
        Self::LeaderKill,
        Self::Sigstop,
        Self::Partition,
        Self::PartitionRequests,
        Self::PartitionReplies,
        Self::Slow,
        Self::Skew,
        Self::WatchStall,
        Self::Graceful,
        Self::Rollout,
        Self::Scale,
        Self::Proof,
        Self::Restart,
        Self::RingDeleted,
        Self::ApiRestart,
        Self::ApiOutage,
        Self::EtcdRestore,
    ];

    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sigkill => "sigkill",
            Self::LeaderKill => "leader-kill",
            Self::Sigstop => "sigstop",
            Self::Partition => "partition",
            Self::PartitionRequests => "partition-requests",
            Self::PartitionReplies => "partition-replies",
            Self::Slow => "slow",
            Self::Skew => "skew",
            Self::WatchStall => "watch-stall",
            Self::Graceful => "graceful",
            Self::Rollout => "rollout",
            Self::Scale => "scale",
            Self::Proof => "proof",
            Self::Restart => "restart",
            Self::RingDeleted => "ring-deleted",
            Self::ApiRestart => "api-restart",
            Self::ApiOutage => "api-outage",
            Self::EtcdRestore => "etcd-restore",
        }
    }

    /// Whether it hits every ring of an API server at the same time.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::ApiRestart | Self::ApiOutage | Self::EtcdRestore)
    }

    /// The longest time, at the 99th percentile, from the fault to the first call of each key's new owner. None if only
    /// recovery is promised.
    pub(crate) fn bound(self) -> Option<Duration> {
        match self {
            Self::Sigkill
            | Self::LeaderKill
            | Self::Sigstop
            | Self::Partition
            | Self::PartitionRequests
            | Self::PartitionReplies
            | Self::Skew => Some(GONE),
            Self::Proof | Self::Restart => Some(PROVEN),
            Self::Graceful | Self::Rollout | Self::Scale => Some(HANDED_OVER),
            Self::Slow
            | Self::WatchStall
            | Self::RingDeleted
            | Self::ApiRestart
            | Self::ApiOutage
            | Self::EtcdRestore => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("no kind of fault: {text:?}; there are {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use chaos::faults::FaultKind;

    use super::*;

    #[test]
    fn kinds_are_called_as_the_simulation_calls_them() {
        // Scale goes up and down in one fault. The simulation has a kind for each.
        let own = [Kind::Scale];
        for kind in Kind::ALL.into_iter().filter(|kind| !own.contains(kind)) {
            assert!(FaultKind::from_name(kind.name()).is_some(), "{kind}");
        }
    }

    #[test]
    fn a_kind_is_found_by_its_name_and_no_other() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("flood".parse::<Kind>().unwrap_err().contains("sigkill"));
    }
}
