//! Lists all objects of a kind into its table, page by page.
//!
//! A page's body is split into objects while it arrives ([`Items`]), and each object is decoded and trimmed at once.
//! While the table records the objects of a page, the API server already builds the next page. That takes about a
//! tenth of a millisecond per object, which is longer than the table needs. The first page asks for few objects.
//! Their size determines how many objects make a page of some megabytes.

use std::{collections::HashSet, time::Duration};

use booking_decision::impossible;
use futures::AsyncBufReadExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::{
    Client, Resource,
    api::{ListParams, Request},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    decode::{self, Trimmed},
    items::{Items, NoList},
};
use crate::{
    Key,
    store::{Name, Object, Served, Table, version::number},
};

/// The longest time until a page begins, and between two parts of it.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of objects of the first page.
const FIRST_PAGE: u32 = 100;
/// The most objects per page: five times what `kubectl` asks for. For each page the API server walks over all objects
/// that come after it, so few large pages are a quarter faster.
const PAGE_MAX: u32 = 2500;
/// The most bytes per page, estimated from earlier objects. The API server has a whole page in memory.
const PAGE_MAX_BYTES: usize = 8 << 20;
/// The most decoded objects that wait for the table.
const AHEAD_MAX: usize = 256;

/// Why objects could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server is slow, or cannot be reached.
    #[error("no answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    /// It refused the request, or ended the answer early.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The connection was interrupted.
    #[error("the answer broke off: {0}")]
    BrokeOff(#[from] std::io::Error),
    /// The answer is not a list.
    #[error("no list: {0}")]
    NoList(#[from] NoList),
    /// The answer is not JSON, or its parts do not have the form of a list.
    #[error("no list: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The store has gone back during the read.
    #[error("the store has gone back while it was read")]
    WentBack,
    /// A watch ended as soon as it had begun, without an event.
    #[error("a watch ended at once")]
    ShortWatch,
    /// A bug: the request was not sent, or its task has panicked.
    #[error("no request: {0}")]
    Request(String),
}

/// Where a kind is listed.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The client for reading.
    pub client: &'a Client,
    /// The namespace to which the process is limited. None means all.
    pub namespace: Option<&'a str>,
}

/// Records all objects of a kind as they are in the store now, and removes those that are not there any more. Reports
/// changed keys as they come, and returns the version of the list.
///
/// # Errors
/// [`ReadError`] if a read failed. What was read until then is kept.
pub async fn take_in<K: Object>(
    source: Source<'_>,
    table: &Table<K>,
    mut changed: impl FnMut(Key),
) -> Result<u64, ReadError> {
    let (known, epoch) = (table.newest(), table.epoch());
    let mut taken = Taken { table, known, version: None, listed: HashSet::new(), early: Vec::new() };
    let (parts, mut read) = mpsc::channel(AHEAD_MAX);
    let pages = Pages { client: source.client.clone(), served: table.served().clone(), parts };
    let namespace = source.namespace.map(ToOwned::to_owned);
    let reader = AbortOnDropHandle::new(tokio::spawn(pages.read(namespace)));
    while let Some(part) = read.recv().await {
        taken.take(part, &mut changed);
    }
    reader.await.map_err(|error| ReadError::Request(error.to_string()))??;
    let Taken { version, listed, early, .. } = taken;
    let version = version.unwrap_or_default();
    let gone = if version < known {
        tracing::warn!(kind = table.served().resource.kind, "the store has gone back: it is read anew");
        table.went_back(&early, (epoch, version)).ok_or(ReadError::WentBack)?
    } else if table.epoch() == epoch {
        table.keep(&listed, version)
    } else {
        return Err(ReadError::WentBack);
    };
    gone.into_iter().for_each(changed);
    Ok(version)
}

/// The present version of the store, which is that of a consistent list of one object.
///
/// # Errors
/// [`ReadError`] if the read failed.
pub async fn store_version<K: Object>(source: Source<'_>, served: &Served) -> Result<u64, ReadError> {
    let api = super::api::<K>(source.client.clone(), served, source.namespace);
    let one = tokio::time::timeout(PAGE_TIMEOUT, api.list(&params(served).limit(1))).await??;
    Ok(number(one.metadata.resource_version.as_deref()))
}

fn params(served: &Served) -> ListParams {
    ListParams {
        label_selector: served.labels.clone(),
        field_selector: served.fields.clone(),
        ..ListParams::default()
    }
}

/// A message of the reader of pages.
enum Part<K> {
    /// An object.
    Object(K),
    /// The end of a page, with the version of the list.
    PageEnd(u64),
}

/// What a table has recorded of a list so far.
struct Taken<'a, K: Object> {
    table: &'a Table<K>,
    /// The newest version that the table had before.
    known: u64,
    /// The version of the list, when it is known. For custom resources, objects arrive before it.
    version: Option<u64>,
    listed: HashSet<Name>,
    /// Objects that arrived before the version. If the store has gone back, all objects, because all are needed at
    /// once.
    early: Vec<K>,
}

impl<K: Object> Taken<'_, K> {
    fn take(&mut self, part: Part<K>, changed: &mut impl FnMut(Key)) {
        match (part, self.version) {
            (Part::Object(object), Some(version)) if version >= self.known => self.put(&object, changed),
            (Part::Object(object), _) => self.early.push(object),
            (Part::PageEnd(_), Some(_)) => {}
            (Part::PageEnd(version), None) => {
                self.version = Some(version);
                if version >= self.known {
                    for object in std::mem::take(&mut self.early) {
                        self.put(&object, changed);
                    }
                }
            }
        }
    }

    fn put(&mut self, object: &K, changed: &mut impl FnMut(Key)) {
        self.listed.insert(Name::of(object.meta()));
        self.table.saw(object).into_iter().for_each(changed);
    }
}

/// Reads the pages of a list, one after the other.
struct Pages<K> {
    client: Client,
    served: Served,
    parts: mpsc::Sender<Part<K>>,
}

/// The text outside of the objects of a page, decoded.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: ListMeta,
}

impl<K: Object> Pages<K> {
    async fn read(self, namespace: Option<String>) -> Result<(), ReadError> {
        let url = Trimmed::<K>::url_path(&self.served.resource, self.served.within(namespace.as_deref()));
        let (mut token, mut size) = (None, FIRST_PAGE);
        loop {
            let page = ListParams { continue_token: token, ..params(&self.served).limit(size) };
            let (head, objects, bytes) = self.page(&url, &page).await?;
            let Some(version) = head.metadata.resource_version.as_deref().and_then(|text| text.parse().ok())
            else {
                return Err(ReadError::Malformed(serde::de::Error::custom("it has no resourceVersion")));
            };
            if self.parts.send(Part::PageEnd(version)).await.is_err() {
                return Ok(());
            }
            token = head.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(());
            }
            size = next_size(objects, bytes);
        }
    }

    /// Reads one page. Returns the text outside of its objects, the number of objects, and their bytes.
    async fn page(&self, url: &str, page: &ListParams) -> Result<(Head, usize, usize), ReadError> {
        let request = Request::new(url).list(page).map_err(|error| ReadError::Request(error.to_string()))?;
        let body = tokio::time::timeout(PAGE_TIMEOUT, self.client.request_stream(request)).await??;
        let (mut body, mut items, mut count, mut size) = (std::pin::pin!(body), Items::default(), 0, 0);
        loop {
            let bytes = tokio::time::timeout(PAGE_TIMEOUT, body.fill_buf()).await??;
            if bytes.is_empty() {
                return Ok((serde_json::from_slice(&items.end()?)?, count, size));
            }
            let (taken, mut objects, mut broken) = (bytes.len(), Vec::new(), None);
            items.take(bytes, |text| {
                size += text.len();
                match decode_text(text) {
                    Ok(object) => objects.push(object),
                    Err(error) => broken = Some(error),
                }
            })?;
            body.consume_unpin(taken);
            if let Some(error) = broken {
                return Err(ReadError::Malformed(error));
            }
            for object in objects {
                count += 1;
                if self.parts.send(Part::Object(object)).await.is_err() {
                    return Err(ReadError::Request("nobody wants the list any more".to_owned()));
                }
            }
        }
    }
}

fn decode_text<K: Object>(text: &[u8]) -> serde_json::Result<K> {
    let text = std::str::from_utf8(text).map_err(serde::de::Error::custom)?;
    decode::read(text).map(|Trimmed(object)| object)
}

/// How many objects the next page asks for, if the last objects had this many bytes.
fn next_size(objects: usize, bytes: usize) -> u32 {
    let each = bytes.checked_div(objects).unwrap_or_default().max(1);
    u32::try_from(PAGE_MAX_BYTES / each)
        .unwrap_or_else(|_| {
            impossible("list.page_size");
            PAGE_MAX
        })
        .clamp(1, PAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_about_eight_megabytes_of_objects_like_those_before() {
        for (objects, bytes, next) in [
            (100, 100 * 1_500, 2500),
            (100, 100 * 256 * 1024, 32),
            (1, 3 << 20, 2),
            (1, 20 << 20, 1),
            (0, 0, 2500),
        ] {
            assert_eq!(next_size(objects, bytes), next, "{objects} objects of {bytes} bytes");
        }
    }
}
