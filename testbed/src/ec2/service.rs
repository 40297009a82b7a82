//! The services behind the one port, and the differences between their answers.

use super::error::ApiError;
use super::model::API_VERSION;
use super::params::Params;
use super::request::Request;
use super::xml;
use crate::{rds, sts};

/// The service of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Rds,
    Sts,
}

impl Service {
    /// The service with the version that a call names. If no service has that version, the action decides.
    pub(crate) fn of(version: &str, action: &str) -> Self {
        match version {
            API_VERSION => Self::Ec2,
            rds::API_VERSION => Self::Rds,
            sts::API_VERSION => Self::Sts,
            _ if rds::is_action(action) => Self::Rds,
            _ if sts::is_action(action) => Self::Sts,
            _ => Self::Ec2,
        }
    }

    /// Reads the parameters of a call.
    pub(crate) fn read(self, params: &Params, action: &str) -> Result<Request, ApiError> {
        let version = params.text("Version").unwrap_or_default();
        match self {
            Self::Ec2 => params.request(action),
            Self::Rds if version == rds::API_VERSION => rds::read(params, action).map(Request::Rds),
            Self::Sts if version == sts::API_VERSION => sts::read(params, action).map(Request::Sts),
            Self::Rds | Self::Sts => Err(params.no_such_operation(action)),
        }
    }

    /// The answer to too many calls.
    pub(crate) fn throttled(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::new("RequestLimitExceeded", "Request limit exceeded."),
            Self::Rds | Self::Sts => ApiError::new("Throttling", "Rate exceeded"),
        }
    }

    /// The answer to expired credentials.
    pub(crate) fn expired(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::new("RequestExpired", "Request has expired."),
            Self::Rds | Self::Sts => {
                ApiError::new("ExpiredToken", "The security token included in the request is expired")
            }
        }
    }

    /// A refusal in the format of the service.
    pub(crate) fn error(self, request_id: &str, error: &ApiError) -> String {
        match self {
            Self::Ec2 => xml::error(request_id, error),
            Self::Rds => xml::wrapped_error(rds::NAMESPACE, request_id, error),
            Self::Sts => xml::wrapped_error(sts::NAMESPACE, request_id, error),
        }
    }
}
