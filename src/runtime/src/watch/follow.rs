//! Lists a kind, then watches it until the end of the process.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use booking_decision::Backoff;
use futures::TryStreamExt;
use kube::{
    Api, Client,
    api::WatchParams,
    core::{Status, WatchEvent},
};

use super::{
    KeyGate,
    decode::Trimmed,
    list::{self, PAGE_TIMEOUT, ReadError, Source},
};
use crate::{
    Key,
    store::{
        Object, Served, Table,
        version::{number, version},
    },
};

/// After this many failures in a row, a watch begins with a new list. After a restore of the store, the version from
/// which it would continue may never be reached again.
const FAILURES_BEFORE_LIST: u32 = 2;
/// How long one watch lasts.
const WATCH_SECONDS: u32 = 60;
/// A watch that ends sooner without an event is a failure: the API server is stopping, or a proxy has ended the
/// watch.
const SHORT: Duration = Duration::from_secs(1);
/// If nothing is received for this long, not even the end of the watch, the watch is dead.
const SILENCE: Duration = Duration::from_secs(70);
/// The waits before a watch is tried again.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// Keeps a table current forever: lists its kind, then watches it.
pub async fn follow<K: Object>(
    (client, namespace): (&Client, Option<&str>),
    table: &Table<K>,
    gate: &KeyGate,
) {
    let kind = table.served().resource.kind.as_str();
    let source = Source { client, namespace };
    let api = super::api::<K>(client.clone(), table.served(), namespace);
    let (mut known, mut failures) = (None, 0_u32);
    loop {
        let (begun, epoch) = (Instant::now(), table.epoch());
        let step = match known {
            None => {
                let listed = list::take_in(source, table, |key| gate.pass([key])).await;
                listed.map(|version| {
                    // If the store has gone back, its list begins a new epoch.
                    table.has_watched(table.epoch(), version);
                    tracing::info!(kind, objects = table.count(), "synced");
                    table.health().is_listed();
                })
            }
            Some(version) => match events(&api, table, (epoch, version), gate).await {
                Ok(0) if begun.elapsed() < SHORT => Err(ReadError::ShortWatch),
                // If a watch begins at a version that is never reached, it reports nothing.
                Ok(0) => match list::store_version::<K>(source, table.served()).await {
                    Ok(now) if now < version => Err(ReadError::WentBack),
                    asked => asked.map(drop),
                },
                told => told.map(drop),
            },
        };
        // Events before a failure are kept. If the store has gone back, nothing is known.
        let watched = Some(table.watched()).filter(|version| *version > 0);
        match step {
            Ok(()) => {
                table.health().heard(false);
                (known, failures) = (watched, 0);
            }
            Err(error) => {
                table.health().heard(true);
                let came_further = known.is_some() && watched > known;
                failures = if came_further { 1 } else { failures.saturating_add(1) };
                tracing::warn!(kind, %error, failures, "watch interrupted; it goes on by itself");
                let goes_on = known.is_some() && failures < FAILURES_BEFORE_LIST && !is_expired(&error);
                known = watched.filter(|_| goes_on);
                tokio::time::sleep(RETRY.wait(failures)).await;
            }
        }
    }
}

pub(super) fn params(served: &Served, seconds: u32) -> WatchParams {
    WatchParams {
        label_selector: served.labels.clone(),
        field_selector: served.fields.clone(),
        ..WatchParams::default().timeout(seconds)
    }
}

/// Records the events of a kind from a version on, until the API server ends the watch, as it does after a while.
/// Returns how many events there were.
async fn events<K: Object>(
    api: &Api<Trimmed<K>>,
    table: &Table<K>,
    (epoch, from): (u64, u64),
    gate: &KeyGate,
) -> Result<usize, ReadError> {
    let params = params(table.served(), WATCH_SECONDS);
    let begun = tokio::time::timeout(PAGE_TIMEOUT, api.watch(&params, &from.to_string())).await;
    let (mut events, mut count) = (std::pin::pin!(begun??), 0);
    while let Some(event) = tokio::time::timeout(SILENCE, events.try_next()).await?? {
        table.health().heard(false);
        count += 1;
        let (keys, version) = take_in(table, event).map_err(kube::Error::Api)?;
        gate.pass(keys);
        if !table.has_watched(epoch, version) {
            return Err(ReadError::WentBack);
        }
    }
    Ok(count)
}

/// Records an event. Returns the keys for which something changed, and the version up to which the watch has reported
/// everything.
///
/// # Errors
/// The error that the API server sends instead of an event. Usually the requested version is so old that the API
/// server does not know what has happened since.
pub(super) fn take_in<K: Object>(
    table: &Table<K>,
    event: WatchEvent<Trimmed<K>>,
) -> Result<(BTreeSet<Key>, u64), Box<Status>> {
    Ok(match event {
        WatchEvent::Added(Trimmed(object)) | WatchEvent::Modified(Trimmed(object)) => {
            (table.saw(&object), version(object.meta()))
        }
        WatchEvent::Deleted(Trimmed(object)) => (table.lost(&object), version(object.meta())),
        WatchEvent::Bookmark(bookmark) => {
            (BTreeSet::new(), number(Some(&bookmark.metadata.resource_version)))
        }
        WatchEvent::Error(status) => return Err(status),
    })
}

/// Whether the API server no longer knows what has happened since a version.
fn is_expired(error: &ReadError) -> bool {
    match error {
        ReadError::Api(kube::Error::Api(status)) => status.code == 410,
        ReadError::WentBack => true,
        _ => false,
    }
}
