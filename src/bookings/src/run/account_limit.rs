//! Limits how many passes work on one account at once. If an account does not answer, its keys wait for a slot, and
//! the keys of other accounts go on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_cloud::CloudKey;
use booking_runtime::{Key, queue::WorkQueue};

/// A key that waits for a slot asks again by itself after this time.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The account slots of all accounts. Clones share them.
#[derive(Clone)]
pub struct AccountLimits(Arc<Inner>);

struct Inner {
    /// By the role of the account.
    accounts: Mutex<HashMap<String, Account>>,
    slots: usize,
    queue: Arc<WorkQueue>,
}

#[derive(Debug, Default)]
struct Account {
    taken: usize,
    waiting: VecDeque<Key>,
    waits: HashSet<Key>,
}

/// A slot of an account. It is free again when this is dropped.
pub struct AccountSlot {
    limits: Arc<Inner>,
    account: String,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccountSlot {
    fn drop(&mut self) {
        let mut accounts = self.limits.lock();
        let Some(account) = accounts.get_mut(&self.account) else { return };
        account.taken -= 1;
        while let Some(next) = account.waiting.pop_front() {
            if account.waits.remove(&next) {
                self.limits.queue.add(next);
                break;
            }
        }
    }
}

impl AccountLimits {
    /// Gives each account `slots` slots. Keys that wait for one come back to `queue`.
    pub fn new(slots: usize, queue: Arc<WorkQueue>) -> Self {
        Self(Arc::new(Inner { accounts: Mutex::default(), slots, queue }))
    }

    /// Takes a slot for a pass over `key`. If there is none, the key is due again when one is free. By then the key
    /// may not need the slot, so other keys do not rely on that alone: see [`LONGEST_WAIT`].
    pub fn take(&self, cloud: &CloudKey, key: &Key) -> Option<AccountSlot> {
        let mut accounts = self.0.lock();
        let account = accounts.entry(cloud.account.clone()).or_default();
        if account.taken >= self.0.slots {
            if account.waits.insert(key.clone()) {
                account.waiting.push_back(key.clone());
            }
            return None;
        }
        // The key may have asked again by itself before its turn.
        account.waits.remove(key);
        account.taken += 1;
        Some(AccountSlot { limits: self.0.clone(), account: cloud.account.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(account: &str) -> CloudKey {
        CloudKey { account: account.into(), region: "here-1".into(), service: "ec2".into() }
    }

    fn key(name: &str) -> Key {
        Key::new("resource", "n", name)
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_without_a_slot_keeps_its_own_keys_waiting_and_no_others() {
        // given two slots per account, both taken at one account
        let queue = Arc::new(WorkQueue::default());
        let limits = AccountLimits::new(2, queue.clone());
        let (bad, good) = (cloud("bad"), cloud("good"));
        let first = limits.take(&bad, &key("a")).unwrap();
        let _second = limits.take(&bad, &key("b")).unwrap();
        // when other keys come, then those of that account wait
        assert!(limits.take(&bad, &key("c")).is_none());
        assert!(limits.take(&bad, &key("c")).is_none());
        assert!(limits.take(&good, &key("d")).is_some());
        assert_eq!(queue.depth(), 0);
        // when a slot is free, then the first of them is due, once
        drop(first);
        assert_eq!(queue.next().await, key("c"));
        let none = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(none.await.is_err());
        assert!(limits.take(&bad, &key("c")).is_some());
    }
}
