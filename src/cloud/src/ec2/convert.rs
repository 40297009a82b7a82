//! From the SDK's types to ours.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{Instance as SdkInstance, InstanceState as SdkState},
};

use crate::{
    error::CloudError,
    provider::{Instance, InstanceState},
};

/// A machine; none if it has no id. A state that EC2 does not document counts as terminated: nothing
/// is done to it.
pub(super) fn instance(sdk: &SdkInstance) -> Option<Instance> {
    let id = sdk.instance_id()?.to_owned();
    let code = sdk.state().and_then(SdkState::code).unwrap_or(48);
    let tags = sdk
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect();
    let state_reason = sdk.state_reason().and_then(|reason| match (reason.code(), reason.message()) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message).map(ToOwned::to_owned),
    });
    Some(Instance { id, state: state(code), state_reason, tags })
}

/// Id of a machine, and its zone and type in one word.
pub(super) fn place(sdk: &SdkInstance) -> Option<(String, String)> {
    let zone = sdk.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default();
    let kind = sdk.instance_type().map_or("", |kind| kind.as_str());
    Some((sdk.instance_id()?.to_owned(), format!("{zone}/{kind}")))
}

/// The state of a code; its high byte is for EC2's own use.
fn state(code: i32) -> InstanceState {
    match code & 0xff {
        0 => InstanceState::Pending,
        16 => InstanceState::Running,
        64 => InstanceState::Stopping,
        80 => InstanceState::Stopped,
        _ => InstanceState::Terminated,
    }
}

/// An error of any operation.
pub(super) fn error<E>(error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => CloudError::timeout(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => CloudError::timeout(),
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => match credentials_error(error) {
            Some(found) => CloudError::credentials(&chain(found)),
            None => CloudError::connection(&root(error)),
        },
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            if let Some(code) = error.code() {
                return CloudError::from_code(code, error.message().unwrap_or_default(), Some(status));
            }
            let message = format!("HTTP status {status} without an error code");
            CloudError::bad_response(&message, Some(status))
        }
        _ => CloudError::from_code("BadRequest", &chain(error), None),
    }
}

/// An error and its causes, from the outside in.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The SDK reports a call that could not be signed as one that could not be sent.
fn credentials_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The innermost cause of a broken connection, without its numbers: they are ports, errnos, seconds.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let text = text.split(" (os error").next().unwrap_or_default();
    let words: Vec<&str> = text.split(|c: char| c.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
    words.join("…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_byte_of_a_state_code_is_masked() {
        let table = [
            (0, InstanceState::Pending),
            (16, InstanceState::Running),
            (256 + 16, InstanceState::Running),
            (32, InstanceState::Terminated),
            (48, InstanceState::Terminated),
            (64, InstanceState::Stopping),
            (80, InstanceState::Stopped),
            (7, InstanceState::Terminated),
        ];
        for (code, expected) in table {
            assert_eq!(state(code), expected, "{code}");
        }
    }
}
