//! Credentials that are missing, fail to load, or never come.

use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use booking_cloud::{CloudError, Ec2, ErrorClass, Mutation, Provider};
use booking_decision::permit::Unlimited;

use super::cloud::{Cloud, GROUP, GROUP_TAG, only_error};
use crate::common;

const ID: &str = "i-0123456789abcdef0";

/// A provider of credentials that fails with this error. None: it never answers.
#[derive(Debug)]
struct Provides(Outcome);

type Outcome = fn() -> Option<CredentialsError>;

impl ProvideCredentials for Provides {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.0() {
            Some(error) => future::ProvideCredentials::ready(Err(error)),
            None => future::ProvideCredentials::new(std::future::pending()),
        }
    }
}

fn ec2(cloud: &Cloud, error: Outcome) -> Ec2 {
    let config = common::config(&cloud.simulator.url()).into_builder();
    let config = config.credentials_provider(SharedCredentialsProvider::new(Provides(error))).build();
    Ec2::new(&config, "", GROUP_TAG)
}

#[tokio::test]
async fn missing_and_failing_credentials_are_told_as_such_and_nothing_is_sent() {
    let table: [(Outcome, &str); 3] = [
        (
            || Some(CredentialsError::not_loaded("no providers in chain provided credentials")),
            "the credential provider was not enabled: no providers in chain provided credentials",
        ),
        (
            || Some(CredentialsError::invalid_configuration("no profile named x")),
            "the credentials provider was not properly configured: no profile named x",
        ),
        (
            || {
                Some(CredentialsError::provider_error(
                    "AccessDenied, request 0d2c1bf4-5e0c-4d6e-9d9c-6a8f3a1c2b3d",
                ))
            },
            "an error occurred while loading credentials: AccessDenied, request …",
        ),
    ];
    for (error, message) in table {
        // given a provider of credentials that fails
        let cloud = Cloud::start().await;
        let ec2 = ec2(&cloud, error);
        // when something is asked for
        let errors = [
            ec2.describe(&[GROUP.to_owned()]).await.unwrap_err(),
            only_error(ec2.mutate(&Unlimited, &Mutation::Start, &[ID.to_owned()]).await),
        ];
        // then the error says what to do, and nothing is sent to EC2
        for found in errors {
            assert_eq!((found.class, found.code.as_str()), (ErrorClass::Configuration, "CredentialsFailed"));
            assert_eq!(found.message, message);
        }
        assert!(cloud.calls().is_empty());
    }
}

#[tokio::test]
async fn a_configuration_without_any_provider_of_credentials_sends_nothing() {
    // given a configuration without a provider of credentials
    let cloud = Cloud::start().await;
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new(common::REGION))
        .endpoint_url(cloud.simulator.url())
        .build();
    let ec2 = Ec2::new(&config, "", GROUP_TAG);
    // when machines are described
    let found = ec2.describe(&[GROUP.to_owned()]).await.unwrap_err();
    // then that fails
    assert!(cloud.calls().is_empty(), "{found}");
}

#[tokio::test]
async fn credentials_that_never_come_end_each_call_in_its_time() {
    // given a provider of credentials that hangs
    let cloud = Cloud::start().await;
    let ec2 = ec2(&cloud, || None);
    // when a machine is started and others are described
    let ids = [ID.to_owned()];
    let groups = [GROUP.to_owned()];
    let (started, described) =
        tokio::join!(ec2.mutate(&Unlimited, &Mutation::Start, &ids), ec2.describe(&groups));
    // then both end, and the describe says why: before its page's time is over, which is another error; EC2 was not
    // even asked
    assert_eq!(only_error(started), CloudError::timeout());
    let found = described.unwrap_err();
    assert_eq!(found.class, ErrorClass::Transient);
    assert_eq!(found.to_string(), "ConnectionFailed: identity resolver timed out after …s");
    assert!(cloud.calls().is_empty());
}
