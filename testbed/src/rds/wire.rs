//! Reads the RDS Query protocol.

use super::actions::Request;
use super::arn::{Kind, is_identifier};
use super::describe::Describe;
use crate::ec2::actions::Power;
use crate::ec2::params::Params;
use crate::ec2::{ApiError, RawFilter, TagArgument};

/// The only version of the API that is served.
pub(crate) const API_VERSION: &str = "2014-10-31";

const ACTIONS: [&str; 9] = [
    "DescribeDBInstances",
    "DescribeDBClusters",
    "StartDBInstance",
    "StopDBInstance",
    "StartDBCluster",
    "StopDBCluster",
    "AddTagsToResource",
    "RemoveTagsFromResource",
    "ListTagsForResource",
];

pub(crate) fn is_action(action: &str) -> bool {
    ACTIONS.contains(&action)
}

/// Reads the parameters of a call.
pub(crate) fn read(params: &Params, action: &str) -> Result<Request, ApiError> {
    Ok(match action {
        "DescribeDBInstances" => Request::Describe(Kind::Instance, describe(params, "DBInstanceIdentifier")?),
        "DescribeDBClusters" => Request::Describe(Kind::Cluster, describe(params, "DBClusterIdentifier")?),
        "StartDBInstance" => power(params, Kind::Instance, Power::Start)?,
        "StopDBInstance" => power(params, Kind::Instance, Power::Stop)?,
        "StartDBCluster" => power(params, Kind::Cluster, Power::Start)?,
        "StopDBCluster" => power(params, Kind::Cluster, Power::Stop)?,
        "AddTagsToResource" => Request::AddTags(required(params, "ResourceName")?, tags(params)),
        "RemoveTagsFromResource" => {
            Request::RemoveTags(required(params, "ResourceName")?, params.list("TagKeys.member"))
        }
        "ListTagsForResource" => Request::ListTags(required(params, "ResourceName")?),
        _ => return Err(params.no_such_operation(action)),
    })
}

fn describe(params: &Params, name: &str) -> Result<Describe, ApiError> {
    let given = |name| params.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let max_records = params.text("MaxRecords").map(|text| {
        let invalid = |_| ApiError::invalid_value(format!("Invalid value {text} for MaxRecords."));
        text.parse().map_err(invalid)
    });
    let filters = params.indices("Filters.Filter").into_iter().map(|index| RawFilter {
        name: params.text(&format!("Filters.Filter.{index}.Name")).unwrap_or_default().to_owned(),
        values: params.list(&format!("Filters.Filter.{index}.Values.Value")),
    });
    Ok(Describe {
        name: given(name),
        filters: filters.collect(),
        max_records: max_records.transpose()?,
        marker: given("Marker"),
    })
}

/// Reads a start or stop. They take no ARN, unlike a describe.
fn power(params: &Params, kind: Kind, power: Power) -> Result<Request, ApiError> {
    let parameter = match kind {
        Kind::Instance => "DBInstanceIdentifier",
        Kind::Cluster => "DBClusterIdentifier",
    };
    let name = required(params, parameter)?;
    if !is_identifier(&name) {
        let message = format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must \
             contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two \
             consecutive hyphens."
        );
        return Err(ApiError::invalid_value(message));
    }
    Ok(Request::Power(kind, power, name))
}

fn tags(params: &Params) -> Vec<TagArgument> {
    let tag = |index| TagArgument {
        key: params.text(&format!("Tags.Tag.{index}.Key")).unwrap_or_default().to_owned(),
        value: params.text(&format!("Tags.Tag.{index}.Value")).map(str::to_owned),
    };
    params.indices("Tags.Tag").into_iter().map(tag).collect()
}

fn required(params: &Params, name: &str) -> Result<String, ApiError> {
    let text = params.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    text.ok_or_else(|| {
        let message = format!("The request must contain the parameter {name}.");
        ApiError::new("MissingParameter", message)
    })
}
