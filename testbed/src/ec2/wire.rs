//! Reads the Query protocol: from a form body and headers to a call.

use axum::http::HeaderMap;

use super::error::ApiError;
use super::params::Params;
use super::request::Request;
use super::service::Service;

/// The caller, as the headers name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    /// The name that the SDK puts into its user agent on behalf of the application.
    pub(crate) app: Option<String>,
    /// When it signed the call, by its own clock, as the header says.
    pub(crate) signed: Option<String>,
}

/// A call as it came in. Its errors are part of it, so that it is logged as any other call.
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
        let params = Params::read(body);
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
    /// Reads the caller from the credential scope of the signature (which is not checked) and from the user agent.
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
