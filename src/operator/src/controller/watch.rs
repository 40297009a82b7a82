//! Keeps the cache current and puts changed keys on the queue.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use booking_decision::Backoff;
use futures::TryStreamExt;
use kube::{
    Api, Client,
    api::WatchParams,
    core::{NamespaceResourceScope, Status, WatchEvent},
};

use super::{
    Key,
    cache::{self, Cache},
    decode::{Lean, Watched},
    list::{self, PAGE_TIMEOUT, ReadError},
    ownership::Ownership,
    queue::WorkQueue,
};

/// Failures in a row after which a watch begins with a new list: after a restore of the store the version
/// that it would go on from may never come again.
const FAILURES_BEFORE_LIST: u32 = 2;
/// How long one watch lasts.
const WATCH_SECONDS: u32 = 60;
/// One that ends sooner, and told nothing, is a failure: of an API server that is stopping, or of something before it.
const SHORT: Duration = Duration::from_secs(1);
/// A watch of which nothing was heard for so long, not even its end, has died without a word.
const SILENCE: Duration = Duration::from_secs(70);
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

/// Keeps a kind current until the end of the process: lists it, then follows what happens to it. Keys go on the queue only once
/// `gate` is open: a pass that ran on Resources without their Bookings would stop what is booked.
pub async fn watch<K: Watched>(
    (client, namespace): (Client, Option<String>),
    cache: Arc<Cache>,
    queue: Arc<WorkQueue>,
    health: Arc<WatchHealth>,
    gate: Arc<Gate>,
) {
    let kind = K::kind(&()).into_owned();
    let api = api::<Lean<K>>(client.clone(), namespace.as_deref());
    let (mut known, mut failures) = (None, 0_u32);
    loop {
        let (begun, epoch) = (Instant::now(), cache.epoch::<K>());
        let step = match known {
            None => {
                let place = (&client, namespace.as_deref());
                let listed = list::take_in::<K>(place, &cache, |key| gate.pass([key], &queue)).await;
                listed.map(|version| {
                    // A list of a store that has gone back begins an epoch.
                    cache.has_watched::<K>(cache.epoch::<K>(), version);
                    tracing::info!(kind, objects = cache.count::<K>(), "cache synced");
                    health.synced.send_replace(true);
                })
            }
            Some(version) => {
                let heard = || health.heard(false);
                let told = (|keys| gate.pass(keys, &queue), heard);
                match follow(&api, &cache, (epoch, version), told).await {
                    Ok(0) if begun.elapsed() < SHORT => Err(ReadError::ShortWatch),
                    // Whoever asks for what comes after a version that is never reached hears nothing.
                    Ok(0) => match list::store_version(&api).await {
                        Ok(now) if now < version => Err(ReadError::WentBack),
                        asked => asked.map(drop),
                    },
                    told => told.map(drop),
                }
            }
        };
        // As far as it came before it failed, it has come; of a store that has gone back nothing is known.
        let watched = Some(cache.watched::<K>()).filter(|version| *version > 0);
        match step {
            Ok(()) => {
                health.heard(false);
                (known, failures) = (watched, 0);
            }
            Err(error) => {
                health.heard(true);
                let came_further = known.is_some() && watched > known;
                failures = if came_further { 1 } else { failures.saturating_add(1) };
                tracing::warn!(kind, %error, failures, "watch interrupted; goes on by itself");
                let goes_on = known.is_some() && failures < FAILURES_BEFORE_LIST && !is_expired(&error);
                known = watched.filter(|_| goes_on);
                tokio::time::sleep(RETRY.wait(failures)).await;
            }
        }
    }
}

/// Takes in what happens to a kind from a version on, until the API server ends the watch, as it does after a while. Gives how
/// much it told.
async fn follow<K: Watched>(
    api: &Api<Lean<K>>,
    cache: &Cache,
    (epoch, from): (u64, u64),
    (changed, heard): (impl Fn(BTreeSet<Key>), impl Fn()),
) -> Result<usize, ReadError> {
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    let begun = tokio::time::timeout(PAGE_TIMEOUT, api.watch(&params, &from.to_string())).await;
    let (mut events, mut count) = (std::pin::pin!(begun??), 0);
    while let Some(event) = tokio::time::timeout(SILENCE, events.try_next()).await?? {
        heard();
        count += 1;
        let (keys, version) = take_in(cache, event).map_err(kube::Error::Api)?;
        changed(keys);
        if !cache.has_watched::<K>(epoch, version) {
            return Err(ReadError::WentBack);
        }
    }
    Ok(count)
}

/// Takes in an event. Gives the keys for which something changed, and the version up to which the watch has told everything.
///
/// # Errors
/// What the API server says instead: as a rule, that the version that was asked for is so long ago that nobody knows what has
/// happened since.
pub fn take_in<K: Watched>(
    cache: &Cache,
    event: WatchEvent<Lean<K>>,
) -> Result<(BTreeSet<Key>, u64), Box<Status>> {
    Ok(match event {
        WatchEvent::Added(Lean(object)) | WatchEvent::Modified(Lean(object)) => {
            let version = cache::version(object.meta());
            (cache.saw(object), version)
        }
        WatchEvent::Deleted(Lean(object)) => (cache.lost(&object), cache::version(object.meta())),
        WatchEvent::Bookmark(bookmark) => {
            (BTreeSet::new(), cache::number(Some(&bookmark.metadata.resource_version)))
        }
        WatchEvent::Error(status) => return Err(status),
    })
}

/// Whether nobody knows any more what has happened since a version.
fn is_expired(error: &ReadError) -> bool {
    match error {
        ReadError::Api(kube::Error::Api(status)) => status.code == 410,
        ReadError::WentBack => true,
        _ => false,
    }
}

/// Holds keys back until all caches are synced, and for good those of slots that are not open here: a slot is looked through for
/// its keys once it is.
pub struct Gate {
    ownership: Arc<dyn Ownership>,
    open: AtomicBool,
}

impl Gate {
    /// A gate that is shut.
    pub fn new(ownership: Arc<dyn Ownership>) -> Self {
        Self { ownership, open: AtomicBool::new(false) }
    }

    /// Lets keys through of which something stands in the cache.
    fn pass(&self, keys: impl IntoIterator<Item = Key>, queue: &WorkQueue) {
        if self.open.load(Ordering::Acquire) {
            keys.into_iter().filter(|key| self.ownership.concerns(key)).for_each(|key| queue.add(key));
        }
    }

    /// Lets everything through that the cache knows, and what comes from now on.
    pub fn open(&self, cache: &Cache, queue: &WorkQueue) {
        // First opened, then looked for keys: what comes in between is let through by its watch.
        self.open.store(true, Ordering::Release);
        self.pass(cache.keys(), queue);
    }
}
