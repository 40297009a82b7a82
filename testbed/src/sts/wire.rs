//! Reads and writes the STS Query protocol.

use std::time::Duration;

use super::roles::{Answer, Assume, Assumed, account_and_role};
use crate::ec2::params::Params;
use crate::ec2::xml::wrapped;
use crate::ec2::{ApiError, CallFacts};

/// The only version of the API that is served.
pub(crate) const API_VERSION: &str = "2011-06-15";
/// The XML namespace of all answers of STS.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43_200;
const DEFAULT_DURATION: u64 = 3_600;

/// A call of one of the simulated actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    AssumeRole(Assume),
    GetCallerIdentity,
}

impl Request {
    /// Notes the call's arguments for the call log: the role, in place of instances.
    pub(crate) fn note(&self, facts: &mut CallFacts) {
        if let Self::AssumeRole(ask) = self {
            facts.instance_ids.push(ask.role_arn.clone());
        }
    }
}

pub(crate) fn is_action(action: &str) -> bool {
    matches!(action, "AssumeRole" | "GetCallerIdentity")
}

/// Reads the parameters of a call.
pub(crate) fn read(params: &Params, action: &str) -> Result<Request, ApiError> {
    match action {
        "AssumeRole" => assume(params).map(Request::AssumeRole),
        "GetCallerIdentity" => Ok(Request::GetCallerIdentity),
        _ => Err(params.no_such_operation(action)),
    }
}

fn assume(params: &Params) -> Result<Assume, ApiError> {
    let role_arn = required(params, "RoleArn", "roleArn")?;
    let session_name = required(params, "RoleSessionName", "roleSessionName")?;
    if account_and_role(role_arn).is_none() {
        return Err(ApiError::new("ValidationError", format!("{role_arn} is invalid")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&session_name.len()) || !session_name.chars().all(allowed) {
        let rule = "Member must satisfy regular expression pattern: [\\w+=,.@-]*";
        return Err(invalid(session_name, "roleSessionName", rule));
    }
    let seconds = match params.text("DurationSeconds") {
        None => DEFAULT_DURATION,
        Some(text) => text.parse().ok().filter(|seconds| DURATIONS.contains(seconds)).ok_or_else(|| {
            let (least, most) = (DURATIONS.start(), DURATIONS.end());
            let rule = format!("Member must have value between {least} and {most}");
            invalid(text, "durationSeconds", &rule)
        })?,
    };
    Ok(Assume {
        role_arn: role_arn.to_owned(),
        session_name: session_name.to_owned(),
        external_id: params.text("ExternalId").map(str::to_owned),
        duration: Duration::from_secs(seconds),
    })
}

fn required<'a>(params: &'a Params, name: &str, member: &str) -> Result<&'a str, ApiError> {
    let text = params.text(name).filter(|text| !text.is_empty());
    text.ok_or_else(|| invalid("null", member, "Member must not be null"))
}

fn invalid(value: &str, member: &str, rule: &str) -> ApiError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    );
    ApiError::new("ValidationError", message)
}

pub(crate) fn render(action: &str, request_id: &str, answer: &Answer) -> String {
    wrapped(action, NAMESPACE, request_id, |xml| {
        xml.element(&format!("{action}Result"), |xml| match answer {
            Answer::Identity(arn, account) => {
                xml.text("Arn", arn);
                xml.text("UserId", &user_id(arn));
                xml.text("Account", account);
            }
            Answer::Assumed(assumed) => {
                let Assumed { arn, session_name, .. } = &**assumed;
                xml.element("AssumedRoleUser", |xml| {
                    xml.text("AssumedRoleId", &format!("AROASIMULATED:{session_name}"));
                    xml.text("Arn", arn);
                });
                xml.element("Credentials", |xml| {
                    xml.text("AccessKeyId", &assumed.access_key_id);
                    xml.text("SecretAccessKey", &assumed.secret_access_key);
                    xml.text("SessionToken", &assumed.session_token);
                    xml.text("Expiration", &assumed.expiration.iso8601());
                });
            }
        });
    })
}

/// The user id for an ARN. That of a role contains the name of the session, that of a user does not.
fn user_id(arn: &str) -> String {
    match arn.split_once(":assumed-role/") {
        Some((_, session)) => format!("AROASIMULATED:{}", session.rsplit('/').next().unwrap_or_default()),
        None => "AIDASIMULATED".to_owned(),
    }
}
