//! Replicas share an account's budget of calls by what each of them waits for.
//!
//! Each tells its demand with its Lease renewals, in a payload that means nothing to the ring. Where nobody waits for
//! anything, all have the same part: what falls due then is sent at once. Parts of a moment may add up to a little more
//! or less than the whole, since renewals take a while to be seen: throttling corrects that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use booking_cloud::{CloudKey, Dispatcher, budget::{Action, share::part}};
use booking_ring::kubernetes::RingHandle;
use serde::{Deserialize, Serialize};

use crate::clouds::OpenClouds;

/// Time between two looks at what others wait for: less than between their renewals.
const ROUND: Duration = Duration::from_secs(1);
/// Budgets that a payload tells of at most, the largest demands first: it stands in an annotation.
const TOLD_MAX: usize = 50;

/// What a replica waits for: by cloud and action, machines or calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Demand {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    demand: BTreeMap<String, u64>,
}

impl Demand {
    fn of(&self, name: &str) -> u64 {
        self.demand.get(name).copied().unwrap_or_default()
    }

    /// What cannot be read, of another release for example, waits for nothing.
    fn read(payload: &str) -> Self {
        serde_json::from_str(payload).unwrap_or_default()
    }
}

/// Shares budgets, for as long as the process takes part in the ring.
pub async fn share(clouds: Arc<OpenClouds>, ring: RingHandle) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        rounds.tick().await;
        let open = clouds.all().await;
        let own = demand(&open);
        let others: Vec<Demand> = ring.payloads().values().map(|payload| Demand::read(payload)).collect();
        for cloud in &open {
            for action in Action::ALL {
                let name = name(cloud.key(), action);
                let others: Vec<u64> = others.iter().map(|demand| demand.of(&name)).collect();
                cloud.set_share(action, part(own.of(&name), &others));
            }
        }
        if told.as_ref() != Some(&own) {
            ring.set_payload(serde_json::to_string(&own).unwrap_or_default());
            told = Some(own);
        }
    }
}

fn demand(open: &[Arc<Dispatcher>]) -> Demand {
    let mut all: Vec<(u64, String)> = Vec::new();
    for cloud in open {
        for action in Action::ALL {
            let waiting = u64::try_from(cloud.demand(action)).unwrap_or(u64::MAX);
            if waiting > 0 {
                all.push((waiting, name(cloud.key(), action)));
            }
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    Demand { demand: all.into_iter().take(TOLD_MAX).map(|(waiting, name)| (name, waiting)).collect() }
}

/// A budget's name, the same to all replicas.
fn name(CloudKey { account, region, service }: &CloudKey, action: Action) -> String {
    format!("{account} {region} {service} {}", action.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(machines: u64) -> Demand {
        let name = " here-1 ec2 start".to_owned();
        Demand { demand: if machines > 0 { BTreeMap::from([(name, machines)]) } else { BTreeMap::new() } }
    }

    #[test]
    fn a_payload_is_read_back_and_one_that_cannot_be_read_waits_for_nothing() {
        let text = serde_json::to_string(&waits(7)).unwrap();
        assert_eq!(Demand::read(&text), waits(7));
        for text in ["", "{}", "[]", "nonsense", r#"{"demand":{"x":-1}}"#, r#"{"other":1}"#] {
            assert_eq!(Demand::read(text), waits(0), "{text}");
        }
    }
}
