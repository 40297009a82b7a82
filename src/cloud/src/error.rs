//! The class of every cloud error. No other file reads error codes.
//!
//! Codes: "Error codes for the Amazon EC2 API" and "Common Errors" of the EC2 API reference, and the errors of each
//! action in the RDS and STS API references.

use std::time::Duration;

use booking_decision::permit::PermitLapsed;

/// The kind of an error: it tells what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// The account's budget has no tokens for the call yet. Nothing was sent.
    Queued,
    /// Too many calls. Slow down, and never split the batch.
    Throttled,
    /// Passing trouble, such as a time-out or a broken connection. The call may have taken effect.
    Transient,
    /// The cloud has no room for machines of this kind. That takes minutes.
    Capacity,
    /// The account's own limit is reached. A person must act.
    Quota,
    /// The machine is in another state than expected. Describe it again.
    Reobserve,
    /// One machine of the call is at fault.
    BadInstance,
    /// Credentials or rights are wrong. A person must act.
    Configuration,
    /// The permit ran out before the call. Nothing was sent.
    PermitLapsed,
    /// A code that is not listed here.
    Unknown,
}

impl ErrorClass {
    /// A stable word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::Reobserve => "reobserve",
            Self::BadInstance => "bad_instance",
            Self::Configuration => "configuration",
            Self::PermitLapsed => "permit_lapsed",
            Self::Unknown => "unknown",
        }
    }

    /// The first and the longest wait before the same call is tried again. Waits double in between.
    pub fn backoff(self) -> (Duration, Duration) {
        let seconds = |first, longest| (Duration::from_secs(first), Duration::from_secs(longest));
        match self {
            Self::Throttled => seconds(2, 60),
            Self::Queued | Self::Transient | Self::Reobserve | Self::PermitLapsed => seconds(1, 30),
            Self::Unknown | Self::BadInstance => seconds(10, 300),
            Self::Capacity => seconds(60, 300),
            Self::Quota | Self::Configuration => seconds(30, 300),
        }
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CloudError {
    /// Its class.
    pub class: ErrorClass,
    /// The cloud's code, or one of this crate: `Queued`, `Timeout`, `ConnectionFailed`, `CredentialsFailed`,
    /// `PermitLapsed`, `BadRequest`, `BadResponse`.
    pub code: String,
    /// The cloud's message, without the parts that change from try to try.
    pub message: String,
    /// How long to wait before the next try, if that is known.
    pub retry_after: Option<Duration>,
}

const CLASSES: [(ErrorClass, &[&str]); 7] = [
    (
        ErrorClass::Throttled,
        &[
            "RequestLimitExceeded",
            "EC2ThrottledException",
            "Throttling",
            "ThrottlingException",
            "RequestThrottled",
        ],
    ),
    (
        ErrorClass::Transient,
        &[
            "InternalError",
            "InternalFailure",
            "ServerInternal",
            "Unavailable",
            "ServiceUnavailable",
            "RequestTimeout",
        ],
    ),
    (
        ErrorClass::Capacity,
        &[
            "InsufficientInstanceCapacity",
            "InsufficientHostCapacity",
            "InsufficientCapacityOnHost",
            "InsufficientCapacity",
            "ReservationCapacityExceeded",
            "InsufficientDBInstanceCapacity",
            "InsufficientDBClusterCapacityFault",
            "InsufficientStorageClusterCapacity",
        ],
    ),
    (ErrorClass::Quota, &["InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"]),
    (
        ErrorClass::Reobserve,
        &[
            "IncorrectInstanceState",
            "IncorrectState",
            "InvalidDBInstanceState",
            "InvalidDBInstanceStateFault",
            "InvalidDBClusterStateFault",
        ],
    ),
    (
        ErrorClass::BadInstance,
        &[
            "InvalidInstanceID.NotFound",
            "InvalidInstanceID.Malformed",
            "InvalidInstanceID",
            "InvalidID",
            "TagLimitExceeded",
            "InvalidParameterValue",
            "UnsupportedOperation",
            "OperationNotPermitted",
            "UnsupportedHibernationConfiguration",
            "DBInstanceNotFound",
            "DBInstanceNotFoundFault",
            "DBClusterNotFoundFault",
            "InvalidParameterCombination",
            "KMSKeyNotAccessibleFault",
            "InvalidVPCNetworkStateFault",
            "InvalidSubnet",
            "DBSubnetGroupNotFoundFault",
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "AuthorizationNotFound",
        ],
    ),
    (
        ErrorClass::Configuration,
        &[
            "UnauthorizedOperation",
            "AuthFailure",
            "OptInRequired",
            "ExpiredToken",
            "ExpiredTokenException",
            // EC2's code for expired credentials, and for a clock that is off.
            "RequestExpired",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "AccessDenied",
            "AccessDeniedException",
            "MissingAuthenticationToken",
            "CredentialsFailed",
            "Blocked",
            "PendingVerification",
        ],
    ),
];

/// The class of an error code.
pub fn classify(code: &str) -> ErrorClass {
    CLASSES.iter().find(|(_, codes)| codes.contains(&code)).map_or(ErrorClass::Unknown, |(class, _)| *class)
}

/// Longer messages are cut, because conditions and Events show them.
const MESSAGE_MAX_CHARS: usize = 300;

/// The code of an answer that does not come from EC2 but from a proxy, for example.
const BAD_RESPONSE: &str = "BadResponse";

impl CloudError {
    /// Whether the call may have failed because of one machine among several. `UnauthorizedOperation` may concern one
    /// machine, because a policy with a condition on tags refuses the whole call for one machine. Other errors of
    /// configuration, such as bad credentials, concern all machines.
    pub fn may_concern_one_machine(&self) -> bool {
        match self.class {
            ErrorClass::BadInstance | ErrorClass::Reobserve | ErrorClass::Capacity => true,
            ErrorClass::Configuration => self.code == "UnauthorizedOperation",
            ErrorClass::Unknown => self.code != BAD_RESPONSE,
            ErrorClass::Queued
            | ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Quota
            | ErrorClass::PermitLapsed => false,
        }
    }

    /// Whether the call is over, because the cloud has refused it or never got it. If not, the call may still be under
    /// way: a proxy may have answered in the cloud's place, for example.
    pub fn is_over(&self) -> bool {
        self.class != ErrorClass::Transient
    }

    /// The error for an answer that EC2 would not give.
    pub fn bad_response(message: &str, http_status: Option<u16>) -> Self {
        Self::from_code(BAD_RESPONSE, message, http_status)
    }

    /// The error that the cloud sent. If the code is unknown, `http_status` decides its class.
    pub fn from_code(code: &str, message: &str, http_status: Option<u16>) -> Self {
        let class = match (classify(code), http_status) {
            (ErrorClass::Unknown, Some(500..=599)) => ErrorClass::Transient,
            (class, _) => class,
        };
        Self::new(class, code, &stable(message))
    }

    /// The error for a call without an answer in time. The call may have taken effect.
    pub fn timeout() -> Self {
        Self::new(ErrorClass::Transient, "Timeout", "no answer in time")
    }

    /// The error for a connection that failed or broke. The call may have taken effect.
    pub fn connection(message: &str) -> Self {
        Self::new(ErrorClass::Transient, "ConnectionFailed", &stable(message))
    }

    /// The error for a call that could not be sent because there are no credentials.
    pub fn credentials(message: &str) -> Self {
        Self::new(ErrorClass::Configuration, "CredentialsFailed", &stable(message))
    }

    /// The error for a call that the account's budget has no tokens for. There will presumably be some after `wait`.
    pub fn queued(wait: Duration) -> Self {
        let queued = Self::new(ErrorClass::Queued, "Queued", "waits for its turn in the account's budget");
        Self { retry_after: Some(wait), ..queued }
    }

    fn new(class: ErrorClass, code: &str, message: &str) -> Self {
        Self { class, code: code.to_owned(), message: message.to_owned(), retry_after: None }
    }
}

impl From<PermitLapsed> for CloudError {
    fn from(lapsed: PermitLapsed) -> Self {
        Self::new(ErrorClass::PermitLapsed, "PermitLapsed", &lapsed.to_string())
    }
}

/// A message without the parts that change from try to try, because it goes into statuses, and each change is a write.
/// EC2 appends an encoded blob to `UnauthorizedOperation`, which people cannot read. Request ids and times (the session
/// name of a web identity ends with one) are replaced by an ellipsis.
fn stable(message: &str) -> String {
    let end = message.find(" Encoded authorization failure message").unwrap_or(message.len());
    let message = message.get(..end).unwrap_or(message);
    let words = message.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.flat_map(without_id).take(MESSAGE_MAX_CHARS).collect()
}

/// A word and the character after it, without request ids and times.
fn without_id(word: &str) -> Vec<char> {
    let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let behind = word.get(bare.len()..).unwrap_or_default();
    let kept = if is_uuid(bare) {
        "…".to_owned()
    } else {
        let parts = bare.split('-').map(|part| if is_time(part) { "…" } else { part });
        parts.collect::<Vec<_>>().join("-")
    };
    kept.chars().chain(behind.chars()).collect()
}

fn is_uuid(word: &str) -> bool {
    word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Seconds or milliseconds since 1970, or `20260101T000000Z`. Account numbers have 12 digits.
fn is_time(word: &str) -> bool {
    let digits = word.replace(['T', 'Z'], "");
    let is_number = digits.chars().all(|c| c.is_ascii_digit());
    is_number && matches!((digits.len(), word.len()), (10, 10) | (13, 13) | (14, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_the_class_its_reaction_needs() {
        let table = [
            ("RequestLimitExceeded", ErrorClass::Throttled),
            ("Unavailable", ErrorClass::Transient),
            ("InsufficientInstanceCapacity", ErrorClass::Capacity),
            ("VcpuLimitExceeded", ErrorClass::Quota),
            ("IncorrectInstanceState", ErrorClass::Reobserve),
            ("InvalidInstanceID.NotFound", ErrorClass::BadInstance),
            ("OperationNotPermitted", ErrorClass::BadInstance),
            ("UnauthorizedOperation", ErrorClass::Configuration),
            ("SomethingNew", ErrorClass::Unknown),
        ];
        for (code, class) in table {
            assert_eq!(classify(code), class, "{code}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<&str> = CLASSES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn a_capacity_error_stays_one_though_it_comes_as_a_server_error() {
        let error = CloudError::from_code("InsufficientInstanceCapacity", "none left", Some(500));
        assert_eq!(error.class, ErrorClass::Capacity);
    }

    #[test]
    fn an_unknown_code_of_a_server_error_is_transient() {
        assert_eq!(CloudError::from_code("Oops", "", Some(503)).class, ErrorClass::Transient);
        assert_eq!(CloudError::from_code("Oops", "", Some(400)).class, ErrorClass::Unknown);
    }

    #[test]
    fn a_message_loses_its_encoded_part_and_stays_short() {
        let text = "You are not authorized. Encoded authorization failure message: 4KBX…";
        let error = CloudError::from_code("UnauthorizedOperation", text, Some(403));
        assert_eq!(error.to_string(), "UnauthorizedOperation: You are not authorized.");
        let long = CloudError::from_code("X", &"é".repeat(1000), None);
        assert_eq!(long.message.chars().count(), MESSAGE_MAX_CHARS);
    }

    #[test]
    fn a_message_loses_request_ids_and_times_and_keeps_accounts_and_instances() {
        for (text, expected) in [
            ("id: 0d2c1bf4-5e0c-4d6e-9d9c-6a8f3a1c2b3d.", "id: …."),
            (
                "User: arn:aws:sts::123456789012:assumed-role/x/web-identity-token-1767225600000 may not",
                "User: arn:aws:sts::123456789012:assumed-role/x/web-identity-token-… may not",
            ),
            ("expired: 20260101T000000Z is earlier than 20260101T001500Z", "expired: … is earlier than …"),
            ("i-0123456789abcdef0, i-01234567890123456 - 5", "i-0123456789abcdef0, i-01234567890123456 - 5"),
        ] {
            assert_eq!(CloudError::from_code("X", text, None).message, expected);
        }
    }

    #[test]
    fn every_class_waits_at_least_a_second_and_at_most_five_minutes() {
        for (class, _) in CLASSES {
            let (first, longest) = class.backoff();
            assert!(first >= Duration::from_secs(1) && longest <= Duration::from_mins(5) && first <= longest);
        }
    }
}
