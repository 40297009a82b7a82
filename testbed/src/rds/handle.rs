//! The databases for an administrator in the same process.

use super::model::{AddDbCluster, AddDbInstance, DbClusterView, DbInstanceView};
use crate::ec2::{AdminError, Ec2World, Tags};

/// Databases.
impl Ec2World {
    /// Adds a database instance. Returns its ARN.
    ///
    /// # Errors
    ///
    /// If its identifier is malformed or taken, XML cannot carry a tag, or its source or cluster does not exist.
    pub fn add_db_instance(&self, add: &AddDbInstance) -> Result<String, AdminError> {
        let core = &mut *self.core();
        let now = core.now();
        core.databases.add_instance(now, add, &core.world.settings)
    }

    /// Adds a database cluster without members. Returns its ARN.
    ///
    /// # Errors
    ///
    /// If its identifier is malformed or taken, XML cannot carry a tag, or its source does not exist.
    pub fn add_db_cluster(&self, add: &AddDbCluster) -> Result<String, AdminError> {
        let core = &mut *self.core();
        let now = core.now();
        core.databases.add_cluster(now, add, &core.world.settings)
    }

    /// All database instances, by account, region and identifier.
    pub fn db_instances(&self) -> Vec<DbInstanceView> {
        let mut core = self.core();
        let now = core.now();
        core.databases.instances.iter().map(|(arn, instance)| instance.view(now, arn)).collect()
    }

    /// All database clusters, by account, region and identifier.
    pub fn db_clusters(&self) -> Vec<DbClusterView> {
        let mut core = self.core();
        let now = core.now();
        core.databases.clusters.iter().map(|(arn, cluster)| cluster.view(now, arn)).collect()
    }

    /// Gives an instance or a cluster a status, from any present one. Members get the status of their cluster.
    /// Later statuses follow in their time: available after starting, stopped after stopping, and the restart of a
    /// stopped one.
    ///
    /// # Errors
    ///
    /// If the database does not exist.
    pub fn set_db_status(&self, arn: &str, status: &str) -> Result<(), AdminError> {
        let core = &mut *self.core();
        let now = core.now();
        core.databases.force(now, arn, status, &core.world.settings)
    }

    /// Sets tags as a third party would, without a call in the log.
    ///
    /// # Errors
    ///
    /// If the database does not exist, or XML cannot carry a tag.
    pub fn set_db_tags(&self, arn: &str, tags: &Tags) -> Result<(), AdminError> {
        self.change_db_tags(arn, tags, &[])
    }

    /// Removes tags as a third party would.
    ///
    /// # Errors
    ///
    /// If the database does not exist.
    pub fn remove_db_tags(&self, arn: &str, keys: &[String]) -> Result<(), AdminError> {
        self.change_db_tags(arn, &Tags::new(), keys)
    }

    pub(crate) fn change_db_tags(&self, arn: &str, set: &Tags, remove: &[String]) -> Result<(), AdminError> {
        self.core().databases.force_tags(arn, set, remove)
    }
}
