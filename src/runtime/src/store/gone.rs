//! The uids of objects that are gone, with the version at which each went.

use std::collections::{HashMap, VecDeque};

/// The most uids that are remembered. Fewer objects are deleted while a list is read.
const GONE_MAX: usize = 10_000;

/// The objects that were deleted last. An older list that is still being read must not bring them back. An object
/// that only left a selection, and comes back with a newer version, is not blocked.
#[derive(Debug, Default)]
pub(super) struct Gone {
    went_at: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl Gone {
    /// Records that the object with this uid was gone as of a version.
    pub(super) fn add(&mut self, uid: String, version: u64) {
        if let Some(known) = self.went_at.get_mut(&uid) {
            *known = version.max(*known);
        } else {
            self.went_at.insert(uid.clone(), version);
            self.order.push_back(uid);
        }
        let oldest = if self.order.len() > GONE_MAX { self.order.pop_front() } else { None };
        if let Some(oldest) = oldest {
            self.went_at.remove(&oldest);
        }
    }

    /// Whether an object that was seen at a version went at that version or later.
    pub(super) fn has(&self, uid: &str, version: u64) -> bool {
        self.went_at.get(uid).is_some_and(|went_at| version <= *went_at)
    }
}
