//! Keeps the cache current and puts changed keys on the queue.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use booking_core::Backoff;
use futures::{StreamExt, TryStreamExt};
use kube::{Api, Client, ResourceExt, core::NamespaceResourceScope, runtime::watcher};

use super::{
    Key,
    cache::{self, Cache},
    decode::{Lean, Watched},
    queue::WorkQueue,
};

/// Failures in a row after which a watch begins with a new list: after a restore of the store the version
/// that it would go on from may never come again.
const FAILURES_BEFORE_LIST: u32 = 2;
/// How long one watch lasts: on a connection that has died without a word nothing is heard for as long.
const WATCH_SECONDS: u32 = 60;
/// Waits before a watch is tried again.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };
/// How long an error of a watch counts: longer than its longest wait before the next try.
const ERROR_COUNTS_FOR: Duration = Duration::from_secs(45);

/// How a watch stands; read by the readiness probe.
#[derive(Debug)]
pub struct WatchHealth {
    synced: tokio::sync::watch::Sender<bool>,
    last_error: Mutex<Option<Instant>>,
}

impl Default for WatchHealth {
    fn default() -> Self {
        Self { synced: tokio::sync::watch::Sender::new(false), last_error: Mutex::default() }
    }
}

impl WatchHealth {
    /// Whether a complete list has been seen once.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits for that.
    pub async fn synced(&self) {
        // The sender lives as long as this value: there is nothing to go wrong.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether it failed lately. A watch that goes on in silence does not say so: errors grow old.
    pub fn is_failing(&self) -> bool {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < ERROR_COUNTS_FOR)
    }

    fn heard(&self, error: bool) {
        let now = error.then(Instant::now);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// The API of a kind, in one namespace or in all.
pub fn api<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Watches a kind until the end of the process. Keys go on the queue only once `gate` is open: a pass
/// that ran on Resources without their Bookings would stop what is booked.
pub async fn watch<K: Watched>(
    api: Api<Lean<K>>,
    cache: Arc<Cache>,
    queue: Arc<WorkQueue>,
    health: Arc<WatchHealth>,
    gate: Arc<Gate>,
) {
    let kind = K::kind(&()).into_owned();
    let mut listed = HashSet::new();
    let begin = || watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS)).boxed();
    let mut events = begin();
    let mut failures: u32 = 0;
    let (mut list_begun_at, mut listed_until) = (0, 0);
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                health.heard(true);
                failures = failures.saturating_add(1);
                tracing::warn!(kind, %error, failures, "watch interrupted; goes on by itself");
                if failures >= FAILURES_BEFORE_LIST {
                    events = begin();
                }
                tokio::time::sleep(RETRY.wait(failures)).await;
                continue;
            }
        };
        health.heard(false);
        // A list has not succeeded before its end.
        if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
            failures = 0;
        }
        let changed = match event {
            watcher::Event::Init => {
                listed.clear();
                (list_begun_at, listed_until) = (cache.newest::<K>(), 0);
                BTreeSet::new()
            }
            watcher::Event::InitApply(Lean(object)) => {
                listed.insert((object.namespace().unwrap_or_default(), object.name_any()));
                listed_until = listed_until.max(version(&object));
                cache.saw(object)
            }
            watcher::Event::InitDone => {
                let gone = cache.keep::<K>(&listed, list_begun_at);
                cache.has_watched::<K>(listed_until);
                tracing::info!(kind, objects = listed.len(), "cache synced");
                listed = HashSet::new();
                health.synced.send_replace(true);
                gone
            }
            watcher::Event::Apply(Lean(object)) => {
                let version = version(&object);
                let changed = cache.saw(object);
                cache.has_watched::<K>(version);
                changed
            }
            watcher::Event::Delete(Lean(object)) => {
                let changed = cache.lost(&object);
                cache.has_watched::<K>(version(&object));
                changed
            }
        };
        gate.pass(changed, &queue);
    }
}

fn version(object: &impl ResourceExt) -> u64 {
    cache::number(object.meta().resource_version.as_deref())
}

/// Holds keys back until all caches are synced.
#[derive(Debug, Default)]
pub struct Gate {
    held: Mutex<Option<BTreeSet<Key>>>,
    open: AtomicBool,
}

impl Gate {
    fn pass(&self, keys: BTreeSet<Key>, queue: &WorkQueue) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.load(Ordering::Acquire) {
            for key in keys {
                queue.add(key);
            }
        } else {
            held.get_or_insert_default().extend(keys);
        }
    }

    /// Lets everything held back through, and what comes from now on.
    pub fn open(&self, queue: &WorkQueue) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.store(true, Ordering::Release);
        for key in held.take().into_iter().flatten() {
            queue.add(key);
        }
    }
}
