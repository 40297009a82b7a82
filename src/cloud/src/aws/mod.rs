//! The common part of all services of AWS: accounts, credentials, time-outs.
//!
//! The SDK's own retries are off, because they would repeat writes unseen. The operator decides elsewhere whether to
//! retry. Every call is bounded in time: connect, attempt, operation.
//!
//! Credentials come from the default chain (environment, profile, web identity, Pod Identity, IMDS). Every role is
//! assumed with these, not by way of another role, because AWS ends chained sessions after an hour at most. The SDK
//! renews all credentials before they expire.

mod error;
mod open;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig,
    sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};

pub(crate) use self::error::error;
use crate::{
    error::CloudError,
    provider::{CloudKey, Provider},
};
use booking_decision::permit::Permit;

/// The longest time that one page of a describe may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time to get credentials. It is shorter than the time-out of a describe by more than a mutation's time,
/// so that a describe fails with an error that names the credentials. The SDK's default equals the time-out of the
/// describe: then chance decides which of the two errors comes.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why AWS cannot be set up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetupError {
    /// No region is configured.
    #[error("no region: set AWS_REGION, or a region in the AWS profile")]
    NoRegion,
}

/// The cloud to open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cloud {
    /// Account, region and service.
    pub key: CloudKey,
    /// The external id that the role's trust policy asks for, if it asks for one.
    pub external_id: Option<String>,
}

/// Opens clouds.
#[async_trait]
pub trait Clouds: Send + Sync {
    /// The region of a cloud that names none.
    fn region(&self) -> &str;

    /// The cloud of a role, region and service. This sends nothing, so bad credentials show only at the first call.
    async fn open(&self, cloud: &Cloud) -> Arc<dyn Provider>;
}

/// AWS, as the environment sets it up.
#[derive(Clone, Debug)]
pub struct Aws {
    base: SdkConfig,
    region: String,
    session: String,
    group_tag: String,
}

impl Aws {
    /// AWS as environment and profile set it up: `AWS_REGION`, `AWS_ENDPOINT_URL`, credentials from the default chain.
    /// `group_tag` is the key of the tag that marks groups. `app_name` shows in the access logs of the account.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn from_env(group_tag: &str, app_name: &str) -> Result<Self, SetupError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        // An invalid name is ignored, because it only helps people who read the account's access log.
        if let (Err(_), Ok(name)) = (std::env::var("AWS_SDK_UA_APP_ID"), AppName::new(app_name.to_owned())) {
            loader = loader.app_name(name);
        }
        Self::new(loader.load().await, group_tag, app_name)
    }

    /// AWS with this configuration. `session` names the sessions of assumed roles.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(base: SdkConfig, group_tag: &str, session: &str) -> Result<Self, SetupError> {
        let region = base.region().map(ToString::to_string).ok_or(SetupError::NoRegion)?;
        // The SDK panics if it assumes a role without a time source. A configuration from the environment has one.
        let time = base.time_source().unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new()));
        let base = base.into_builder().time_source(time).build();
        Ok(Self { base, region, session: session.to_owned(), group_tag: group_tag.to_owned() })
    }

    /// The configuration of a role and region.
    async fn config(&self, role: &str, region: &str, external_id: Option<&str>) -> SdkConfig {
        let builder = self.base.clone().into_builder().region(Region::new(region.to_owned()));
        if role.is_empty() {
            return builder.build();
        }
        let mut assumed = AssumeRoleProvider::builder(role)
            .session_name(&self.session)
            .region(Region::new(region.to_owned()))
            .configure(&self.base);
        if let Some(external_id) = external_id {
            assumed = assumed.external_id(external_id);
        }
        builder.credentials_provider(SharedCredentialsProvider::new(assumed.build().await)).build()
    }
}

/// A configuration with this module's time-outs and without retries.
pub(crate) fn bounded(config: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(PAGE_TIMEOUT)
        .operation_timeout(PAGE_TIMEOUT)
        .build();
    let identities = IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build();
    let builder = config.clone().into_builder().retry_config(RetryConfig::disabled());
    builder.timeout_config(timeouts).identity_cache(identities).build()
}

pub(crate) fn key(config: &SdkConfig, account: &str, service: &str) -> CloudKey {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    CloudKey { account: account.to_owned(), region, service: service.to_owned() }
}

/// Sends one mutation with a permit. The permit bounds its time, and learns when it is over.
pub(crate) async fn permitted(
    permit: &dyn Permit,
    mutation: impl Future<Output = Result<(), CloudError>>,
) -> Result<(), CloudError> {
    let call = permit.begin()?;
    let sent = tokio::time::timeout(permit.call_timeout(), mutation);
    let answer = sent.await.unwrap_or_else(|_| Err(CloudError::timeout()));
    if answer.as_ref().err().is_none_or(CloudError::is_over) {
        call.replied();
    }
    answer
}
