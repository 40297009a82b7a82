//! EC2.
//!
//! A call takes up to a thousand machines. If one of them fails, it fails the whole call, and is separated.

mod convert;
mod filter;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use aws_sdk_ec2::{
    Client,
    types::{Filter, Reservation, Tag as SdkTag},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    aws,
    error::{CloudError, ErrorClass},
    isolate::Isolation,
    provider::{CloudKey, Instance, Mutation, Provider, Results, Tag},
};
use booking_decision::permit::Permit;

/// The most values of a filter: "Filters" in the EC2 user guide.
const FILTER_VALUES_MAX: usize = 200;
/// The largest page of `DescribeInstances`, by its reference.
const PAGE_SIZE: i32 = 1000;
/// A describe of more pages than this (a million machines) is given up, because EC2 presumably repeats pages.
const PAGES_MAX: usize = 1000;
/// The most calls that a describe of many groups has under way at once.
const CALLS_AT_ONCE: usize = 4;
/// The most ids of a call: `CreateTags` takes 1,000, `StartInstances` documents no limit.
const IDS_MAX: usize = 1000;

/// EC2 in one account and region.
#[derive(Clone, Debug)]
pub struct Ec2 {
    key: CloudKey,
    client: Client,
    group_tag: String,
}

impl Ec2 {
    /// EC2 in the region and with the credentials of a configuration. `account` is its name, see
    /// [`CloudKey::account`]. `group_tag` is the key of the tag that marks groups.
    pub fn new(config: &aws_config::SdkConfig, account: &str, group_tag: &str) -> Self {
        let key = aws::key(config, account, "ec2");
        Self { key, client: Client::new(&aws::bounded(config)), group_tag: group_tag.to_owned() }
    }

    /// All pages of the machines that have this tag with one of up to [`FILTER_VALUES_MAX`] values.
    async fn describe_pages(&self, tag: &str, values: &[String]) -> Result<Vec<Instance>, CloudError> {
        let filter = Filter::builder()
            .name(format!("tag:{tag}"))
            .set_values(Some(values.iter().map(|value| filter::escape(value)).collect()))
            .build();
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self
                .client
                .describe_instances()
                .filters(filter.clone())
                .max_results(PAGE_SIZE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| aws::error(&error))?;
            found.extend(
                page.reservations().iter().flat_map(Reservation::instances).filter_map(convert::instance),
            );
            token = page.next_token().filter(|token| !token.is_empty()).map(ToOwned::to_owned);
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(CloudError::bad_response("DescribeInstances does not come to an end", None))
    }

    /// Looks up the zone and type of machines, unless they are known. EC2 has room for all machines of a zone and type,
    /// or for none. If the lookup fails, they stay empty, and the call is halved instead.
    async fn learn_zones_and_types(&self, known: &mut HashMap<String, String>, ids: &[String]) {
        if ids.iter().all(|id| known.contains_key(id)) {
            return;
        }
        known.extend(ids.iter().map(|id| (id.clone(), String::new())));
        let call = self.client.describe_instances().set_instance_ids(Some(ids.to_vec()));
        match call.send().await {
            Ok(answer) => {
                let found = answer.reservations().iter().flat_map(Reservation::instances);
                known.extend(found.filter_map(convert::zone_and_type));
            }
            Err(error) => {
                let error = aws::error(&error);
                tracing::debug!(%error, "cannot look up the zone and type of machines that EC2 has no room for");
            }
        }
    }

    async fn send(&self, mutation: &Mutation, ids: Vec<String>) -> Result<(), CloudError> {
        let ids = Some(ids);
        let client = &self.client;
        match mutation {
            Mutation::Start => {
                let answer = client.start_instances().set_instance_ids(ids).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            Mutation::Stop => {
                let answer = client.stop_instances().set_instance_ids(ids).send().await;
                answer.map(drop).map_err(|error| aws::error(&error))
            }
            Mutation::Tag(tags) => {
                let call = client.create_tags().set_resources(ids).set_tags(Some(sdk_tags(tags)));
                call.send().await.map(drop).map_err(|error| aws::error(&error))
            }
            Mutation::Untag(tags) => {
                let call = client.delete_tags().set_resources(ids).set_tags(Some(sdk_tags(tags)));
                call.send().await.map(drop).map_err(|error| aws::error(&error))
            }
        }
    }
}

#[async_trait]
impl Provider for Ec2 {
    fn key(&self) -> &CloudKey {
        &self.key
    }

    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError> {
        let looks = groups.chunks(FILTER_VALUES_MAX).map(|chunk| self.describe_pages(&self.group_tag, chunk));
        let looks: Vec<_> = looks.collect();
        let found: Vec<Vec<Instance>> =
            stream::iter(looks).buffer_unordered(CALLS_AT_ONCE).try_collect().await?;
        let mut all: Vec<Instance> = found.into_iter().flatten().collect();
        // The operator must never act on a machine whose own tag differs, even if the filter let it through.
        let wanted: HashSet<&String> = groups.iter().collect();
        let mut seen = HashSet::new();
        all.retain(|instance| {
            instance.tags.get(&self.group_tag).is_some_and(|tag| wanted.contains(tag))
                && seen.insert(instance.id.clone())
        });
        Ok(all)
    }

    async fn discover(&self, (key, value): &Tag) -> Result<Vec<Instance>, CloudError> {
        let mut all = self.describe_pages(key, std::slice::from_ref(value)).await?;
        let mut seen = HashSet::new();
        all.retain(|instance| {
            instance.tags.get(key) == Some(value)
                && instance.tags.contains_key(&self.group_tag)
                && seen.insert(instance.id.clone())
        });
        Ok(all)
    }

    /// Sends the mutation in calls of at most `IDS_MAX` ids, and separates bad ids.
    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        let mut results = Results::new();
        for chunk in ids.chunks(IDS_MAX) {
            let mut isolation = Isolation::new(chunk);
            let mut zones_and_types = HashMap::new();
            while let Some(batch) = isolation.next_call() {
                let answer = aws::permitted(permit, self.send(mutation, batch.clone())).await;
                if lacks_room(&answer) && batch.len() > 1 {
                    self.learn_zones_and_types(&mut zones_and_types, &batch).await;
                    let of = |id: &str| zones_and_types.get(id).cloned().unwrap_or_default();
                    if isolation.parted(&batch, of) {
                        continue;
                    }
                }
                isolation.answered(batch, answer);
            }
            results.extend(isolation.into_results());
        }
        results
    }
}

fn lacks_room(answer: &Result<(), CloudError>) -> bool {
    answer.as_ref().is_err_and(|error| error.class == ErrorClass::Capacity)
}

fn sdk_tags(tags: &[Tag]) -> Vec<SdkTag> {
    tags.iter().map(|(key, value)| SdkTag::builder().key(key).value(value).build()).collect()
}
