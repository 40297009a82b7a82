//! Converts the SDK's errors, for all services.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::error::CloudError;

/// The error of any operation.
pub(crate) fn error<E>(error: &SdkError<E, HttpResponse>) -> CloudError
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

/// The error of the credentials, if there is one: the SDK reports a call that it could not sign as one that it could
/// not send.
fn credentials_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The innermost cause of a broken connection, without its numbers, because ports, errnos and seconds differ each time.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let text = text.split(" (os error").next().unwrap_or_default();
    let words: Vec<&str> = text.split(|c: char| c.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
    words.join("…")
}
