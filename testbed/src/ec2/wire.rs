//! The Query protocol, inbound: from a form body and headers to a call. Its actions here are those of EC2.

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use super::actions::{Describe, Power};
use super::error::ApiError;
use super::filter::RawFilter;
use super::service::Service;
use super::tagging::{TagArgument, TagCall};
use crate::{rds, sts};

/// The one version of EC2's API that is served.
pub(crate) const API_VERSION: &str = "2016-11-15";

/// Who calls, as the headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    /// The name that the SDK puts into its user agent on behalf of the application.
    pub(crate) app: Option<String>,
    /// When it signed, by its own clock, as it says so.
    pub(crate) signed: Option<String>,
}

/// A call of one of the simulated actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Describe(Describe),
    Power(Power, Vec<String>),
    Tags(TagCall, Vec<String>, Vec<TagArgument>),
    Rds(rds::Request),
    Sts(sts::Request),
}

/// A call as it came in. What is wrong with it is part of it, so that it is logged like any other.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) service: Service,
    pub(crate) action: String,
    pub(crate) dry_run: bool,
    pub(crate) request: Result<Request, ApiError>,
}

impl Call {
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let params = Params(form_urlencoded::parse(body).into_owned().collect());
        let action = params.text("Action").unwrap_or_default().to_owned();
        let service = Service::of(params.text("Version").unwrap_or_default(), &action);
        let caller = Caller::read(headers);
        let request = if caller.is_some() {
            service.read(&params, &action)
        } else {
            let message = "Request is missing Authentication Token";
            Err(ApiError::new("MissingAuthenticationToken", message))
        };
        let caller = caller.unwrap_or_default();
        let dry_run = params.text("DryRun") == Some("true");
        Self { caller, service, action, dry_run, request }
    }
}

impl Caller {
    /// From the credential scope of the signature (which is not checked) and the user agent.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let credential = header("authorization")?.split_once("Credential=")?.1;
        let mut parts = credential.split([',', ' ']).next()?.split('/');
        let access_key_id = parts.next().filter(|key| !key.is_empty())?.to_owned();
        let region = parts.nth(1).filter(|region| !region.is_empty())?.to_owned();
        let agents = ["user-agent", "x-amz-user-agent"].into_iter().filter_map(header);
        let app = agents.flat_map(str::split_whitespace).find_map(|word| word.strip_prefix("app/"));
        let signed = header("x-amz-date").map(str::to_owned);
        Some(Self { access_key_id, region, app: app.map(str::to_owned), signed })
    }
}

/// The parameters of a call.
pub(crate) struct Params(BTreeMap<String, String>);

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

    /// The refusal of RDS and STS.
    pub(crate) fn no_such_operation(&self, action: &str) -> ApiError {
        let version = self.text("Version").unwrap_or_default();
        ApiError::new("InvalidAction", format!("Could not find operation {action} for version {version}"))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of `name.1`, `name.2` and so on, by number.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = |index| self.text(&format!("{name}.{index}"));
        self.indices(name).into_iter().filter_map(text).map(str::to_owned).collect()
    }

    /// The numbers in use after `name.`, in order.
    pub(crate) fn indices(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{name}.");
        let named =
            self.0.range(prefix.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&prefix));
        let number = |key: &String| key.get(prefix.len()..)?.split('.').next()?.parse().ok();
        let mut indices: Vec<u32> = named.filter_map(number).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }
}
