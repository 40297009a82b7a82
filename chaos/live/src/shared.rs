//! The faults that hit every ring of an API server at the same time.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::time::sleep;

use crate::{
    clock::At,
    kinds::{Kind, LEASE},
    ring::Ring,
    scenario::Sample,
    site::{Failure, Site},
};

const OUTAGE: Duration = Duration::from_mins(1);
/// A restore is safe only if the API server was away for L. This is a little longer.
const AWAY: Duration = LEASE.saturating_add(Duration::from_secs(2));
/// How long after an outage lateness is explained. Renewals and watches begin again, at intervals that grew meanwhile.
const RECOVERY: Duration = Duration::from_secs(10);
/// How long after a restore lateness is explained. New incarnations must seal the members of the restored state, which
/// takes L, and share out the slots.
const REBIRTH: Duration = Duration::from_secs(40);
/// How long to wait for the first call afterwards.
const FIRST_LIMIT: Duration = Duration::from_mins(1);

/// Causes a fault and waits for its end in every ring. The times count from the API server's return to the first call
/// that changes something.
///
/// # Errors
/// If rings do not settle, nobody works, or the API server does not come back.
pub(crate) async fn run(site: &Site, rings: &mut [Ring], kind: Kind) -> Result<Vec<Sample>, Failure> {
    try_join_all(rings.iter().map(Ring::settle)).await?;
    let phase = rings.first_mut().map_or(0, |ring| ring.random.u64(0..3_000));
    sleep(Duration::from_millis(phase)).await;
    let (from, ready) = strike(site, rings, kind).await?;
    let recovery = if kind == Kind::EtcdRestore { REBIRTH } else { RECOVERY };
    for ring in rings.iter_mut() {
        ring.note(kind, from, ready.plus(recovery), None);
    }
    let firsts = join_all(rings.iter().map(|ring| ring.first_change(ready, FIRST_LIMIT))).await;
    try_join_all(rings.iter().map(Ring::settle)).await?;
    let count = rings.len();
    let sample = |first: Option<At>| {
        let first = first.ok_or("nobody works after it")?;
        Ok(Sample { kind, failovers: vec![first.since(ready)], rings: count, moves: None })
    };
    firsts.into_iter().map(sample).collect()
}

/// Returns when the API server went away and when it was back.
async fn strike(site: &Site, rings: &[Ring], kind: Kind) -> Result<(At, At), Failure> {
    let control_plane = &site.control_plane;
    if kind == Kind::EtcdRestore {
        // The restore would remove bookings that are created meanwhile.
        for ring in rings {
            ring.load.pause();
        }
        sleep(Duration::from_secs(2)).await;
        let snapshot = control_plane.snapshot().await?;
        sleep(Duration::from_secs(8)).await;
        let from = At::now();
        control_plane.restore(&snapshot, AWAY).await?;
        for ring in rings {
            ring.load.resume();
        }
        return Ok((from, At::now()));
    }
    let from = At::now();
    control_plane.kill_api_server().await?;
    if kind == Kind::ApiOutage {
        sleep(OUTAGE).await;
    }
    control_plane.start_api_server().await?;
    Ok((from, At::now()))
}
