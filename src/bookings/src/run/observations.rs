//! The last observation of each group. Polls keep the observations young ([`super::poll`]).

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

/// The most groups in one poll: some calls of 200 groups each.
const GROUPS_MAX: usize = 1000;
/// A group whose last observation is older than this part of the interval joins a poll that is due anyway.
const JOINS: (u32, u32) = (3, 4);
/// After this many failed polls in a row, the keys of the group are told.
const FAILURES: u32 = 2;

/// A group of a cloud, by its tag.
type Group = (CloudKey, String);

/// An observation of a group.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its machines.
    pub instances: Arc<Vec<Machine>>,
    /// When the cloud was asked.
    pub at: Timestamp,
}

#[derive(Debug)]
struct WatchedGroup {
    seen: Seen,
    asked: Instant,
    failures: u32,
    /// The keys that work on the group. Normally this is one Resource.
    keys: BTreeSet<Key>,
}

/// The last observation of each group that a key works on.
#[derive(Debug, Default)]
pub struct Observations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: HashMap<CloudKey, HashMap<String, WatchedGroup>>,
    group_of: HashMap<Key, Group>,
}

impl State {
    fn known(&mut self, cloud: &CloudKey, tag: &str) -> Option<&mut WatchedGroup> {
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

    /// The last observation of a key's group. None if polls fail, so that the pass asks the cloud and finds out why.
    pub fn get(&self, key: &Key, cloud: &CloudKey, tag: &str) -> Option<Seen> {
        let mut state = self.lock();
        // If the group is not polled for this key, the key would never learn of changes.
        let known = state.known(cloud, tag).filter(|known| known.keys.contains(key));
        known.filter(|known| known.failures < FAILURES).map(|known| known.seen.clone())
    }

    /// Records that a key has observed its group. The group is polled for the key from now on.
    pub fn put(&self, key: &Key, (cloud, tag): (&CloudKey, &str), seen: Seen, asked: Instant) {
        let mut state = self.lock();
        let group = (cloud.clone(), tag.to_owned());
        if state.group_of.get(key) != Some(&group) {
            state.leave(key);
            state.group_of.insert(key.clone(), group);
        }
        let of_cloud = state.groups.entry(cloud.clone()).or_default();
        let known = of_cloud.entry(tag.to_owned()).or_insert_with(|| WatchedGroup {
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

    /// Forgets a key that has no group any more, or whose slot another replica owns now.
    pub fn forget(&self, key: &Key) {
        self.lock().leave(key);
    }

    /// The groups of a cloud that are due for a poll, and those that may join it.
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

    /// Records what a poll found. Returns the keys of the groups that have changed.
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
            // A pass may have observed the group since.
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

    /// Records that a poll failed. Returns the keys of groups that have not been observed for too long.
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

/// Whether two observations have the same machines, in any order.
fn same(a: &[Machine], b: &[Machine]) -> bool {
    let by_id = |all: &[Machine]| -> HashMap<String, Machine> {
        all.iter().map(|it| (it.id.clone(), it.clone())).collect()
    };
    a == b || (a.len() == b.len() && by_id(a) == by_id(b))
}

#[cfg(test)]
mod tests;
