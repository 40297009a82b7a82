//! Catch-up: brings a table up to date, at least to the state of the store when the catch-up began.
//!
//! A replica needs this when it gains a slot, because its watch may be behind the last owner's writes. If a table has
//! few objects, they are listed page by page. For many objects a list would take most of a minute, and nobody would
//! work on the slot meanwhile. So the store is asked for its version (with a consistent list of one object), and a
//! second watch, which begins where the table's watch is, reports what has happened until that version. The second
//! watch ends with a bookmark, with which the API server says that nothing below a version is missing. Bookmarks come
//! two seconds before a watch ends (`nextBookmarkTime` in kube-apiserver's `cache_watcher.go`), so a watch of three
//! seconds gets its bookmark after about one second. There is no bookmark if the last event is in another namespace
//! and so does not concern the watch. All objects are listed in that case.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Client;

use super::{
    KeyGate, follow,
    list::{self, ReadError, Source},
};
use crate::store::{Object, Table};

/// Up to this many objects, a list is as fast as the bookmark of a watch: a tenth of a millisecond per object if the
/// API server is not busy.
pub const LIST_MAX: usize = 5000;
/// The duration of the second watch. Its bookmark comes two seconds before its end.
const WATCH_SECONDS: u32 = 3;
/// The time limit of the second watch.
const WATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How a table caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a list of all objects.
    Listed,
    /// With a watch of what has happened since.
    Watched,
}

/// What a catch-up needs.
#[derive(Clone, Copy)]
pub struct CatchUp<'a> {
    /// The client for reading.
    pub client: &'a Client,
    /// The namespace to read. None means all.
    pub namespace: Option<&'a str>,
    /// The gate of the table's family: keys for which something changed go through it.
    pub gate: &'a KeyGate,
    /// Tables with more objects are not listed. See [`LIST_MAX`].
    pub list_max: usize,
}

impl CatchUp<'_> {
    /// Lets one table catch up.
    ///
    /// # Errors
    /// [`ReadError`] if a read failed. What was read until then is kept.
    pub async fn table<K: Object>(self, table: &Table<K>) -> Result<Way, ReadError> {
        let source = Source { client: self.client, namespace: self.namespace };
        let (count, from) = (table.count(), table.watched());
        if count > self.list_max && from > 0 {
            let until = list::store_version::<K>(source, table.served()).await?;
            // The table's watch may have reached that version meanwhile. If the store has gone back, all objects are
            // listed.
            let is_there = || table.watched() >= until;
            if until >= table.newest() && (is_there() || self.watch(table, from, until).await?) {
                return Ok(Way::Watched);
            }
        }
        list::take_in(source, table, |key| self.gate.pass([key])).await?;
        Ok(Way::Listed)
    }

    /// Whether a second watch has reported everything up to a version.
    async fn watch<K: Object>(&self, table: &Table<K>, from: u64, until: u64) -> Result<bool, ReadError> {
        let api = super::api::<K>(self.client.clone(), table.served(), self.namespace);
        let params = follow::params(table.served(), WATCH_SECONDS);
        let told = async {
            let mut events = api.watch(&params, &from.to_string()).await?.boxed();
            while let Some(event) = events.try_next().await? {
                let (keys, version) = match follow::take_in(table, event) {
                    Ok(told) => told,
                    Err(status) => {
                        tracing::info!(
                            kind = table.served().resource.kind,
                            reason = status.reason,
                            "is read anew"
                        );
                        return Ok(false);
                    }
                };
                self.gate.pass(keys);
                if version >= until {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // If a watch ends before its bookmark, nothing is certain.
        tokio::time::timeout(WATCH_TIMEOUT, told).await.unwrap_or(Ok(false))
    }
}
