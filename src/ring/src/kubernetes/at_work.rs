//! Whether replicas are at work in a ring, for somebody who is no member: a hint for people, by wall clocks.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::convert::lease::{self, LABEL_RING, LABEL_ROLE, ROLE_MEMBER};

/// A Lease that nobody renewed for so long is nobody's: the longest that one may be configured for is an
/// hour, the usual one is 15 s.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// A replica that is at work in a ring, if there is any.
///
/// # Errors
/// When the Leases cannot be listed.
pub async fn at_work(client: Client, namespace: &str, ring: &str) -> Result<Option<String>, kube::Error> {
    let labels = format!("{LABEL_RING}={ring},{LABEL_ROLE}={ROLE_MEMBER}");
    let leases = Api::<Lease>::namespaced(client, namespace);
    let leases = leases.list(&ListParams::default().labels(&labels)).await?;
    let now = Timestamp::now();
    Ok(leases.into_iter().find(|lease| works(lease, now)).map(|lease| lease.name_any()))
}

fn works(lease: &Lease, now: Timestamp) -> bool {
    let over = lease::member(lease).is_ok_and(|lease| lease.value.standing.is_over());
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    !over && renewed.is_some_and(|renewed| now.duration_since(renewed.0).unsigned_abs() < FORGOTTEN)
}
