//! Converts the SDK's types.

use std::{collections::BTreeMap, time::SystemTime};

use aws_sdk_rds::{
    primitives::DateTime,
    types::{DbCluster, DbInstance, Tag as SdkTag},
};

use super::status;
use crate::provider::Instance;

/// A DB instance, and the DB cluster that it is a member of. None if it has no ARN.
pub(super) fn instance(sdk: &DbInstance) -> Option<(Instance, Option<String>)> {
    let status = sdk.db_instance_status().unwrap_or_default();
    let instance = Instance {
        id: sdk.db_instance_arn()?.to_owned(),
        state: status::state(status),
        state_reason: status::reason(status),
        part_of: None,
        unstoppable: unstoppable_instance(sdk),
        restarts_at: sdk.automatic_restart_time().and_then(time),
        tags: tags(sdk.tag_list()),
    };
    Some((instance, sdk.db_cluster_identifier().map(ToOwned::to_owned)))
}

/// A DB cluster, and its identifier. None if it has no ARN.
pub(super) fn cluster(sdk: &DbCluster) -> Option<(Instance, String)> {
    let status = sdk.status().unwrap_or_default();
    let instance = Instance {
        id: sdk.db_cluster_arn()?.to_owned(),
        state: status::state(status),
        state_reason: status::reason(status),
        part_of: None,
        unstoppable: unstoppable_cluster(sdk),
        restarts_at: sdk.automatic_restart_time().and_then(time),
        tags: tags(sdk.tag_list()),
    };
    Some((instance, sdk.db_cluster_identifier().unwrap_or_default().to_owned()))
}

/// Why RDS does not stop a DB instance: "Stopping an Amazon RDS DB instance temporarily: Limitations" in the user
/// guide.
fn unstoppable_instance(sdk: &DbInstance) -> Option<String> {
    let source = sdk.read_replica_source_db_instance_identifier();
    let source = source.or(sdk.read_replica_source_db_cluster_identifier()).filter(|name| !name.is_empty());
    if let Some(source) = source {
        return Some(format!("it is a read replica of {source}"));
    }
    let replicas = [sdk.read_replica_db_instance_identifiers(), sdk.read_replica_db_cluster_identifiers()];
    if let Some(replica) = replicas.into_iter().flatten().next() {
        return Some(format!("it has read replicas, such as {replica}"));
    }
    let is_sql_server = sdk.engine().is_some_and(|engine| engine.starts_with("sqlserver"));
    (is_sql_server && sdk.multi_az() == Some(true))
        .then(|| "it is a SQL Server in several availability zones".to_owned())
}

/// Why RDS does not stop a DB cluster: "Stopping and starting an Amazon Aurora DB cluster: Limitations" in the user
/// guide.
fn unstoppable_cluster(sdk: &DbCluster) -> Option<String> {
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    if let Some(source) = some(sdk.replication_source_identifier()) {
        return Some(format!("it is a replica of {source}"));
    }
    if let Some(replica) = sdk.read_replica_identifiers().first() {
        return Some(format!("it has replicas, such as {replica}"));
    }
    if let Some(global) = some(sdk.global_cluster_identifier()) {
        return Some(format!("it is part of the global database {global}"));
    }
    matches!(sdk.engine_mode(), Some("serverless" | "parallelquery" | "multimaster"))
        .then(|| format!("its engine mode is {}", sdk.engine_mode().unwrap_or_default()))
}

fn tags(sdk: &[SdkTag]) -> BTreeMap<String, String> {
    let pair = |tag: &SdkTag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    sdk.iter().filter_map(pair).collect()
}

fn time(sdk: &DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*sdk).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_rds_never_stops_says_so_before_a_stop_is_tried() {
        let one = || DbInstance::builder().db_instance_arn("arn").engine("postgres");
        let table = [
            (one().build(), None),
            (one().multi_az(true).build(), None),
            (
                one().read_replica_source_db_instance_identifier("orders").build(),
                Some("it is a read replica of orders"),
            ),
            (
                one().read_replica_db_instance_identifiers("copy").build(),
                Some("it has read replicas, such as copy"),
            ),
            (one().engine("sqlserver-se").build(), None),
            (
                one().engine("sqlserver-se").multi_az(true).build(),
                Some("it is a SQL Server in several availability zones"),
            ),
        ];
        for (sdk, expected) in table {
            assert_eq!(unstoppable_instance(&sdk).as_deref(), expected, "{sdk:?}");
        }
        let one = || DbCluster::builder().db_cluster_arn("arn").engine("aurora-postgresql");
        let table = [
            (one().engine_mode("provisioned").build(), None),
            (one().engine_mode("serverless").build(), Some("its engine mode is serverless")),
            (one().replication_source_identifier("web").build(), Some("it is a replica of web")),
            (one().read_replica_identifiers("copy").build(), Some("it has replicas, such as copy")),
            (
                one().global_cluster_identifier("world").build(),
                Some("it is part of the global database world"),
            ),
        ];
        for (sdk, expected) in table {
            assert_eq!(unstoppable_cluster(&sdk).as_deref(), expected, "{sdk:?}");
        }
    }
}
