//! A machine as it was observed, and what its tags mean to bookings.

use std::collections::BTreeMap;

use crate::api::Lock;
use jiff::Timestamp;

use booking_calendar::instant;

/// The tag whose value names the group.
pub const TAG_APPLICATION: &str = "resource-booking-application";
/// The tag of machines that monitors may discover (`true`).
pub const TAG_MANAGED: &str = "resource-booking-managed";
/// The tag that names the holder of the machine.
pub const TAG_LOCKED_BY: &str = "resource-booking-locked-by";
/// The tag with the end of the hold, RFC 3339.
pub const TAG_LOCKED_UNTIL: &str = "resource-booking-locked-until";

/// Tags with which other controllers mark their machines: EC2 Auto Scaling, EKS managed node groups, Karpenter. If
/// the operator stopped such a machine, its controller would replace it and its data would be lost.
const OWNER_TAGS: [(&str, &str); 3] = [
    ("aws:autoscaling:groupName", "Auto Scaling group"),
    ("eks:cluster-name", "EKS node group of cluster"),
    ("karpenter.sh/nodepool", "Karpenter node pool"),
];

/// State of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// Running, but busy with something, such as a backup, so that it can be neither started nor stopped.
    Busy,
    /// On its way to stopped.
    Stopping,
    /// Stopped. It costs only storage.
    Stopped,
    /// Unusable until a user has repaired it. It can be neither started nor stopped.
    Broken,
    /// Terminated or terminating. It does not come back.
    Terminated,
}

impl MachineState {
    /// Whether it changes to another state by itself.
    pub fn is_moving(self) -> bool {
        matches!(self, Self::Pending | Self::Stopping)
    }

    /// Whether it can be used.
    pub fn runs(self) -> bool {
        matches!(self, Self::Running | Self::Busy)
    }
}

/// One machine of a group, as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The cloud's id, for example `i-0123456789abcdef0`.
    pub id: String,
    /// Its state.
    pub state: MachineState,
    /// Why it is in this state, in the cloud's words.
    pub state_reason: Option<String>,
    /// What its lock tags say.
    pub lock: LockTag,
    /// The other controller that owns it, as users read it: "Auto Scaling group web".
    pub owner: Option<String>,
    /// Why it cannot be stopped, as users read it: "it is a read replica of orders".
    pub unstoppable: Option<String>,
    /// When the cloud will start it by itself. RDS does so seven days after a database was stopped.
    pub restarts_at: Option<Timestamp>,
}

impl Machine {
    /// A machine without lock tags, of which nothing special is known.
    pub fn new(id: &str, state: MachineState) -> Self {
        Self {
            id: id.to_owned(),
            state,
            state_reason: None,
            lock: LockTag::Absent,
            owner: None,
            unstoppable: None,
            restarts_at: None,
        }
    }
}

/// What the two lock tags of a machine say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockTag {
    /// Neither tag exists.
    Absent,
    /// Both tags exist and are valid.
    Held {
        /// The tags' values, verbatim.
        raw: Lock,
        /// The parsed end.
        until: Timestamp,
    },
    /// One tag is missing, or the end is not an instant.
    Malformed {
        /// Value of [`TAG_LOCKED_BY`], if it exists.
        by: Option<String>,
        /// Value of [`TAG_LOCKED_UNTIL`], if it exists.
        until: Option<String>,
    },
}

impl LockTag {
    /// Whether the tags carry one of these locks.
    pub(crate) fn is_one_of(&self, locks: &[Lock]) -> bool {
        matches!(self, Self::Held { raw, .. } if locks.iter().any(|lock| same_lock(lock, raw)))
    }

    /// Reads the lock tags from all tags of a machine.
    pub fn read(tags: &BTreeMap<String, String>) -> Self {
        let (by, until) = (tags.get(TAG_LOCKED_BY), tags.get(TAG_LOCKED_UNTIL));
        match (by, until, until.map(|text| instant::parse(text))) {
            (None, None, _) => Self::Absent,
            (Some(by), Some(text), Some(Ok(until))) if !by.is_empty() => {
                Self::Held { raw: Lock { user: by.clone(), until: text.clone() }, until }
            }
            _ => Self::Malformed { by: by.cloned(), until: until.cloned() },
        }
    }
}

/// Two locks are the same if their users and instants are equal. If an end is not an instant, the texts are compared.
pub fn same_lock(a: &Lock, b: &Lock) -> bool {
    a.user == b.user
        && (a.until == b.until
            || matches!((instant::parse(&a.until), instant::parse(&b.until)), (Ok(a), Ok(b)) if a == b))
}

/// The other controller that owns the machine, according to its tags.
pub fn owner(tags: &BTreeMap<String, String>) -> Option<String> {
    OWNER_TAGS.iter().find_map(|(key, what)| tags.get(*key).map(|value| format!("{what} {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn both_tags_make_a_lock() {
        let read =
            LockTag::read(&tags(&[(TAG_LOCKED_BY, "ann"), (TAG_LOCKED_UNTIL, "2023-01-10T22:45:00Z")]));
        let LockTag::Held { raw, until } = read else { panic!("{read:?}") };
        assert_eq!((raw.user.as_str(), until.as_second()), ("ann", 1_673_390_700));
    }

    #[test]
    fn no_tags_make_no_lock() {
        assert_eq!(LockTag::read(&tags(&[("Name", "web")])), LockTag::Absent);
    }

    #[test]
    fn half_a_lock_an_empty_user_and_a_bad_date_are_malformed() {
        for case in [
            tags(&[(TAG_LOCKED_BY, "ann")]),
            tags(&[(TAG_LOCKED_UNTIL, "2023-01-10T22:45:00Z")]),
            tags(&[(TAG_LOCKED_BY, ""), (TAG_LOCKED_UNTIL, "2023-01-10T22:45:00Z")]),
            tags(&[(TAG_LOCKED_BY, "ann"), (TAG_LOCKED_UNTIL, "soon")]),
        ] {
            assert!(matches!(LockTag::read(&case), LockTag::Malformed { .. }), "{case:?}");
        }
    }

    #[test]
    fn members_of_scaling_groups_are_recognised_by_their_tags() {
        let table = [
            ("aws:autoscaling:groupName", "web", "Auto Scaling group web"),
            ("eks:cluster-name", "prod", "EKS node group of cluster prod"),
            ("karpenter.sh/nodepool", "spot", "Karpenter node pool spot"),
        ];
        for (key, value, expected) in table {
            assert_eq!(owner(&tags(&[(key, value)])).as_deref(), Some(expected));
        }
        assert_eq!(owner(&tags(&[("Name", "web")])), None);
    }
}
