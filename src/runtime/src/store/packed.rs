//! The packed form of objects. A replica stores all objects, works on some of them, and opens few. So an object that
//! no pass opens is kept as compressed JSON, which takes a tenth of the object's size.

use std::{fmt, marker::PhantomData, sync::Arc};

use booking_decision::impossible;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use super::{Object, version::version};

/// A packed object. A clone shares its bytes, so that it can be opened outside of any lock.
pub(super) struct Packed<K> {
    version: u64,
    bytes: Arc<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Packed<K> {
    fn clone(&self) -> Self {
        Self { version: self.version, bytes: self.bytes.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Packed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} in {} bytes", self.version, self.bytes.len())
    }
}

impl<K: Object> Packed<K> {
    /// Packs an object. The packed form lives no longer than the process, so any release may change it.
    pub(super) fn new(object: &K) -> Self {
        let json = serde_json::to_vec(object).unwrap_or_else(|_| {
            impossible("store.pack");
            Vec::new()
        });
        let bytes = compress_prepend_size_with_dict(&json, K::DICTIONARY).into();
        Self { version: version(object.meta()), bytes, kind: PhantomData }
    }

    /// Its version, without opening it.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Opens the object. None cannot happen, because the object was packed here.
    pub(super) fn open(&self) -> Option<K> {
        let json = decompress_size_prepended_with_dict(&self.bytes, K::DICTIONARY).ok();
        let object = json.and_then(|json| serde_json::from_slice(&json).ok());
        if object.is_none() {
            impossible("store.open");
        }
        object
    }
}
