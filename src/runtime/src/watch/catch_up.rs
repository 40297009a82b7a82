//! Brings a table up to the present: at least to what stood in the store when this began.
//!
//! A replica needs this when it gets a slot: what its watch shows may be older than what the last owner wrote. Few objects are
//! listed, page by page. For many objects a list would take the better part of a minute, in which nobody works on the slot.
//! Then the store is asked for its version (a consistent list of one object), and a second watch, from where the table's watch
//! stands, tells what has happened until then. It ends with a bookmark, by which the API server says that nothing is missing
//! below a version. Bookmarks come two seconds before a watch ends (`nextBookmarkTime` in kube-apiserver's
//! `cache_watcher.go`), so a watch that is asked for three seconds has its bookmark after about one. There is none if the last
//! event is of no concern to it, in another namespace; then all objects are listed after all.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Client;

use super::{
    follow,
    list::{self, ReadError, Source},
};
use crate::{
    queue::WorkQueue,
    store::{Object, Table},
};

/// Up to so many objects a list is as quick as the bookmark of a watch: a tenth of a millisecond each, when the API server is
/// at leisure.
pub const LIST_MAX: usize = 5000;
/// How long the second watch is asked for; its bookmark comes two seconds before its end.
const WATCH_SECONDS: u32 = 3;
/// Longest time of it.
const WATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How a table was brought up to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a list of all objects.
    Listed,
    /// By what has happened since.
    Watched,
}

/// What it takes to bring tables up to the present.
#[derive(Clone, Copy)]
pub struct CatchUp<'a> {
    /// To read with.
    pub client: &'a Client,
    /// The namespace to read; none means all.
    pub namespace: Option<&'a str>,
    /// Where the keys go for which something changed.
    pub queue: &'a WorkQueue,
    /// Tables of more objects are not listed: [`LIST_MAX`].
    pub list_max: usize,
}

impl CatchUp<'_> {
    /// Brings one table up to the present.
    ///
    /// # Errors
    /// See [`ReadError`]; what was read until then is kept.
    pub async fn table<K: Object>(self, table: &Table<K>) -> Result<Way, ReadError> {
        let source = Source { client: self.client, namespace: self.namespace };
        let (count, from) = (table.count(), table.watched());
        if count > self.list_max && from > 0 {
            let until = list::store_version::<K>(source, table.served()).await?;
            // The table's watch may have come as far meanwhile. A store that has gone back is read anew.
            let is_there = || table.watched() >= until;
            if until >= table.newest() && (is_there() || self.watch(table, from, until).await?) {
                return Ok(Way::Watched);
            }
        }
        list::take_in(source, table, |key| self.queue.add(key)).await?;
        Ok(Way::Listed)
    }

    /// Whether the events of a second watch told all until a version.
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
                self.queue.add_all(keys);
                if version >= until {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // A watch that ends before its bookmark has told nothing for sure.
        tokio::time::timeout(WATCH_TIMEOUT, told).await.unwrap_or(Ok(false))
    }
}
