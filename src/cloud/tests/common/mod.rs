//! What both test programs share: a provider for any endpoint.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use booking_cloud::Ec2;

/// The region of the test machines: the simulator gives it to instances that are added without one.
pub const REGION: &str = "eu-central-1";

/// A configuration that takes nothing from the environment, with credentials that any stand-in for EC2
/// takes.
pub fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIDTEST", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// EC2 at this endpoint.
pub fn ec2(url: &str, group_tag: &str) -> Ec2 {
    Ec2::new(&config(url), "", group_tag)
}
