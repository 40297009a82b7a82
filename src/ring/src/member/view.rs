//! The ring as this incarnation applies it.
//!
//! Its epochs only go forward. If a watch shows an older one, it is ignored. A consistent read decides if the watch
//! cannot be trusted: it shows another ring or none, the permit has lapsed, or it is behind the leader. If the read
//! shows less than the incarnation had applied when it sent the read, the store was restored. Then the incarnation is
//! over, because others may read something else than it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, is_injected},
    protocol::{Action, Answer, End, Op, Story},
    record::{Ring, Stored},
    slot::{HASH, SLOTS_MAX, Slot},
    time::Stamp,
};

/// The ring as this incarnation applies it, and its doubts.
#[derive(Debug)]
pub(super) struct View {
    ring: Option<Stored<Ring>>,
    /// The uid of the ring that the own Lease is bound to.
    bound: Option<Arc<str>>,
    /// Grows whenever only a newer read counts from then on.
    doubts: u64,
    /// The value of `doubts` when the last successful read was sent.
    settled: Option<u64>,
    reads: bool,
    next_read_at: Duration,
    /// No write goes out before this instant. A write that was refused would at once be refused again.
    pub(super) next_write_at: Duration,
    /// What to report when the write under way has succeeded.
    pub(super) to_tell: Vec<Story>,
    next_stalled_read_at: Duration,
    watches_restarted_at: Duration,
    behind_since: Option<Duration>,
    /// When moves to this incarnation were first seen.
    incoming: BTreeMap<Slot, Duration>,
    unsupported: Option<String>,
}

/// What the member knew when it sent a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    epoch: u64,
    doubts: u64,
}

impl Default for View {
    fn default() -> Self {
        Self {
            ring: None,
            bound: None,
            doubts: 0,
            settled: None,
            reads: true,
            next_read_at: Duration::ZERO,
            next_write_at: Duration::ZERO,
            to_tell: vec![],
            next_stalled_read_at: Duration::ZERO,
            watches_restarted_at: Duration::ZERO,
            behind_since: None,
            incoming: BTreeMap::new(),
            unsupported: None,
        }
    }
}

impl View {
    pub(super) fn stored(&self) -> Option<&Stored<Ring>> {
        self.ring.as_ref()
    }

    pub(super) fn uid(&self) -> Option<&Arc<str>> {
        self.ring.as_ref().map(|ring| &ring.uid)
    }

    /// The epoch that is applied.
    pub(super) fn epoch(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.value.epoch)
    }

    /// Whether the member may act on the ring that it applies.
    pub(super) fn is_trusted(&self) -> bool {
        self.ring.is_some() && self.settled == Some(self.doubts) && self.unsupported.is_none()
    }

    pub(super) fn unsupported(&self) -> Option<&str> {
        self.unsupported.as_deref()
    }

    pub(super) fn distrust(&mut self) {
        self.doubts += 1;
        self.reads = true;
    }

    pub(super) fn must_read(&mut self) {
        self.reads = true;
    }

    pub(super) fn bind(&mut self) {
        self.bound = self.uid().cloned();
    }

    pub(super) fn bound_to(&self) -> Option<Arc<str>> {
        self.bound.clone()
    }

    fn is_another(&self, ring: &Stored<Ring>) -> bool {
        self.bound.as_ref().is_some_and(|bound| *bound != ring.uid) && !is_injected(Bug::IgnoresRingUid)
    }

    /// Applies what a consistent read showed, unless the member knows a newer epoch. If the epochs are equal, the
    /// version of the read counts, because a restore brings versions back, too.
    fn adopt(&mut self, ring: Stored<Ring>) {
        let newer = self.ring.as_ref().filter(|known| known.uid == ring.uid);
        if newer.is_none_or(|known| known.value.epoch <= ring.value.epoch) {
            self.ring = Some(ring);
        }
    }

    /// Applies a ring if it is newer.
    fn apply(&mut self, ring: Stored<Ring>) {
        let known = self.ring.as_ref().filter(|known| known.uid == ring.uid);
        let news = known.is_none_or(|known| {
            (known.value.epoch, known.version) < (ring.value.epoch, ring.version)
                || is_injected(Bug::TakesOlderEpochs)
        });
        if news {
            self.ring = Some(ring);
        }
    }
}

impl Member {
    pub(super) fn ring_seen(&mut self, ring: Stored<Ring>) {
        if self.view.is_another(&ring) {
            self.view.must_read();
        } else {
            self.check_support(&ring.value);
            self.view.apply(ring);
        }
    }

    pub(super) fn ring_read(&mut self, asked: Asked, answer: Answer, now: Stamp) {
        match answer {
            Answer::Ring(ring) => {
                if self.view.is_another(&ring) {
                    self.is_over(End::RingGone);
                } else if self.has_gone_back(asked, &ring) && !is_injected(Bug::GoesOnAfterRestore) {
                    self.is_over(End::WentBack);
                } else {
                    self.view.settled = Some(asked.doubts);
                    self.check_support(&ring.value);
                    if self.view.bound.is_none() && ring.value.epoch < asked.epoch {
                        // The store was restored before this incarnation joined. The ring that it had seen does not
                        // exist in this store, and it has done nothing by it.
                        self.view.ring = None;
                    }
                    self.view.adopt(ring);
                }
            }
            Answer::NotFound if self.view.bound.is_some() => self.is_over(End::RingGone),
            Answer::NotFound => {
                self.request(Purpose::CreateRing, Op::CreateRing(Ring::new(self.slots)));
            }
            _ => self.read_ring_later(now),
        }
    }

    /// Whether a consistent read shows less than was applied when it was sent, or something else of the same epoch.
    fn has_gone_back(&self, asked: Asked, read: &Stored<Ring>) -> bool {
        let known = self.view.ring.as_ref().filter(|_| self.view.bound.is_some());
        known.is_some_and(|known| {
            read.value.epoch < asked.epoch
                || (read.value.epoch == known.value.epoch && read.value != known.value)
        })
    }

    fn read_ring_later(&mut self, now: Stamp) {
        self.view.reads = true;
        self.view.next_read_at = now.mono + self.timing.retry();
    }

    pub(super) fn ring_created(&mut self, answer: &Answer, now: Stamp) {
        match answer {
            // Another replica may have been quicker. A read shows the same as a creation.
            Answer::Ring(_) | Answer::Exists => self.view.must_read(),
            _ => self.read_ring_later(now),
        }
    }

    pub(super) fn ring_written(&mut self, answer: Answer, now: Stamp) {
        let stories = std::mem::take(&mut self.view.to_tell);
        match answer {
            Answer::Ring(ring) if !self.view.is_another(&ring) => {
                self.view.apply(ring);
                for story in stories {
                    self.tell(story);
                }
            }
            Answer::Conflict => {
                self.view.must_read();
                self.tell(Story::Conflict);
            }
            _ => {
                self.view.next_write_at = now.mono + self.timing.retry();
                self.view.must_read();
            }
        }
    }

    fn check_support(&mut self, ring: &Ring) {
        let why = if ring.protocol > self.me.protocol {
            let spoken = self.me.protocol;
            Some(format!("its protocol is {}, this release speaks {spoken}", ring.protocol))
        } else if &*ring.hash != HASH {
            Some(format!("its hash is {:?}, this release knows {HASH:?}", ring.hash))
        } else if ring.slots != self.slots || ring.slots == 0 || ring.slots > SLOTS_MAX {
            Some(format!("it has {} slots, this replica is set to {}", ring.slots, self.slots))
        } else {
            None
        };
        if why == self.view.unsupported {
            return;
        }
        self.view.unsupported.clone_from(&why);
        if let Some(why) = why {
            self.tell(Story::Unsupported(why));
            if self.own.is_held() {
                self.is_over(End::Unsupported);
            }
        }
    }

    /// Whether a request for the ring is under way. There is one at a time.
    pub(super) fn asks_for_ring(&self) -> bool {
        self.is_asking(|purpose| {
            matches!(purpose, Purpose::ReadRing(_) | Purpose::CreateRing | Purpose::WriteRing)
        })
    }

    pub(super) fn read_ring_where_in_doubt(&mut self, now: Stamp) {
        self.notice_stalled_watch(now);
        if self.view.reads && !self.asks_for_ring() && self.is_due(self.view.next_read_at, now) {
            self.view.reads = false;
            let asked = Asked { epoch: self.view.epoch(), doubts: self.view.doubts };
            self.request(Purpose::ReadRing(asked), Op::ReadRing);
        }
    }

    /// Reads the ring, or restarts the watches, if the watch does not show the own renewals or the ring that the leader
    /// has applied.
    fn notice_stalled_watch(&mut self, now: Stamp) {
        let ahead = self.lead.holder().and_then(|leader| self.peers.lease(leader)).is_some_and(|leader| {
            Some(&leader.ring) != self.view.uid() || leader.applied > self.view.epoch()
        });
        self.view.behind_since = ahead.then_some(self.view.behind_since.unwrap_or(now.mono));
        let due = self.view.behind_since.map(|since| since + self.timing.behind());
        if due.is_some_and(|due| self.is_due(due, now)) {
            self.view.behind_since = None;
            self.view.must_read();
        }
        let silent = self.own.silent_for(now);
        if silent >= self.timing.echo() && self.is_due(self.view.next_stalled_read_at, now) {
            self.view.next_stalled_read_at = now.mono + self.timing.renew();
            self.view.must_read();
        }
        if silent >= self.timing.echo_max()
            && self.is_due(self.view.watches_restarted_at + self.timing.echo_max(), now)
        {
            self.view.watches_restarted_at = now.mono;
            self.actions.push(Action::RestartWatches);
        }
    }

    /// Owns exactly the slots that the ring names, as far as the member may act on the ring.
    pub(super) fn own_what_the_ring_says(&mut self) {
        let me = &self.me.incarnation;
        let workable = match self.view.stored() {
            Some(ring) if self.may_work() => ring.value.workable(me).collect(),
            _ => BTreeSet::new(),
        };
        let (gained, lost) = self.permits.own(&workable);
        if !lost.is_empty() {
            self.actions.push(Action::Lost(lost));
        }
        if !gained.is_empty() {
            self.actions.push(Action::Gained(gained));
        }
    }

    fn may_work(&self) -> bool {
        self.has_joined() && self.beside.is_settled() && self.phase.works() && self.lapses.since.is_none()
    }

    /// Reports how long slots took to come here.
    pub(super) fn notice_handoffs(&mut self, now: Stamp) {
        let Some(ring) = self.view.ring.as_ref().map(|ring| ring.value.clone()) else {
            return;
        };
        let me = &self.me.incarnation;
        let arrived: Vec<Duration> = self
            .view
            .incoming
            .iter()
            .filter(|(slot, _)| ring.owners.get(slot) == Some(me) && !ring.moves.contains_key(slot))
            .map(|(_, since)| *since)
            .collect();
        if let Some(first) = arrived.iter().min() {
            self.tell(Story::HandedOver(arrived.len(), now.mono.saturating_sub(*first)));
        }
        let me = &self.me.incarnation;
        let coming = ring.moves.iter().filter(|(_, moving)| &moving.to == me).map(|(slot, _)| *slot);
        let known = std::mem::take(&mut self.view.incoming);
        self.view.incoming =
            coming.map(|slot| (slot, known.get(&slot).copied().unwrap_or(now.mono))).collect();
    }

    /// Wakes up when cancelled calls must be over. Nothing else tells their end.
    pub(super) fn wake_when_calls_are_over(&mut self, now: Stamp) {
        if let Some(over) = self.permits.next_over() {
            self.is_due(over, now);
        }
    }

    /// Acknowledges moves that take slots away, and lists those for which a call may still be running. The member works
    /// on none of them any more, because it gave them up when it applied the ring.
    pub(super) fn acknowledge(&mut self, now: Stamp) {
        let Some(ring) = self.view.stored().filter(|_| self.has_joined()) else {
            // If the ring is in doubt, the list stays, because it belongs to the epoch that was acknowledged.
            return;
        };
        let me = &self.me.incarnation;
        let from_me = ring.value.moves.iter().filter(|(slot, _)| ring.value.owners.get(slot) == Some(me));
        let newest = from_me.clone().map(|(_, moving)| moving.since).max().unwrap_or_default();
        let asks = newest > 0 && !is_injected(Bug::AckWithRunningCalls);
        let busy = if asks { self.permits.busy() } else { BTreeSet::new() };
        let draining: BTreeSet<Slot> =
            from_me.map(|(slot, _)| *slot).filter(|slot| busy.contains(slot)).collect();
        if newest > self.own.acked {
            self.own.acked = ring.value.epoch;
        }
        if !draining.is_empty() {
            self.wake_when_calls_are_over(now);
        }
        self.own.draining = draining;
    }
}
