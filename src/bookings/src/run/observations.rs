//! What was last seen of each group. Polls keep it young ([`super::poll`]).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_cloud::CloudKey;
use booking_runtime::Key;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::decide::groups::machine::Machine;

/// Groups of a routine look: some calls of 200 each.
const GROUPS_MAX: usize = 1000;
/// Whose last look is older than this part of the interval joins a look that is due anyway.
const JOINS: (u32, u32) = (3, 4);
/// A look that failed so often in a row is told to those whom it concerns.
const FAILURES: u32 = 2;

/// Which group of which cloud.
type Group = (CloudKey, String);

/// What was seen of a group.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its machines.
    pub instances: Arc<Vec<Machine>>,
    /// When they were asked for.
    pub at: Timestamp,
}

#[derive(Debug)]
struct Watched {
    seen: Seen,
    asked: Instant,
    failures: u32,
    /// Who works on it: one Resource, as a rule.
    keys: BTreeSet<Key>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Observations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: HashMap<CloudKey, HashMap<String, Watched>>,
    group_of: HashMap<Key, Group>,
}

impl State {
    fn known(&mut self, cloud: &CloudKey, tag: &str) -> Option<&mut Watched> {
        self.groups.get_mut(cloud)?.get_mut(tag)
    }

    fn leave(&mut self, key: &Key) {
        let Some((cloud, tag)) = self.group_of.remove(key) else { return };
        let Some(of_cloud) = self.groups.get_mut(&cloud) else { return };
        if let Some(known) = of_cloud.get_mut(&tag) {
            known.keys.remove(key);
            if known.keys.is_empty() {
                of_cloud.remove(&tag);
            }
        }
        if of_cloud.is_empty() {
            self.groups.remove(&cloud);
        }
    }
}

impl Observations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen of a key's group. None where looks fail: the pass finds out why.
    pub fn get(&self, key: &Key, cloud: &CloudKey, tag: &str) -> Option<Seen> {
        let mut state = self.lock();
        // A key for which the group is not kept young would never hear of it again.
        let known = state.known(cloud, tag).filter(|known| known.keys.contains(key));
        known.filter(|known| known.failures < FAILURES).map(|known| known.seen.clone())
    }

    /// A key has seen its group: it is kept young for it from now on.
    pub fn put(&self, key: &Key, (cloud, tag): (&CloudKey, &str), seen: Seen, asked: Instant) {
        let mut state = self.lock();
        let group = (cloud.clone(), tag.to_owned());
        if state.group_of.get(key) != Some(&group) {
            state.leave(key);
            state.group_of.insert(key.clone(), group);
        }
        let of_cloud = state.groups.entry(cloud.clone()).or_default();
        let known = of_cloud.entry(tag.to_owned()).or_insert_with(|| Watched {
            seen: seen.clone(),
            asked,
            failures: 0,
            keys: BTreeSet::new(),
        });
        known.keys.insert(key.clone());
        if asked >= known.asked {
            (known.seen, known.asked, known.failures) = (seen, asked, 0);
        }
    }

    /// A key has no group any more, or belongs to somebody else.
    pub fn forget(&self, key: &Key) {
        self.lock().leave(key);
    }

    /// The groups of a cloud that are due for a look, and those that may as well be looked at then.
    pub(super) fn due(&self, cloud: &CloudKey, interval: Duration) -> Vec<String> {
        let state = self.lock();
        let of_cloud = state.groups.get(cloud).into_iter().flatten();
        let mut all: Vec<(Duration, &String)> =
            of_cloud.map(|(tag, known)| (known.asked.elapsed(), tag)).collect();
        if !all.iter().any(|(age, _)| *age >= interval) {
            return Vec::new();
        }
        all.retain(|(age, _)| *age >= interval * JOINS.0 / JOINS.1);
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().take(GROUPS_MAX).map(|(_, tag)| tag.clone()).collect()
    }

    /// Takes in what a look found. Gives the keys of groups that have changed.
    pub(super) fn found(
        &self,
        cloud: &CloudKey,
        tags: &[String],
        mut found: HashMap<String, Vec<Machine>>,
        (at, asked): (Timestamp, Instant),
    ) -> Vec<Key> {
        let mut state = self.lock();
        let mut changed = Vec::new();
        for tag in tags {
            let instances = found.remove(tag).unwrap_or_default();
            let Some(known) = state.known(cloud, tag) else { continue };
            // A pass may have looked since.
            if known.asked > asked {
                continue;
            }
            if same(&known.seen.instances, &instances) {
                known.seen.at = at;
            } else {
                changed.extend(known.keys.iter().cloned());
                known.seen = Seen { instances: Arc::new(instances), at };
            }
            (known.asked, known.failures) = (asked, 0);
        }
        changed
    }

    /// A look has failed. Gives the keys of groups that have not been seen for too long.
    pub(super) fn failed(&self, cloud: &CloudKey, tags: &[String], asked: Instant) -> Vec<Key> {
        let mut state = self.lock();
        let mut blind = Vec::new();
        for tag in tags {
            let Some(known) = state.known(cloud, tag) else { continue };
            (known.asked, known.failures) = (asked, known.failures.saturating_add(1));
            if known.failures == FAILURES {
                blind.extend(known.keys.iter().cloned());
            }
        }
        blind
    }
}

/// Whether two looks saw the same, in whatever order.
fn same(a: &[Machine], b: &[Machine]) -> bool {
    let by_id = |all: &[Machine]| -> HashMap<String, Machine> {
        all.iter().map(|it| (it.id.clone(), it.clone())).collect()
    };
    a == b || (a.len() == b.len() && by_id(a) == by_id(b))
}

#[cfg(test)]
mod tests;
