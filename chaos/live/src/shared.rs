//! The faults that hit every ring of an API server at once.

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
/// A restore is promised to be safe only if the API server was away for L; this is that and a bit.
const AWAY: Duration = LEASE.saturating_add(Duration::from_secs(2));
/// After an outage: renewals and watches begin again, at intervals that grew meanwhile.
const RECOVERY: Duration = Duration::from_secs(10);
/// After a restore: new incarnations must seal what the restored state says, L, and share it out.
const REBIRTH: Duration = Duration::from_secs(40);
/// How long the first call after it is waited for.
const FIRST_LIMIT: Duration = Duration::from_mins(1);

/// Brings a fault about and sees its end in every ring. The times are from the API server's return to the
/// first call that changes something.
///
/// # Errors
/// Rings do not settle, nobody works, or the API server does not come back.
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

/// Gives when the API server went and when it was back.
async fn strike(site: &Site, rings: &[Ring], kind: Kind) -> Result<(At, At), Failure> {
    let control_plane = &site.control_plane;
    if kind == Kind::EtcdRestore {
        // What is booked meanwhile would never have been.
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
