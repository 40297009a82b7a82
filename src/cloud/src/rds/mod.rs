//! RDS: DB instances, and DB clusters (Aurora and Multi-AZ). RDS starts and stops a cluster as one.
//!
//! RDS differs from EC2 in three ways:
//! - Describes have no filter for tags. So the provider lists all databases of the account and region, and callers that
//!   ask at the same time share the listing.
//! - A call changes one database.
//! - An id is an ARN, because tags are set by ARN, and because a DB instance and a DB cluster may have the same name.

mod convert;
mod status;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant as Moment,
};

use async_trait::async_trait;
use aws_sdk_rds::{Client, types::Tag as SdkTag};
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use crate::{
    aws,
    error::{CloudError, ErrorClass},
    provider::{CloudKey, Instance, Mutation, Provider, Results, Tag},
};
use booking_decision::permit::Permit;

/// The largest page, by the reference of `DescribeDBInstances`.
const PAGE_SIZE: i32 = 100;
/// A listing of more pages than this (a hundred thousand databases) is given up, because RDS presumably repeats pages.
const PAGES_MAX: usize = 1000;
/// The most calls that one mutation has under way at once. It needs one for each database.
const CALLS_AT_ONCE: usize = 8;

/// RDS in one account and region.
#[derive(Debug)]
pub struct Rds {
    key: CloudKey,
    client: Client,
    group_tag: String,
    last: Mutex<Option<Listing>>,
}

/// All databases, and when RDS was asked for them.
#[derive(Clone, Debug)]
struct Listing {
    asked: Moment,
    found: Arc<Vec<Found>>,
}

/// A database, and the name and tags of the DB cluster that it is a member of.
#[derive(Debug)]
struct Found {
    instance: Instance,
    cluster: Option<(String, BTreeMap<String, String>)>,
}

/// What an ARN stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database<'a> {
    Instance(&'a str),
    Cluster(&'a str),
}

impl Rds {
    /// RDS in the region and with the credentials of a configuration. `account` is its name, see
    /// [`CloudKey::account`]. `group_tag` is the key of the tag that marks groups.
    pub fn new(config: &aws_config::SdkConfig, account: &str, group_tag: &str) -> Self {
        let key = aws::key(config, account, "rds");
        let client = Client::new(&aws::bounded(config));
        Self { key, client, group_tag: group_tag.to_owned(), last: Mutex::default() }
    }

    /// All databases, from a listing that began after this call. Callers that come while a listing is under way share
    /// the next one.
    async fn list(&self) -> Result<Arc<Vec<Found>>, CloudError> {
        let wanted = Moment::now();
        let mut last = self.last.lock().await;
        if let Some(listing) = last.as_ref().filter(|listing| listing.asked >= wanted) {
            return Ok(listing.found.clone());
        }
        *last = None;
        let asked = Moment::now();
        let (instances, clusters) = tokio::try_join!(self.instances(), self.clusters())?;
        let tags_of: HashMap<&str, &BTreeMap<String, String>> =
            clusters.iter().map(|(cluster, name)| (name.as_str(), &cluster.tags)).collect();
        let members = instances.into_iter().map(|(instance, cluster)| {
            let tags =
                |name: &String| tags_of.get(name.as_str()).map(|tags| (*tags).clone()).unwrap_or_default();
            Found { instance, cluster: cluster.map(|name| (name.clone(), tags(&name))) }
        });
        let members: Vec<Found> = members.collect();
        let clusters = clusters.into_iter().map(|(instance, _)| Found { instance, cluster: None });
        let found = Arc::new(members.into_iter().chain(clusters).collect::<Vec<_>>());
        *last = Some(Listing { asked, found: found.clone() });
        Ok(found)
    }

    async fn instances(&self) -> Result<Vec<(Instance, Option<String>)>, CloudError> {
        let (mut found, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let call = self.client.describe_db_instances().max_records(PAGE_SIZE).set_marker(marker);
            let page = call.send().await.map_err(|error| aws::error(&error))?;
            found.extend(page.db_instances().iter().filter_map(convert::instance));
            marker = page.marker().filter(|marker| !marker.is_empty()).map(ToOwned::to_owned);
            if marker.is_none() {
                return Ok(found);
            }
        }
        Err(CloudError::bad_response("DescribeDBInstances does not come to an end", None))
    }

    async fn clusters(&self) -> Result<Vec<(Instance, String)>, CloudError> {
        let (mut found, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let call = self.client.describe_db_clusters().max_records(PAGE_SIZE).set_marker(marker);
            let page = call.send().await.map_err(|error| aws::error(&error))?;
            found.extend(page.db_clusters().iter().filter_map(convert::cluster));
            marker = page.marker().filter(|marker| !marker.is_empty()).map(ToOwned::to_owned);
            if marker.is_none() {
                return Ok(found);
            }
        }
        Err(CloudError::bad_response("DescribeDBClusters does not come to an end", None))
    }

    /// The databases whose tags are `wanted`. If a DB cluster is wanted itself, it stands for its members, so they are
    /// left out. Other members say which cluster they are part of.
    async fn find(
        &self,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Result<Vec<Instance>, CloudError> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for Found { instance, cluster } in self.list().await?.iter() {
            let stands_for_it = cluster.as_ref().is_some_and(|(_, tags)| {
                wanted(tags) && tags.get(&self.group_tag) == instance.tags.get(&self.group_tag)
            });
            if wanted(&instance.tags) && !stands_for_it && seen.insert(&instance.id) {
                let part_of = cluster.as_ref().map(|(name, _)| format!("DB cluster {name}"));
                all.push(Instance { part_of, ..instance.clone() });
            }
        }
        Ok(all)
    }

    async fn mutate_one(
        &self,
        permit: &dyn Permit,
        mutation: &Mutation,
        id: String,
    ) -> (String, Result<(), CloudError>) {
        let sent = match mutation {
            Mutation::Untag(tags) => self.untag_one(permit, &id, tags).await,
            _ => aws::permitted(permit, self.send(mutation, &id)).await,
        };
        (id, sent)
    }

    async fn send(&self, mutation: &Mutation, arn: &str) -> Result<(), CloudError> {
        let client = &self.client;
        match (mutation, database(arn)?) {
            (Mutation::Start, Database::Instance(name)) => {
                let answer = client.start_db_instance().db_instance_identifier(name).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            (Mutation::Start, Database::Cluster(name)) => {
                let answer = client.start_db_cluster().db_cluster_identifier(name).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            (Mutation::Stop, Database::Instance(name)) => {
                let answer = client.stop_db_instance().db_instance_identifier(name).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            (Mutation::Stop, Database::Cluster(name)) => {
                let answer = client.stop_db_cluster().db_cluster_identifier(name).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            (Mutation::Tag(tags), _) => {
                let call = client.add_tags_to_resource().resource_name(arn).set_tags(Some(sdk_tags(tags)));
                call.send().await.map(drop).map_err(|error| aws::error(&error))
            }
            (Mutation::Untag(tags), _) => {
                let keys = tags.iter().map(|(key, _)| key.clone()).collect();
                let call = client.remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(keys));
                call.send().await.map(drop).map_err(|error| aws::error(&error))
            }
        }
    }

    /// Removes tags that hold exactly these values. RDS removes tags by key only, so their values are read first.
    async fn untag_one(&self, permit: &dyn Permit, arn: &str, tags: &[Tag]) -> Result<(), CloudError> {
        let listed = self.client.list_tags_for_resource().resource_name(arn).send().await;
        let listed = listed.map_err(|error| aws::error(&error))?;
        let is_there = |(key, value): &&Tag| {
            let is_it = |tag: &SdkTag| tag.key() == Some(key) && tag.value().unwrap_or_default() == value;
            listed.tag_list().iter().any(is_it)
        };
        let there: Vec<Tag> = tags.iter().filter(is_there).cloned().collect();
        if there.is_empty() {
            return Ok(());
        }
        aws::permitted(permit, self.send(&Mutation::Untag(there), arn)).await
    }
}

#[async_trait]
impl Provider for Rds {
    fn key(&self) -> &CloudKey {
        &self.key
    }

    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let groups: HashSet<&String> = groups.iter().collect();
        self.find(|tags| tags.get(&self.group_tag).is_some_and(|group| groups.contains(group))).await
    }

    async fn discover(&self, (key, value): &Tag) -> Result<Vec<Instance>, CloudError> {
        self.find(|tags| tags.get(key) == Some(value) && tags.contains_key(&self.group_tag)).await
    }

    /// Sends the mutation, with one call for each database.
    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        let distinct: HashSet<String> = ids.iter().cloned().collect();
        let calls: Vec<_> = distinct.into_iter().map(|id| self.mutate_one(permit, mutation, id)).collect();
        stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).collect().await
    }
}

/// What an ARN stands for: `arn:aws:rds:<region>:<account>:db:<name>` or `…:cluster:<name>`.
fn database(arn: &str) -> Result<Database<'_>, CloudError> {
    let mut parts = arn.splitn(7, ':').skip(5);
    match (parts.next(), parts.next()) {
        (Some("db"), Some(name)) => Ok(Database::Instance(name)),
        (Some("cluster"), Some(name)) => Ok(Database::Cluster(name)),
        _ => Err(CloudError {
            class: ErrorClass::BadInstance,
            code: "BadRequest".to_owned(),
            message: format!("{arn:?} is the ARN of neither a DB instance nor a DB cluster"),
            retry_after: None,
        }),
    }
}

fn sdk_tags(tags: &[Tag]) -> Vec<SdkTag> {
    tags.iter().map(|(key, value)| SdkTag::builder().key(key).value(value).build()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_db_instances_from_db_clusters() {
        let arn = |kind: &str| format!("arn:aws:rds:eu-central-1:123456789012:{kind}:orders");
        assert_eq!(database(&arn("db")).unwrap(), Database::Instance("orders"));
        assert_eq!(database(&arn("cluster")).unwrap(), Database::Cluster("orders"));
        for other in [arn("snapshot"), "orders".to_owned(), String::new()] {
            assert_eq!(database(&other).unwrap_err().class, ErrorClass::BadInstance, "{other}");
        }
    }
}
