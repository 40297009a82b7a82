//! All objects of a kind, page by page, into the cache. While a page is taken in, the API server makes the next: it is
//! the slower of the two, at about a tenth of a millisecond for each object. Of a page no more is in memory at once than its
//! text and one object.

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::{
    Api, Client,
    api::{ListParams, Request},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Key,
    cache::{self, Cache, Name},
    decode::{Lean, Watched},
};

/// Longest time of one page.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects per page: five times what `kubectl` asks for. For each page the API server walks over all that come after it, so
/// few large ones are a quarter quicker; this one is some megabytes.
const PAGE_SIZE: u32 = 2500;

/// Why objects could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server is slow, or cannot be reached.
    #[error("no answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    /// It refused, or broke off.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// What it said is no list.
    #[error("no list: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The store has gone back meanwhile.
    #[error("the store has gone back while it was read")]
    WentBack,
    /// A watch ended as soon as it had begun, and told nothing.
    #[error("a watch ended at once")]
    ShortWatch,
    /// A bug: the request was not sent, or its task has panicked.
    #[error("no request: {0}")]
    Request(String),
}

/// Takes in all objects of a kind as they are in the store now; those that are not there any more go. Tells of changed keys as they come,
/// and gives the version of the list.
///
/// # Errors
/// See [`ReadError`]; what was read until then is kept.
pub async fn take_in<K: Watched>(
    (client, namespace): (&Client, Option<&str>),
    cache: &Cache,
    mut changed: impl FnMut(Key),
) -> Result<u64, ReadError> {
    let url = K::url_path(&(), namespace);
    let (known, epoch) = (cache.newest::<K>(), cache.epoch::<K>());
    // Only of a store that has gone back all is needed at once.
    let (mut version, mut listed, mut all) = (None::<u64>, HashSet::<Name>::new(), Vec::<K>::new());
    let mut next = Some(request(client, &url, None));
    while let Some(page) = next {
        let text = page.await.map_err(|error| ReadError::Request(error.to_string()))??;
        let Head { metadata } = serde_json::from_str(&text)?;
        let Some(own) = metadata.resource_version.as_deref().and_then(|text| text.parse().ok()) else {
            return Err(ReadError::Malformed(serde::de::Error::custom("it has no resourceVersion")));
        };
        let version = *version.get_or_insert(own);
        let token = metadata.continue_.filter(|token| !token.is_empty());
        next = token.map(|token| request(client, &url, Some(token)));
        // A task just spawned is no other thread's to take: without this the request waits until this page is read.
        tokio::task::yield_now().await;
        each(&text, |object: K| {
            if version < known {
                all.push(object);
            } else {
                listed.insert((object.namespace().unwrap_or_default(), object.name_any()));
                cache.saw(object).into_iter().for_each(&mut changed);
            }
        })?;
        // Others may have something to do as well.
        tokio::task::yield_now().await;
    }
    let version = version.unwrap_or_default();
    let gone = if version < known {
        tracing::warn!(kind = &*K::kind(&()), "the store has gone back: it is read anew");
        cache.went_back(all, (epoch, version)).ok_or(ReadError::WentBack)?
    } else if cache.epoch::<K>() == epoch {
        cache.keep::<K>(&listed, version)
    } else {
        return Err(ReadError::WentBack);
    };
    gone.into_iter().for_each(changed);
    Ok(version)
}

/// The version of the store now: that of a consistent list, of one object.
///
/// # Errors
/// See [`ReadError`].
pub async fn store_version<K: Watched>(api: &Api<Lean<K>>) -> Result<u64, ReadError> {
    let one = tokio::time::timeout(PAGE_TIMEOUT, api.list(&ListParams::default().limit(1))).await??;
    Ok(cache::number(one.metadata.resource_version.as_deref()))
}

type Page = AbortOnDropHandle<Result<String, ReadError>>;

/// Asks for a page; runs by itself until it is there, or not wanted any more.
fn request(client: &Client, url: &str, token: Option<String>) -> Page {
    let page = ListParams { continue_token: token, ..ListParams::default().limit(PAGE_SIZE) };
    let request = Request::new(url).list(&page).map_err(|error| ReadError::Request(error.to_string()));
    let client = client.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        Ok(tokio::time::timeout(PAGE_TIMEOUT, client.request_text(request?)).await??)
    }))
}

/// What stands beside the objects of a page.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: ListMeta,
}

/// Hands on each object of a page as soon as it is decoded.
fn each<K: Watched>(text: &str, take: impl FnMut(K)) -> serde_json::Result<()> {
    let mut page = serde_json::Deserializer::from_str(text);
    page.deserialize_map(Objects { take, kind: PhantomData })
}

/// A page, and its items.
struct Objects<K, F> {
    take: F,
    kind: PhantomData<K>,
}

impl<'de, K: Watched, F: FnMut(K)> Visitor<'de> for Objects<K, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut page: A) -> Result<(), A::Error> {
        let mut has_items = false;
        while let Some(field) = page.next_key::<Cow<'de, str>>()? {
            if field == "items" {
                has_items = true;
                page.next_value_seed(Objects { take: &mut self.take, kind: PhantomData::<K> })?;
            } else {
                page.next_value::<IgnoredAny>()?;
            }
        }
        // Taken for an empty one, it would empty the cache.
        if has_items { Ok(()) } else { Err(serde::de::Error::missing_field("items")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(Lean(object)) = items.next_element()? {
            (self.take)(object);
        }
        Ok(())
    }
}

impl<'de, K: Watched, F: FnMut(K)> DeserializeSeed<'de> for Objects<K, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, items: D) -> Result<(), D::Error> {
        items.deserialize_seq(self)
    }
}

#[cfg(test)]
mod tests {
    use bookings::api::Booking;
    use kube::ResourceExt;

    use super::*;

    fn names(page: &str) -> serde_json::Result<Vec<String>> {
        let mut names = Vec::new();
        each(page, |booking: Booking| names.push(booking.name_any()))?;
        Ok(names)
    }

    #[test]
    fn the_objects_of_a_page_come_in_their_order_whatever_stands_around_them() {
        let page = r#"{"apiVersion":"v1","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],
            "kind":"BookingList","metadata":{"continue":"x","resourceVersion":"7"}}"#;
        assert_eq!(names(page).unwrap(), ["a", "b"]);
        let head: Head = serde_json::from_str(page).unwrap();
        assert_eq!(head.metadata.continue_.as_deref(), Some("x"));
        assert_eq!(names(r#"{"items":[]}"#).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_cut_off_or_no_list_is_an_error() {
        for page in [r#"{"items":[{"metadata":{"name":"a"}}"#, "[]", "{}", "", "not found"] {
            assert!(names(page).is_err(), "{page}");
        }
    }
}
