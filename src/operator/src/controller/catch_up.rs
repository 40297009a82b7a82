//! Brings the cache up to the present: at least to what stood in the store when this began.
//!
//! Needed where a slot comes here that was somebody else's: what the watch shows may be older than what the last owner wrote.
//! Few objects are listed, page by page. Of many, a list would take the better part of a minute, in which nobody works on the
//! slot: instead the store is asked for its version (a list of one object, consistent), and a second watch, from where the
//! watch of the cache is, tells what has happened until then. It ends with a bookmark, by which the API server says that
//! nothing is missing below a version. Bookmarks come two seconds before a watch ends (`nextBookmarkTime` in kube-apiserver's
//! `cache_watcher.go`), so one that is asked for three seconds has it after about one. There is none where the last that happened
//! is of no concern to it, in another namespace; then all is listed after all.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::{Api, Client, api::WatchParams};

use super::{
    cache::Cache,
    decode::{Lean, Watched},
    list::{self, ReadError},
    queue::WorkQueue,
    watch::{api, take_in},
};

/// Up to so many objects a list is as quick as the bookmark of a watch: a tenth of a millisecond each, when the API server is
/// at leisure.
pub const LIST_MAX: usize = 5000;
/// How long the second watch is asked for; its bookmark comes two seconds before.
const WATCH_SECONDS: u32 = 3;
/// Longest time of it.
const WATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How a kind was brought up to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a list of all objects.
    Listed,
    /// By what has happened since.
    Watched,
}

/// What is brought up to the present.
#[derive(Clone, Copy)]
pub struct CatchUp<'a> {
    /// To read with.
    pub client: &'a Client,
    /// The namespace to read; none means all.
    pub namespace: Option<&'a str>,
    /// Where what is read goes.
    pub cache: &'a Cache,
    /// Where the keys go for which something changed.
    pub queue: &'a WorkQueue,
    /// More objects of a kind are not listed: [`LIST_MAX`].
    pub list_max: usize,
}

impl CatchUp<'_> {
    /// Brings one kind up to the present.
    ///
    /// # Errors
    /// See [`ReadError`]; what was read until then is kept.
    pub async fn kind<K: Watched>(self) -> Result<Way, ReadError> {
        let api = api::<Lean<K>>(self.client.clone(), self.namespace);
        let (count, from) = (self.cache.count::<K>(), self.cache.watched::<K>());
        if count > self.list_max && from > 0 {
            let until = list::store_version(&api).await?;
            // The watch of the cache may have come as far meanwhile. A store that has gone back is read anew.
            let is_there = || self.cache.watched::<K>() >= until;
            if until >= self.cache.newest::<K>() && (is_there() || self.watch(&api, from, until).await?) {
                return Ok(Way::Watched);
            }
        }
        list::take_in::<K>((self.client, self.namespace), self.cache, |key| self.queue.add(key)).await?;
        Ok(Way::Listed)
    }

    /// Whether the events of a second watch told all until a version.
    async fn watch<K: Watched>(&self, api: &Api<Lean<K>>, from: u64, until: u64) -> Result<bool, ReadError> {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let told = async {
            let mut events = api.watch(&params, &from.to_string()).await?.boxed();
            while let Some(event) = events.try_next().await? {
                let (keys, version) = match take_in(self.cache, event) {
                    Ok(told) => told,
                    Err(status) => {
                        tracing::info!(kind = &*K::kind(&()), reason = status.reason, "is read anew");
                        return Ok(false);
                    }
                };
                for key in keys {
                    self.queue.add(key);
                }
                if version >= until {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // One that ends before its bookmark has told nothing for sure.
        tokio::time::timeout(WATCH_TIMEOUT, told).await.unwrap_or(Ok(false))
    }
}
