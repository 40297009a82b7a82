//! Replicas share an account's token buckets according to each replica's demand.
//!
//! Each replica reports its demand with its Lease renewals, in a payload that the ring does not interpret. If nobody
//! waits for anything, all replicas have the same share, so that a call that becomes due is sent at once. The shares
//! at one moment may add up to slightly more or less than the whole, because other replicas see a renewal with some
//! delay. Throttling corrects that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use booking_budget::{Action, plenty, share::part};
use booking_cloud::{CloudKey, Dispatcher};
use serde::{Deserialize, Serialize};

use super::clouds::OpenClouds;

/// The time between two readings of the others' reports. It is shorter than the time between their renewals.
const ROUND: Duration = Duration::from_secs(1);
/// The most budgets in one payload, the largest demands first. The payload is stored in an annotation.
const TOLD_MAX: usize = 50;

/// The state of a replica's shares, by cloud and action. A share that is full and without demand is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct BudgetReport {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    budgets: BTreeMap<String, Part>,
}

/// The state of one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Part {
    /// Machines or calls that wait now, or will wait in a moment.
    demand: u64,
    /// How full it is, in percent.
    fill: u8,
}

/// No demand, and full.
const AT_REST: Part = Part { demand: 0, fill: 100 };

impl BudgetReport {
    fn of(&self, name: &str) -> Part {
        self.budgets.get(name).copied().unwrap_or(AT_REST)
    }

    /// Reads a payload. If it cannot be read, for example because another release wrote it, all shares are at rest.
    fn read(payload: &str) -> Self {
        serde_json::from_str(payload).unwrap_or_default()
    }
}

/// The payloads that replicas exchange with their Lease renewals.
pub trait Payloads: Send + Sync + 'static {
    /// The last payload of each other replica.
    fn of_others(&self) -> Vec<String>;

    /// Sets the payload of this replica's next renewals: a few kilobytes at most.
    fn set_own(&self, payload: String);
}

/// Shares the budgets for as long as the process takes part in the ring.
pub async fn share(clouds: Arc<OpenClouds>, ring: impl Payloads) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        rounds.tick().await;
        let open = clouds.all().await;
        let own = standing(&open);
        let others: Vec<BudgetReport> =
            ring.of_others().iter().map(|payload| BudgetReport::read(payload)).collect();
        clouds.set_even(part(0, &vec![0; others.len()], 0.0));
        for cloud in &open {
            for action in Action::ALL {
                let name = name(cloud.key(), action);
                let parts: Vec<Part> = others.iter().map(|told| told.of(&name)).collect();
                let demands: Vec<u64> = parts.iter().map(|part| part.demand).collect();
                // The others' reports are some seconds old. If this replica has spent its share since, the others
                // have too.
                let fill = fill(&parts).min(f64::from(own.of(&name).fill) / 100.0);
                let plenty = plenty(&cloud.key().service, action, fill);
                cloud.set_share(action, part(own.of(&name).demand, &demands, plenty), fill);
            }
        }
        if told.as_ref() != Some(&own) {
            ring.set_own(serde_json::to_string(&own).unwrap_or_default());
            told = Some(own);
        }
    }
}

fn standing(open: &[Arc<Dispatcher>]) -> BudgetReport {
    let mut all: Vec<(Part, String)> = Vec::new();
    for cloud in open {
        for action in Action::ALL {
            let standing = cloud.standing(action);
            let demand = u64::try_from(standing.demand).unwrap_or(u64::MAX);
            let part = Part { demand, fill: percent(standing.fill) };
            if part != AT_REST {
                all.push((part, name(cloud.key(), action)));
            }
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    BudgetReport { budgets: all.into_iter().take(TOLD_MAX).map(|(part, name)| (name, part)).collect() }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
fn percent(part: f64) -> u8 {
    (part.clamp(0.0, 1.0) * 100.0).floor() as u8
}

/// The average fill of the others' shares, from 0 to 1. It is 1 if there are no others.
fn fill(parts: &[Part]) -> f64 {
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let sum: f64 = parts.iter().map(|part| f64::from(part.fill) / 100.0).sum();
    if count == 0 { 1.0 } else { sum / f64::from(count) }
}

/// The name of a budget, which is the same in all replicas.
fn name(CloudKey { account, region, service }: &CloudKey, action: Action) -> String {
    format!("{account} {region} {service} {}", action.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_back_and_one_that_cannot_be_read_is_at_rest() {
        let part = Part { demand: 7, fill: 30 };
        let told = BudgetReport { budgets: BTreeMap::from([(" here-1 ec2 start".to_owned(), part)]) };
        assert_eq!(BudgetReport::read(&serde_json::to_string(&told).unwrap()), told);
        for text in ["", "{}", "[]", "nonsense", r#"{"budgets":{"x":{"demand":-1}}}"#, r#"{"other":1}"#] {
            assert_eq!(BudgetReport::read(text), BudgetReport::default(), "{text}");
        }
        assert_eq!(BudgetReport::default().of("x"), AT_REST);
    }

    #[test]
    fn what_others_have_left_is_told_in_percent() {
        assert_eq!([-0.1, 0.0, 0.999, 1.0, 2.0].map(percent), [0, 0, 99, 100, 100]);
        let with = |fill| Part { demand: 0, fill };
        assert!((fill(&[]) - 1.0).abs() < 1e-9);
        assert!((fill(&[with(100), with(50), with(0)]) - 0.5).abs() < 1e-9);
    }
}
