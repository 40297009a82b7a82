//! Opens slots that are gained, closes slots that are lost.
//!
//! Before a slot is gained, another replica owned it. This replica's watches may be behind the last owner's writes,
//! and if a grant is missed, the window could be granted twice. So all tables catch up first ([`CatchUp`]). After
//! that the slot is opened, and passes work on its keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use booking_ring::{
    kubernetes::{Change, Changes},
    permit::SlotPermit,
    slot::Slot,
};
use kube::Client;

use super::RingOwnership;
use crate::{
    Key,
    queue::WorkQueue,
    watch::{
        KeyGate, ReadError, WatchedKind,
        catch_up::{CatchUp, LIST_MAX},
    },
};

/// A kind that is watched now.
pub struct WatchedTable {
    /// The kind.
    pub kind: Arc<dyn WatchedKind>,
    /// The gate of its family.
    pub gate: Arc<KeyGate>,
    /// Whether a user's object names it. Then it may not be served, or not be readable.
    pub is_runtime: bool,
}

/// The kinds of all families that have started.
pub trait Kinds: Send + Sync {
    /// The kinds that are watched now. All of them catch up.
    fn watched(&self) -> Vec<WatchedTable>;

    /// The keys of all families whose kinds are all synced.
    fn keys(&self) -> Vec<Key>;
}

/// The task that opens and closes slots.
pub struct Opener {
    /// Where the slots are opened.
    pub ownership: Arc<RingOwnership>,
    /// The client for reading.
    pub client: Client,
    /// The namespace to work in. None means all.
    pub namespace: Option<String>,
    /// The kinds to read.
    pub kinds: Arc<dyn Kinds>,
    /// The queue for the keys of opened slots.
    pub queue: Arc<WorkQueue>,
}

/// The shortest and the longest wait after a failed read.
const READ_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Opener {
    /// Follows the ring until this process has left it.
    pub async fn run(self, mut changes: Changes) {
        let mut coming = BTreeMap::new();
        loop {
            if coming.is_empty() {
                let Some(change) = changes.next().await else { return };
                self.take_in(change, &mut coming);
                continue;
            }
            // Slots that are gained during a read need another read after it.
            let mut due = std::mem::take(&mut coming);
            let mut read = std::pin::pin!(self.read_until_done());
            loop {
                tokio::select! {
                    biased;
                    change = changes.next() => {
                        let Some(change) = change else { return };
                        due.retain(|slot, _| !change.lost.contains(slot));
                        self.take_in(change, &mut coming);
                    }
                    () = &mut read => break,
                }
            }
            self.open(due);
        }
    }

    async fn read_until_done(&self) {
        let mut waits = retries();
        while let Err(error) = self.read().await {
            tracing::warn!(%error, "slots that came wait for a read");
            tokio::time::sleep(waits.next().unwrap_or(READ_RETRY.1)).await;
        }
    }

    fn take_in(&self, change: Change, coming: &mut BTreeMap<Slot, SlotPermit>) {
        let mut open = self.ownership.open();
        for slot in &change.lost {
            coming.remove(slot);
            open.remove(slot);
        }
        // If the slot is already lost again, another change will report that.
        let gained = change.gained.into_iter();
        coming.extend(gained.filter_map(|slot| Some((slot, self.ownership.ring().permit(slot)?))));
        drop(open);
        // The next passes of its keys find that this replica does not own them, and forget their memory.
        if !change.lost.is_empty() {
            self.queue.add_all(self.keys_in(|slot| change.lost.contains(slot)));
        }
    }

    fn open(&self, slots: BTreeMap<Slot, SlotPermit>) {
        let opened: BTreeSet<Slot> = slots.keys().copied().collect();
        // The slots are opened first, and then the keys are collected. If a key is added in between, its watch puts
        // it on the queue.
        self.ownership.open().extend(slots);
        let due = self.keys_in(|slot| opened.contains(slot));
        tracing::info!(slots = opened.len(), keys = due.len(), "slots opened");
        self.queue.add_all(due);
    }

    fn keys_in(&self, is_in: impl Fn(&Slot) -> bool) -> Vec<Key> {
        let mut keys = self.kinds.keys();
        keys.retain(|key| self.ownership.slot(key).is_some_and(|slot| is_in(&slot)));
        keys
    }

    /// Lets all tables catch up.
    async fn read(&self) -> Result<(), ReadError> {
        let kinds = self.kinds.watched();
        futures::future::try_join_all(kinds.iter().map(|watched| self.catch_up(watched))).await.map(drop)
    }

    async fn catch_up(
        &self,
        WatchedTable { kind, gate, is_runtime }: &WatchedTable,
    ) -> Result<(), ReadError> {
        let (client, namespace) = (&self.client, self.namespace.as_deref());
        match kind.catch_up(CatchUp { client, namespace, gate, list_max: LIST_MAX }).await {
            Ok(_) => Ok(()),
            // Its health says so to passes that need it. It must not hold up all others.
            Err(error) if *is_runtime && !kind.health().is_current() => {
                tracing::warn!(kind = kind.plural(), %error, "a kind of run time cannot be read");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn retries() -> impl Iterator<Item = Duration> {
    let waits = ExponentialBuilder::default().with_min_delay(READ_RETRY.0).with_max_delay(READ_RETRY.1);
    waits.with_jitter().without_max_times().build()
}
