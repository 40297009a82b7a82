//! The administrator's client for the databases of a simulator in another process.

use reqwest::Method;

use super::admin::{Added, ChangeTags, SetStatus};
use super::model::{AddDbCluster, AddDbInstance, DbClusterView, DbInstanceView};
use crate::ec2::{AdminClientError, Ec2AdminClient, Tags};

type Answer<T> = Result<T, AdminClientError>;

/// Databases.
#[allow(clippy::missing_errors_doc, reason = "all of them fail as the type of the error says")]
impl Ec2AdminClient {
    /// Adds a database instance. Returns its ARN.
    pub async fn add_db_instance(&self, add: &AddDbInstance) -> Answer<String> {
        let added: Added = self.ask(Method::POST, "db-instances", Some(add)).await?;
        Ok(added.arn)
    }

    /// Adds a database cluster without members. Returns its ARN.
    pub async fn add_db_cluster(&self, add: &AddDbCluster) -> Answer<String> {
        let added: Added = self.ask(Method::POST, "db-clusters", Some(add)).await?;
        Ok(added.arn)
    }

    /// All database instances.
    pub async fn db_instances(&self) -> Answer<Vec<DbInstanceView>> {
        self.get("db-instances").await
    }

    /// All database clusters.
    pub async fn db_clusters(&self) -> Answer<Vec<DbClusterView>> {
        self.get("db-clusters").await
    }

    /// Gives an instance or a cluster a status.
    pub async fn set_db_status(&self, arn: &str, status: &str) -> Answer<()> {
        let set = SetStatus { arn: arn.to_owned(), status: status.to_owned() };
        self.tell(Method::POST, "databases/status", Some(&set)).await
    }

    /// Sets tags as a third party would.
    pub async fn set_db_tags(&self, arn: &str, tags: &Tags) -> Answer<()> {
        let change = ChangeTags { arn: arn.to_owned(), set: tags.clone(), remove: Vec::new() };
        self.tell(Method::POST, "databases/tags", Some(&change)).await
    }

    /// Removes tags as a third party would.
    pub async fn remove_db_tags(&self, arn: &str, keys: &[String]) -> Answer<()> {
        let change = ChangeTags { arn: arn.to_owned(), set: Tags::new(), remove: keys.to_vec() };
        self.tell(Method::POST, "databases/tags", Some(&change)).await
    }
}
