//! Errors for callers of the APIs, and for the administrator of the simulator.

use thiserror::Error;

/// A refusal in the words of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code, for example `IncorrectInstanceState`.
    pub code: String,
    /// The message for people. It names the same ids as the message of AWS.
    pub message: String,
    /// HTTP status.
    pub status: u16,
}

impl ApiError {
    /// An error with the HTTP status that AWS uses for `code`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: status_of(code) }
    }

    pub(crate) fn invalid_value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(crate) fn malformed_id(id: &str) -> Self {
        let hint = if id.starts_with("i-") { "" } else { " (expecting \"i-...\")" };
        Self::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"{hint}"))
    }

    pub(crate) fn unknown_ids(ids: &[&str]) -> Self {
        let message = match ids {
            [id] => format!("The instance ID '{id}' does not exist"),
            _ => format!("The instance IDs '{}' do not exist", ids.join(", ")),
        };
        Self::new("InvalidInstanceID.NotFound", message)
    }

    pub(crate) fn no_room(zone: &str) -> Self {
        let message = format!(
            "We currently do not have sufficient capacity in the Availability Zone you requested ({zone}). Our system \
             will be working on provisioning additional capacity."
        );
        Self::new("InsufficientInstanceCapacity", message)
    }

    /// The refusal of a call that needs another state. `done` is the participle of the verb: started, stopped.
    pub(crate) fn wrong_state(ids: &[&str], done: &str) -> Self {
        let message = match ids {
            [id] => format!("The instance '{id}' is not in a state from which it can be {done}."),
            _ => format!(
                "The instances '{}' are not in a state from which they can be {done}.",
                ids.join(", ")
            ),
        };
        Self::new("IncorrectInstanceState", message)
    }

    /// The answer to a dry run of a valid call.
    pub(crate) fn would_have_succeeded() -> Self {
        Self::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    }
}

/// The status: 503 means that the caller shall come back later. 500 is the server's fault, which for EC2 includes a
/// lack of capacity. 403 is about the caller's identity. 404 means unknown to RDS. 412 means that a dry run would have
/// worked. All other errors are the caller's fault.
fn status_of(code: &str) -> u16 {
    match code {
        "RequestLimitExceeded" | "EC2ThrottledException" | "Unavailable" | "ServiceUnavailable" => 503,
        "InternalError"
        | "InternalFailure"
        | "ServerInternal"
        | "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacityOnHost"
        | "ReservationCapacityExceeded" => 500,
        "UnauthorizedOperation" | "MissingAuthenticationToken" | "AccessDenied" | "ExpiredToken" => 403,
        "DBInstanceNotFound" | "DBClusterNotFoundFault" => 404,
        "AuthFailure" => 401,
        "DryRunOperation" => 412,
        _ => 400,
    }
}

/// Why an administrative operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdminError {
    /// There is no such instance, or it is not listed any more.
    #[error("no instance {0}")]
    UnknownInstance(String),
    /// No such database instance or cluster.
    #[error("no database {0}")]
    UnknownDatabase(String),
    /// The request makes no sense.
    #[error("{0}")]
    Refused(String),
    /// Only a virtual clock can be advanced.
    #[error("the clock is real: it can't be advanced")]
    ClockIsReal,
}
