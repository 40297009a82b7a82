//! Which keys this process works on, and leave to do so.
//!
//! The ring says which slots are owned. A slot that comes here was somebody else's until now: what the
//! watches show may be older than what the last owner wrote, and a grant that is missed could be given away
//! twice. So the cache is brought up to the present first ([`CatchUp`]); then the slot is opened, and only then its keys are
//! worked on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use booking_decision::permit::{Permit, PermitLapsed, RunningCall, Unlimited};
use booking_ring::{
    kubernetes::{CallGuard, Change, Changes, RingHandle},
    permit::SlotPermit,
    slot::Slot,
};
use bookings::api::{Booking, BookingScheduler, Resource, ResourceMonitor};
use kube::Client;
use tokio::sync::watch;

use super::{
    Key,
    cache::Cache,
    catch_up::{CatchUp, LIST_MAX},
    list::ReadError,
    queue::WorkQueue,
};
use crate::original::Original;

/// Which keys are this process's.
pub trait Ownership: Send + Sync {
    /// Leave to work on a key as it is owned now; none if it is not.
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>>;

    /// Whether what happens to a key may be this process's to act on, now or before all keys of its slot are looked at anyway.
    fn concerns(&self, key: &Key) -> bool;
}

/// All keys: of a process that shares its work with nobody, in tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

impl Ownership for Everything {
    fn permit(&self, _: &Key) -> Option<Arc<dyn Permit>> {
        Some(Arc::new(Unlimited))
    }

    fn concerns(&self, _: &Key) -> bool {
        true
    }
}

/// What another one owns, but nothing while the original operator may be at work.
pub struct Unless {
    /// Which keys are this process's otherwise.
    pub within: Arc<dyn Ownership>,
    /// Whether it is.
    pub original: watch::Receiver<Original>,
}

impl Ownership for Unless {
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>> {
        let absent = *self.original.borrow() == Original::Absent;
        absent.then(|| self.within.permit(key))?
    }

    fn concerns(&self, key: &Key) -> bool {
        self.within.concerns(key)
    }
}

/// The keys of the slots that the ring gives to this process, once they are opened.
#[derive(Debug)]
pub struct Shards {
    ring: RingHandle,
    /// Longest time of a call, by the ring's own.
    call_timeout: Duration,
    /// The slots that were read for, and the permit that each was read under: one that came back since is
    /// not open.
    open: Mutex<BTreeMap<Slot, SlotPermit>>,
}

impl Shards {
    /// Nothing is open at first. `call_timeout` is the ring's own.
    pub fn new(ring: RingHandle, call_timeout: Duration) -> Self {
        Self { ring, call_timeout, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Slot, SlotPermit>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: &Key) -> Option<Slot> {
        self.ring.slot_of(&key.namespace, &key.name)
    }
}

impl Ownership for Shards {
    fn permit(&self, key: &Key) -> Option<Arc<dyn Permit>> {
        let slot = self.slot(key)?;
        let permit = self.open().get(&slot).copied().filter(|permit| self.ring.holds(*permit))?;
        Some(Arc::new(RingPermit { ring: self.ring.clone(), permit, call_timeout: self.call_timeout }))
    }

    fn concerns(&self, key: &Key) -> bool {
        self.slot(key).is_some_and(|slot| self.open().contains_key(&slot))
    }
}

/// Leave to work on a slot as it was owned when the work began.
#[derive(Debug)]
struct RingPermit {
    ring: RingHandle,
    permit: SlotPermit,
    call_timeout: Duration,
}

impl Permit for RingPermit {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        let call = self.ring.begin(self.permit).map_err(|_| PermitLapsed)?;
        Ok(Box::new(RingCall(call)))
    }

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }
}

struct RingCall(CallGuard);

impl RunningCall for RingCall {
    fn replied(self: Box<Self>) {
        self.0.replied();
    }
}

/// Opens the slots that come, closes those that go.
pub struct Opener {
    /// What is opened.
    pub shards: Arc<Shards>,
    /// To read with.
    pub client: Client,
    /// The namespace to work in; none means all.
    pub namespace: Option<String>,
    /// Where what is read goes.
    pub cache: Arc<Cache>,
    /// Where the keys of opened slots go.
    pub queue: Arc<WorkQueue>,
}

/// Waits after a read that failed.
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
            // What comes while this is read for is read for next.
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
        let mut open = self.shards.open();
        for slot in &change.lost {
            coming.remove(slot);
            open.remove(slot);
        }
        // What is lost again already will be told of again.
        let gained = change.gained.into_iter();
        coming.extend(gained.filter_map(|slot| Some((slot, self.shards.ring.permit(slot)?))));
        drop(open);
        // Their next passes find that they are not ours, and forget what was remembered of them.
        if !change.lost.is_empty() {
            let mut keys = self.cache.keys();
            keys.retain(|key| self.shards.slot(key).is_some_and(|slot| change.lost.contains(&slot)));
            for key in keys {
                self.queue.add(key);
            }
        }
    }

    fn open(&self, slots: BTreeMap<Slot, SlotPermit>) {
        let opened: BTreeSet<Slot> = slots.keys().copied().collect();
        // First opened, then looked for keys: one that comes in between is put on the queue by its watch.
        self.shards.open().extend(slots);
        let mut due = self.cache.keys();
        due.retain(|key| self.shards.slot(key).is_some_and(|slot| opened.contains(&slot)));
        let count = opened.len();
        tracing::info!(slots = count, keys = due.len(), "slots opened");
        for key in due {
            self.queue.add(key);
        }
    }

    /// Reads everything as it stands now.
    async fn read(&self) -> Result<(), ReadError> {
        let namespace = self.namespace.as_deref();
        let (cache, queue) = (&self.cache, &self.queue);
        let up = CatchUp { client: &self.client, namespace, cache, queue, list_max: LIST_MAX };
        tokio::try_join!(
            up.kind::<Resource>(),
            up.kind::<BookingScheduler>(),
            up.kind::<ResourceMonitor>(),
            up.kind::<Booking>(),
        )?;
        Ok(())
    }
}

fn retries() -> impl Iterator<Item = Duration> {
    let waits = ExponentialBuilder::default().with_min_delay(READ_RETRY.0).with_max_delay(READ_RETRY.1);
    waits.with_jitter().without_max_times().build()
}
