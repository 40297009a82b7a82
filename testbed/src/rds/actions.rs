//! The actions of the RDS API.

use super::arn::{Arn, Kind};
use super::databases::Databases;
use super::describe::{Describe, Page};
use super::model::{DbClusterView, DbInstanceView};
use crate::ec2::actions::Power;
use crate::ec2::{ApiError, CallFacts, Scope, Settings, SimTime, TagArgument, Tags};

/// A call of one of the simulated actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Describe(Kind, Describe),
    /// The text is an identifier.
    Power(Kind, Power, String),
    /// The text is an ARN, as in the other calls about tags.
    AddTags(String, Vec<TagArgument>),
    RemoveTags(String, Vec<String>),
    ListTags(String),
}

/// The result of a call that worked.
#[derive(Debug)]
pub(crate) enum Answer {
    Instances(Page<DbInstanceView>),
    Clusters(Page<DbClusterView>),
    Instance(Box<DbInstanceView>),
    Cluster(Box<DbClusterView>),
    Tags(Tags),
    Done,
}

impl Request {
    /// Notes the call's arguments for the call log.
    pub(crate) fn note(&self, facts: &mut CallFacts) {
        match self {
            Self::Describe(_, describe) => {
                facts.instance_ids.extend(describe.name.clone());
                facts.filters.clone_from(&describe.filters);
                facts.paged = describe.max_records.is_some() || describe.marker.is_some();
            }
            Self::Power(_, _, name) | Self::ListTags(name) => facts.instance_ids.push(name.clone()),
            Self::AddTags(name, tags) => {
                facts.instance_ids.push(name.clone());
                facts.tags.clone_from(tags);
            }
            Self::RemoveTags(name, keys) => {
                facts.instance_ids.push(name.clone());
                facts.tags.extend(keys.iter().map(|key| TagArgument { key: key.clone(), value: None }));
            }
        }
    }
}

impl Databases {
    pub(crate) fn carry_out(
        &mut self,
        now: SimTime,
        scope: &Scope,
        request: Request,
        settings: &Settings,
    ) -> Result<Answer, ApiError> {
        Ok(match request {
            Request::Describe(Kind::Instance, ask) => {
                Answer::Instances(self.describe_instances(now, scope, &ask)?)
            }
            Request::Describe(Kind::Cluster, ask) => {
                Answer::Clusters(self.describe_clusters(now, scope, &ask)?)
            }
            Request::Power(Kind::Instance, power, name) => {
                let arn = Arn::new(Kind::Instance, scope, &name);
                Answer::Instance(self.start_or_stop_instance(now, &arn, power, settings)?.into())
            }
            Request::Power(Kind::Cluster, power, name) => {
                let arn = Arn::new(Kind::Cluster, scope, &name);
                Answer::Cluster(self.start_or_stop_cluster(now, &arn, power, settings)?.into())
            }
            Request::AddTags(name, tags) => {
                self.add_tags(scope, &name, &tags)?;
                Answer::Done
            }
            Request::RemoveTags(name, keys) => {
                self.delete_tags(scope, &name, &keys)?;
                Answer::Done
            }
            Request::ListTags(name) => Answer::Tags(self.tagged(scope, &name)?.1),
        })
    }

    /// The zone and tags of a database that a logged call names, by identifier or ARN.
    pub(crate) fn named(&self, call: &CallFacts, name: &str) -> Option<(&str, &Tags)> {
        let kind = if call.action.contains("DBCluster") { Kind::Cluster } else { Kind::Instance };
        let arn = Arn::parse(name).unwrap_or_else(|| Arn::new(kind, &call.scope, name));
        self.place_and_tags(&arn)
    }
}
