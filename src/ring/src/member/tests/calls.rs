//! The calls that members have begun, as the cloud sees them: it knows of no permits.

use std::{collections::BTreeSet, time::Duration};

use super::secs;
use crate::{permit::CallId, slot::Slot};

/// T of all members of these tests.
const LONGEST: Duration = secs(4);

/// A call under way.
#[derive(Debug)]
struct Call {
    by: String,
    id: CallId,
    slot: Slot,
    ends: Duration,
    /// It was given up: nobody hears of its end.
    cancelled: bool,
}

#[derive(Default)]
pub struct Calls(Vec<Call>);

impl Calls {
    /// One that lasts as long as a call may, unless it is ended.
    pub fn begin(&mut self, by: &str, id: CallId, slot: Slot, now: Duration) {
        self.0.push(Call { by: by.to_owned(), id, slot, ends: now + LONGEST, cancelled: false });
    }

    pub fn cancel(&mut self, by: &str, id: CallId) {
        self.0
            .iter_mut()
            .filter(|call| call.by == by && call.id == id)
            .for_each(|call| call.cancelled = true);
    }

    pub fn end(&mut self, by: &str, id: CallId) {
        self.0.retain(|call| call.by != by || call.id != id);
    }

    pub fn next_end(&self) -> Option<Duration> {
        self.0.iter().map(|call| call.ends).min()
    }

    /// Ends what has lasted as long as it may. Gives those that somebody hears of.
    pub fn end_due(&mut self, now: Duration) -> Vec<(String, CallId)> {
        let due = self.0.extract_if(.., |call| call.ends <= now);
        due.filter(|call| !call.cancelled).map(|call| (call.by, call.id)).collect()
    }

    /// Who has a call under way for a slot.
    pub fn callers(&self, slot: Slot) -> BTreeSet<&str> {
        self.0.iter().filter(|call| call.slot == slot).map(|call| call.by.as_str()).collect()
    }
}
