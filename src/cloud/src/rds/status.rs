//! What each status of a database means. Source: "Viewing Amazon RDS DB instance status", "Viewing DB cluster status in
//! an Amazon Aurora cluster" and "Viewing the status of a Multi-AZ DB cluster" in the user guides.

use crate::provider::InstanceState;

/// The database runs and can be used, while RDS works on it. RDS refuses to stop it until that work is done.
const BUSY: [&str; 16] = [
    "backing-up",
    "configuring-associated-roles",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "converting-to-vpc",
    "enabling-http-endpoint",
    "modifying",
    "moving-to-vpc",
    "resetting-master-credentials",
    "scaling-compute",
    "scaling-storage",
    "storage-config-upgrade",
    "storage-initialization",
    "storage-optimization",
    "update-iam-db-auth",
];

/// The database cannot be used yet, and becomes available by itself.
const PENDING: [&str; 12] = [
    "backtracking",
    "creating",
    "failing-over",
    "maintenance",
    "migrating",
    "preparing-data-migration",
    "promoting",
    "rebooting",
    "renaming",
    "restarting",
    "starting",
    "upgrading",
];

/// The database cannot be used until a person repairs it.
const BROKEN: [&str; 15] = [
    "cloning-failed",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-create",
    "incompatible-credentials",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "migration-failed",
    "restore-error",
    "storage-full",
    "upgrade-failed",
];

/// The database is being deleted, or is gone.
const TERMINATED: [&str; 3] = ["delete-precheck", "deleted", "deleting"];

/// The state that a status stands for. If a status is not documented, nothing is done to the database until its status
/// changes.
pub(super) fn state(status: &str) -> InstanceState {
    match status {
        "available" => InstanceState::Running,
        "stopping" => InstanceState::Stopping,
        "stopped" => InstanceState::Stopped,
        _ if BUSY.contains(&status) => InstanceState::Busy,
        _ if BROKEN.contains(&status) => InstanceState::Broken,
        _ if TERMINATED.contains(&status) => InstanceState::Terminated,
        _ => InstanceState::Pending,
    }
}

/// The status in words, if the state does not say the same.
pub(super) fn reason(status: &str) -> Option<String> {
    match status {
        "available" | "starting" | "stopping" | "stopped" => None,
        _ if [&BUSY[..], &PENDING, &BROKEN, &TERMINATED].iter().any(|known| known.contains(&status)) => {
            Some(status.to_owned())
        }
        _ => Some(format!("{status}: a status that is not documented")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_status_has_one_meaning() {
        let all = [&BUSY[..], &PENDING, &BROKEN, &TERMINATED].concat();
        for (index, status) in all.iter().enumerate() {
            assert!(!all[..index].contains(status), "{status} stands twice");
            assert!(!reason(status).unwrap_or_default().contains("not documented"), "{status}");
        }
        for status in PENDING {
            assert_eq!(state(status), InstanceState::Pending, "{status}");
        }
        assert_eq!(state("available"), InstanceState::Running);
        assert_eq!(state("backing-up"), InstanceState::Busy);
        assert_eq!(state("storage-full"), InstanceState::Broken);
        assert_eq!(state("deleting"), InstanceState::Terminated);
    }

    #[test]
    fn a_status_that_is_not_documented_counts_as_pending_and_is_shown() {
        assert_eq!(state("polishing"), InstanceState::Pending);
        assert_eq!(reason("polishing").as_deref(), Some("polishing: a status that is not documented"));
    }
}
