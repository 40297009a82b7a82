//! Whether workers are there beside whom a dry run must not begin.

use std::time::Duration;

use kube::Client;

use super::{
    clocks,
    neighbours::{AllMembers, ListError},
};
use crate::{
    claim::{Claim, Neighbour, RingName},
    neighbours::{Claimant, Neighbours, Stage},
    record::MemberLease,
    timing::Timing,
};

/// Time between two lists.
const INTERVAL: Duration = Duration::from_secs(1);
/// A Lease counts as one of a worker if it is not known after this time whether its owner is alive.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// It cannot be found out.
#[derive(Debug, thiserror::Error)]
#[error("Leases of replicas cannot be listed: {0}")]
pub struct AtWorkError(#[from] ListError);

/// A worker of `ring` or of another one that works on what a dry run would, if there is one. Waits until each Lease
/// has been seen to change, or unchanged for its duration; not at all if there are none.
///
/// # Errors
/// When the Leases cannot be listed.
pub async fn at_work(
    client: Client,
    ring: &RingName,
    claim: Claim,
    timing: &Timing,
) -> Result<Option<String>, AtWorkError> {
    let members = AllMembers::new(client, &ring.namespace);
    let own = Claimant { ring: ring.of_dry_run(), claim: Claim { dry_run: true, ..claim } };
    let mut neighbours = Neighbours::default();
    let began = clocks::now();
    loop {
        let (mut listed, _) = members.list().await?;
        for member in &mut listed {
            assume_scope(member, ring, &own.claim);
        }
        let now = clocks::now();
        neighbours.take_in(&own, listed, timing.lease(), now.mono);
        let (mut alive, waits) = (neighbours.in_the_way(&own, Stage::Outside), now.since(began) < WAIT_MAX);
        let Some(first) = alive.next() else {
            return Ok(None);
        };
        let renews = [first].into_iter().chain(alive).find(|seen| seen.renewed());
        if let Some(worker) = renews.or((!waits).then_some(first)) {
            return Ok(Some(own.text(worker)));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A member of release 0.1.0 in the ring of that name is of the same installation, and works for the same namespaces.
fn assume_scope(member: &mut Neighbour, ring: &RingName, own: &Claim) {
    if member.ring == *ring && member.lease.value.claim.is_none() {
        let claim = Claim { scope: own.scope.clone(), ..member.claim() };
        let lease = &mut member.lease.value;
        *lease = MemberLease { claim: Some(claim.into()), ..(**lease).clone() }.into();
    }
}
