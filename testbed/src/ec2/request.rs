//! The request of a call. This module reads the actions of EC2.

use super::actions::{Describe, Power};
use super::error::ApiError;
use super::filter::RawFilter;
use super::model::API_VERSION;
use super::params::Params;
use super::tagging::{TagArgument, TagCall};
use crate::{rds, sts};

/// A call of one of the simulated actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Describe(Describe),
    Power(Power, Vec<String>),
    Tags(TagCall, Vec<String>, Vec<TagArgument>),
    Rds(rds::Request),
    Sts(sts::Request),
}

/// The actions of EC2.
impl Params {
    pub(crate) fn request(&self, action: &str) -> Result<Request, ApiError> {
        if action.is_empty() {
            let message = "The request must contain the parameter Action";
            return Err(ApiError::new("MissingParameter", message));
        }
        let version = self.text("Version").unwrap_or_default();
        if version != API_VERSION {
            let message = format!("The requested version ({version}) of service AmazonEC2 does not exist");
            return Err(ApiError::new("NoSuchVersion", message));
        }
        let ids = |name| self.list(name);
        Ok(match action {
            "DescribeInstances" => Request::Describe(self.describe()?),
            "StartInstances" => Request::Power(Power::Start, ids("InstanceId")),
            "StopInstances" => Request::Power(Power::Stop, ids("InstanceId")),
            "CreateTags" => Request::Tags(TagCall::Create, ids("ResourceId"), self.tags()),
            "DeleteTags" => Request::Tags(TagCall::Delete, ids("ResourceId"), self.tags()),
            _ => {
                let message = format!("The action {action} is not valid for this web service.");
                return Err(ApiError::new("InvalidAction", message));
            }
        })
    }

    fn describe(&self) -> Result<Describe, ApiError> {
        let max_results = self.text("MaxResults").map(|text| {
            let invalid =
                |_| ApiError::invalid_value(format!("Value ( {text} ) for parameter maxResults is invalid."));
            text.parse().map_err(invalid)
        });
        let filters = self.indices("Filter").into_iter().map(|index| RawFilter {
            name: self.text(&format!("Filter.{index}.Name")).unwrap_or_default().to_owned(),
            values: self.list(&format!("Filter.{index}.Value")),
        });
        Ok(Describe {
            ids: self.list("InstanceId"),
            filters: filters.collect(),
            max_results: max_results.transpose()?,
            next_token: self.text("NextToken").filter(|token| !token.is_empty()).map(str::to_owned),
        })
    }

    fn tags(&self) -> Vec<TagArgument> {
        let tag = |index| TagArgument {
            key: self.text(&format!("Tag.{index}.Key")).unwrap_or_default().to_owned(),
            value: self.text(&format!("Tag.{index}.Value")).map(str::to_owned),
        };
        self.indices("Tag").into_iter().map(tag).collect()
    }
}
