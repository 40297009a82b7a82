//! From the SDK's types to ours.

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::Instance as SdkInstance,
};

use crate::{
    error::CloudError,
    provider::{Instance, InstanceState},
};

/// A machine; none if it has no id. A state that EC2 does not document counts as terminated: nothing
/// is done to it.
pub(super) fn instance(sdk: &SdkInstance) -> Option<Instance> {
    let id = sdk.instance_id()?.to_owned();
    let code = sdk.state().and_then(|state| state.code()).unwrap_or(48);
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
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if connector.is_other() => CloudError::credentials(&chain(error)),
            _ => CloudError::connection(&chain(error)),
        },
        SdkError::ResponseError(_) => CloudError::connection(&chain(error)),
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = error.code().unwrap_or("Unknown");
            CloudError::from_code(code, error.message().unwrap_or_default(), Some(status))
        }
        _ => CloudError::from_code("BadRequest", &chain(error), None),
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
