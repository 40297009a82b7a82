//! Lists a kind, then follows what happens to it, until the end of the process.

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

/// Failures in a row after which a watch begins with a new list: after a restore of the store the version that it would go on
/// from may never come again.
const FAILURES_BEFORE_LIST: u32 = 2;
/// How long one watch lasts.
const WATCH_SECONDS: u32 = 60;
/// A watch that ends sooner, and told nothing, is a failure: of an API server that is stopping, or of something before it.
const SHORT: Duration = Duration::from_secs(1);
/// A watch of which nothing was heard for so long, not even its end, has died without a word.
const SILENCE: Duration = Duration::from_secs(70);
/// Waits before a watch is tried again.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// Keeps a table current for ever: lists its kind, then follows what happens to it.
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
                    // A list of a store that has gone back begins an epoch.
                    table.has_watched(table.epoch(), version);
                    tracing::info!(kind, objects = table.count(), "synced");
                    table.health().is_listed();
                })
            }
            Some(version) => match events(&api, table, (epoch, version), gate).await {
                Ok(0) if begun.elapsed() < SHORT => Err(ReadError::ShortWatch),
                // A watch from a version that is never reached tells nothing.
                Ok(0) => match list::store_version::<K>(source, table.served()).await {
                    Ok(now) if now < version => Err(ReadError::WentBack),
                    asked => asked.map(drop),
                },
                told => told.map(drop),
            },
        };
        // What came before a failure has come; of a store that has gone back nothing is known.
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

/// Takes in what happens to a kind from a version on, until the API server ends the watch, as it does after a while. Gives how
/// many events it told.
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

/// Takes in an event. Gives the keys for which something changed, and the version up to which the watch has told everything.
///
/// # Errors
/// What the API server says instead: as a rule, that the version that was asked for is so long ago that nobody knows what has
/// happened since.
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

/// Whether nobody knows any more what has happened since a version.
fn is_expired(error: &ReadError) -> bool {
    match error {
        ReadError::Api(kube::Error::Api(status)) => status.code == 410,
        ReadError::WentBack => true,
        _ => false,
    }
}
