//! The words of the simulated RDS that its users see. All of it travels as JSON.

use serde::{Deserialize, Serialize};

use crate::ec2::{DEFAULT_ACCOUNT, DEFAULT_REGION, Scope, SimTime, Tags};

/// A database instance to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddDbInstance {
    /// Letters, digits and hyphens; kept in lower case, as RDS does.
    pub identifier: String,
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its availability zone; the region's zone `a` when absent.
    pub zone: Option<String>,
    /// Such as `postgres` or `sqlserver-se`. A member has the engine of its cluster instead.
    pub engine: String,
    /// Such as `db.t3.micro`.
    pub class: String,
    /// The status it begins in, in RDS's words. A member begins in the status of its cluster instead.
    pub status: String,
    /// It has a standby in another zone.
    pub multi_az: bool,
    /// The instance that it replicates, which exists: an identifier of the same account and region, or an ARN.
    pub read_replica_of: Option<String>,
    /// The identifier of the cluster that it is a member of, which exists.
    pub cluster: Option<String>,
    /// Its tags, reserved ones too.
    pub tags: Tags,
}

impl Default for AddDbInstance {
    fn default() -> Self {
        Self {
            identifier: String::new(),
            account: DEFAULT_ACCOUNT.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            zone: None,
            engine: "postgres".to_owned(),
            class: "db.t3.micro".to_owned(),
            status: "available".to_owned(),
            multi_az: false,
            read_replica_of: None,
            cluster: None,
            tags: Tags::new(),
        }
    }
}

impl AddDbInstance {
    /// An available instance in the default account and region.
    pub fn new(identifier: &str) -> Self {
        Self { identifier: identifier.to_owned(), ..Self::default() }
    }

    /// With this tag too.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Beginning in this status.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

/// A database cluster to add; instances become its members when they are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddDbCluster {
    /// Letters, digits and hyphens; kept in lower case, as RDS does.
    pub identifier: String,
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Such as `aurora-postgresql`.
    pub engine: String,
    /// The status it begins in, in RDS's words.
    pub status: String,
    /// The cluster that it replicates, which exists: an identifier of the same account and region, or an ARN.
    pub replica_of: Option<String>,
    /// Its tags, reserved ones too.
    pub tags: Tags,
}

impl Default for AddDbCluster {
    fn default() -> Self {
        Self {
            identifier: String::new(),
            account: DEFAULT_ACCOUNT.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            engine: "aurora-postgresql".to_owned(),
            status: "available".to_owned(),
            replica_of: None,
            tags: Tags::new(),
        }
    }
}

impl AddDbCluster {
    /// An available cluster in the default account and region.
    pub fn new(identifier: &str) -> Self {
        Self { identifier: identifier.to_owned(), ..Self::default() }
    }

    /// With this tag too.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Beginning in this status.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

/// A database instance as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbInstanceView {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Where it lives.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its availability zone.
    pub zone: String,
    /// Its engine.
    pub engine: String,
    /// Its class.
    pub class: String,
    /// Its status, in RDS's words.
    pub status: String,
    /// Since when it has that status.
    pub since: SimTime,
    /// It has a standby in another zone.
    pub multi_az: bool,
    /// What it replicates: an identifier, or an ARN when that lives elsewhere.
    pub read_replica_of: Option<String>,
    /// What replicates it, likewise.
    pub read_replicas: Vec<String>,
    /// The identifier of its cluster.
    pub cluster: Option<String>,
    /// When it starts by itself, while it is stopping or stopped.
    pub automatic_restart_time: Option<SimTime>,
    /// Its tags.
    pub tags: Tags,
}

/// A database cluster as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbClusterView {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Where it lives.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its engine.
    pub engine: String,
    /// Its status, in RDS's words.
    pub status: String,
    /// Since when it has that status.
    pub since: SimTime,
    /// The identifiers of its members; the first is the writer.
    pub members: Vec<String>,
    /// The ARN of the cluster that it replicates.
    pub replica_of: Option<String>,
    /// The ARNs of the clusters that replicate it.
    pub replicas: Vec<String>,
    /// When it starts by itself, while it is stopping or stopped.
    pub automatic_restart_time: Option<SimTime>,
    /// Its tags.
    pub tags: Tags,
}
