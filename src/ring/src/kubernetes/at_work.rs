//! A dry run must not begin beside workers. This module finds out whether there are any.

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

/// The time between two lists.
const INTERVAL: Duration = Duration::from_secs(1);
/// If it is not known after this time whether an owner is alive, the owner counts as a worker.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// It is not possible to find out.
#[derive(Debug, thiserror::Error)]
#[error("Leases of replicas cannot be listed: {0}")]
pub struct AtWorkError(#[from] ListError);

/// A worker that does the work of this dry run, if there is one. It may be a member of `ring` or of another ring. The
/// function waits until each Lease has changed, or has been unchanged for its duration. If there are no Leases, it does
/// not wait.
///
/// # Errors
/// If the Leases cannot be listed.
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

/// Gives a member of release 0.1.0 in the ring of that name the scope of this process, because it belongs to the same
/// installation.
fn assume_scope(member: &mut Neighbour, ring: &RingName, own: &Claim) {
    if member.ring == *ring && member.lease.value.claim.is_none() {
        let claim = Claim { scope: own.scope.clone(), ..member.claim() };
        let lease = &mut member.lease.value;
        *lease = MemberLease { claim: Some(claim.into()), ..(**lease).clone() }.into();
    }
}
