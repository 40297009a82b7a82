//! The part of this process in the ring, as the rest of the process sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::clocks;
use crate::{
    member::Member,
    permit::{CallId, Lapsed, SlotPermit},
    protocol::{End, Event},
    record::Incarnation,
    slot::{Slot, slot_of},
};

/// A process's part in the ring. All clones stand for the same part.
#[derive(Clone, Debug)]
pub struct RingHandle(Arc<Shared>);

/// What the handle and the loop share.
#[derive(Debug)]
pub(super) struct Shared {
    /// It is None only for the moment in which one incarnation becomes the next, under the lock.
    member: Mutex<Option<Member>>,
    wishes: Mutex<Wishes>,
    wished: Notify,
    subscribers: Mutex<Subscribers>,
    ended: watch::Sender<Loop>,
}

/// The state of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    Runs,
    Dropped,
    Ended(End),
}

/// Events that the handle wants the loop to tell the state machine. Equal wishes are one.
#[derive(Debug, Default)]
struct Wishes {
    tick: bool,
    stop: bool,
    payload: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Subscribers {
    all: Vec<Weak<Subscriber>>,
    closed: bool,
}

impl RingHandle {
    pub(super) fn new(member: Member) -> Self {
        Self(Arc::new(Shared {
            member: Mutex::new(Some(member)),
            wishes: Mutex::default(),
            wished: Notify::new(),
            subscribers: Mutex::default(),
            ended: watch::Sender::new(Loop::Runs),
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The slot of a key. None while the ring is not known.
    pub fn slot_of(&self, namespace: &str, name: &str) -> Option<Slot> {
        let slots = self.0.with(|member| member.ring().map(|ring| ring.value.slots)).flatten()?;
        Some(slot_of(namespace, name, slots))
    }

    /// The permit to work on a slot, if this process has one.
    pub fn permit(&self, slot: Slot) -> Option<SlotPermit> {
        self.0.with(|member| member.permit(slot, clocks::now())).flatten()
    }

    /// Whether a permit still holds.
    pub fn holds(&self, permit: SlotPermit) -> bool {
        self.0.with(|member| member.holds(permit, clocks::now())).unwrap_or_default()
    }

    /// Begins a call. The caller must send it now, and it must end within [`Timing::call`]. The caller tells the guard
    /// how it ended.
    ///
    /// # Errors
    /// [`Lapsed`]: the call must not go out.
    ///
    /// [`Timing::call`]: crate::timing::Timing::call
    pub fn begin(&self, permit: SlotPermit) -> Result<CallGuard, Lapsed> {
        let begun = self.0.with(|member| member.begin_call(permit, clocks::now()));
        let call = begun.unwrap_or(Err(Lapsed(permit.slot)))?;
        Ok(CallGuard { shared: self.0.clone(), call: Some(call) })
    }

    /// The slots that this process may work on if its permit has not run out.
    pub fn owned(&self) -> BTreeSet<Slot> {
        self.0.with(|member| member.owned().collect()).unwrap_or_default()
    }

    /// For how long calls may still begin.
    pub fn left(&self) -> Duration {
        self.0.with(|member| member.left(clocks::now())).unwrap_or_default()
    }

    /// Whether this process is the leader.
    pub fn leads(&self) -> bool {
        self.0.with(|member| member.leads()).unwrap_or_default()
    }

    /// Whether the ring names this process as a member.
    pub fn is_in_ring(&self) -> bool {
        self.0.with(|member| member.is_in_ring()).unwrap_or_default()
    }

    /// Why this release cannot take part in the ring. None if it can.
    pub fn unsupported(&self) -> Option<String> {
        self.0.with(|member| member.unsupported().map(str::to_owned)).flatten()
    }

    /// Why this process takes no part, if another ring does the same work: the text names that ring's member. The
    /// process joins by itself when that ring has gone.
    pub fn conflict(&self) -> Option<String> {
        self.0.with(|member| member.conflict().map(str::to_owned)).flatten()
    }

    /// Whether this process is a member that may be given slots.
    pub fn has_joined(&self) -> bool {
        self.0.with(|member| member.has_joined()).unwrap_or_default()
    }

    /// The payloads of the ring's other members whose Leases have been seen.
    pub fn payloads(&self) -> BTreeMap<Incarnation, String> {
        let owned = |(name, payload): (&Incarnation, &str)| (name.clone(), payload.to_owned());
        self.0.with(|member| member.payloads().map(owned).collect()).unwrap_or_default()
    }

    /// Sets the payload of the next renewals. It is in an annotation of the Lease, so it may have a few kilobytes at
    /// most.
    pub fn set_payload(&self, payload: impl Into<Arc<str>>) {
        self.0.wish(|wishes| wishes.payload = Some(payload.into()));
    }

    /// Makes this process hand over its slots, let its calls end, and leave. It also leaves if no other member is
    /// there.
    pub fn stop(&self) {
        self.0.wish(|wishes| wishes.stop = true);
    }

    /// Waits until this process has left. Returns the reason, or None if the loop was dropped before.
    pub async fn wait_ended(&self) -> Option<End> {
        let mut ended = self.0.ended.subscribe();
        match ended.wait_for(|ended| *ended != Loop::Runs).await.as_deref() {
            Ok(Loop::Ended(end)) => Some(*end),
            _ => None,
        }
    }

    /// The slots that are gained and lost from now on. The slots that are owned already come first.
    pub fn changes(&self) -> Changes {
        let subscriber = Arc::new(Subscriber::default());
        let mut subscribers = self.0.subscribers();
        if subscribers.closed {
            subscriber.close();
        }
        subscribers.all.retain(|other| other.strong_count() > 0);
        subscribers.all.push(Arc::downgrade(&subscriber));
        // The lock of the subscribers is held here. So a later change is told, and an earlier one is included here.
        subscriber.tell(&[], &self.owned().into_iter().collect::<Vec<_>>());
        Changes(subscriber)
    }
}

impl Shared {
    /// Runs a function on the state machine. None only if a thread panicked while it held the lock.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.lock().as_mut().map(look)
    }

    /// Replaces this incarnation by the next one.
    pub(super) fn replace(&self, next: impl FnOnce(Member) -> Member) {
        let mut member = self.lock();
        *member = member.take().map(next);
    }

    /// Waits for wishes of the handle and returns them. The future may be dropped while it waits.
    pub(super) async fn wishes(&self) -> Vec<Event> {
        self.wished.notified().await;
        let wishes = std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        let payload = wishes.payload.map(Event::Payload);
        let stop = wishes.stop.then_some(Event::Stop);
        payload.into_iter().chain(stop).chain(wishes.tick.then_some(Event::Tick)).collect()
    }

    /// Tells subscribers which slots were lost, then which were gained.
    pub(super) fn tell(&self, lost: &[Slot], gained: &[Slot]) {
        for subscriber in self.subscribers().all.iter().filter_map(Weak::upgrade) {
            subscriber.tell(lost, gained);
        }
    }

    /// The process has left the ring.
    pub(super) fn close(&self, end: Option<End>) {
        let mut subscribers = self.subscribers();
        subscribers.closed = true;
        for subscriber in subscribers.all.drain(..).filter_map(|subscriber| subscriber.upgrade()) {
            subscriber.close();
        }
        self.ended.send_if_modified(|ended| {
            let first = *ended == Loop::Runs;
            if first {
                *ended = end.map_or(Loop::Dropped, Loop::Ended);
            }
            first
        });
    }

    fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.wished.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Member>> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has begun. If the guard is dropped without [`Self::replied`], the call counts as given up. It then
/// counts as running until it must have ended.
#[derive(Debug)]
#[must_use = "dropped at once, the call counts as given up"]
pub struct CallGuard {
    shared: Arc<Shared>,
    call: Option<CallId>,
}

impl CallGuard {
    /// The call got its reply.
    pub fn replied(mut self) {
        if let Some(call) = self.call.take() {
            self.shared.with(|member| member.call_ended(call));
            self.shared.wish(|wishes| wishes.tick = true);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.shared.with(|member| member.call_cancelled(call));
            self.shared.wish(|wishes| wishes.tick = true);
        }
    }
}

/// Slots that were gained or lost, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Lost slots. Cancel what runs for them. This list comes before `gained`, because a slot may be in both.
    pub lost: Vec<Slot>,
    /// Gained slots. Another member may have worked on them until now.
    pub gained: Vec<Slot>,
}

/// Tells which slots are gained and lost. Changes that were not fetched yet add up to one.
#[derive(Debug)]
pub struct Changes(Arc<Subscriber>);

impl Changes {
    /// Waits for the next change. None when the process has left. The future may be dropped while it waits.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let told = self.0.told.notified();
            {
                let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
                if !pending.slots.is_empty() {
                    return Some(std::mem::take(&mut pending.slots).into_change());
                }
                if pending.closed {
                    return None;
                }
            }
            told.await;
        }
    }
}

#[derive(Debug, Default)]
struct Subscriber {
    pending: Mutex<Pending>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    slots: Coalesced,
    closed: bool,
}

impl Subscriber {
    fn tell(&self, lost: &[Slot], gained: &[Slot]) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).slots.add(lost, gained);
        self.told.notify_one();
    }

    fn close(&self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.told.notify_one();
    }
}

/// Changes that add up. There are at most as many entries as slots.
#[derive(Debug, Default)]
struct Coalesced {
    lost: BTreeSet<Slot>,
    gained: BTreeSet<Slot>,
}

impl Coalesced {
    fn add(&mut self, lost: &[Slot], gained: &[Slot]) {
        for slot in lost {
            // The slot is also told as lost if its gain was never fetched. One loss too many does no harm.
            self.gained.remove(slot);
            self.lost.insert(*slot);
        }
        self.gained.extend(gained);
    }

    fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.gained.is_empty()
    }

    fn into_change(self) -> Change {
        Change { lost: self.lost.into_iter().collect(), gained: self.gained.into_iter().collect() }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
