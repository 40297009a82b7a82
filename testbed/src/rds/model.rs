//! The types of the simulated RDS that its users see. All of them travel as JSON.

use serde::{Deserialize, Serialize};

use crate::ec2::{DEFAULT_ACCOUNT, DEFAULT_REGION, Scope, SimTime, Tags};

/// A database instance to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddDbInstance {
    /// Letters, digits and hyphens. It is kept in lower case, as by RDS.
    pub identifier: String,
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its availability zone. The default is the region's zone `a`.
    pub zone: Option<String>,
    /// Its engine, for example `postgres` or `sqlserver-se`. A member has the engine of its cluster instead.
    pub engine: String,
    /// Its class, for example `db.t3.micro`.
    pub class: String,
    /// Its first status, in RDS's words. A member begins with the status of its cluster instead.
    pub status: String,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
    /// The instance that it replicates, which must exist: an identifier of the same account and region, or an ARN.
    pub read_replica_of: Option<String>,
    /// The identifier of its cluster, which must exist.
    pub cluster: Option<String>,
    /// Its tags. Reserved ones are allowed.
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

    /// The same instance with this tag, too.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same instance with this first status.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

/// A database cluster to add. Instances become its members when they are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddDbCluster {
    /// Letters, digits and hyphens. It is kept in lower case, as by RDS.
    pub identifier: String,
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its engine, for example `aurora-postgresql`.
    pub engine: String,
    /// Its first status, in RDS's words.
    pub status: String,
    /// The cluster that it replicates, which must exist: an identifier of the same account and region, or an ARN.
    pub replica_of: Option<String>,
    /// Its tags. Reserved ones are allowed.
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

    /// The same cluster with this tag, too.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same cluster with this first status.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

/// The state of a database instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbInstanceView {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Its account and region.
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
    /// Since when it has had that status.
    pub since: SimTime,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
    /// The database that it replicates: an identifier, or an ARN if that is in another scope.
    pub read_replica_of: Option<String>,
    /// The databases that replicate it, in the same form.
    pub read_replicas: Vec<String>,
    /// The identifier of its cluster.
    pub cluster: Option<String>,
    /// When it starts by itself, while it is stopping or stopped.
    pub automatic_restart_time: Option<SimTime>,
    /// Its tags.
    pub tags: Tags,
}

/// The state of a database cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbClusterView {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// Its account and region.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its engine.
    pub engine: String,
    /// Its status, in RDS's words.
    pub status: String,
    /// Since when it has had that status.
    pub since: SimTime,
    /// The identifiers of its members. The first is the writer.
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
