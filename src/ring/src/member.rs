//! The part of one incarnation in the protocol, as a state machine: events in, actions out. It does no I/O and reads no
//! clock.
//!
//! For each event, [`Member::handle`] first takes the event in and then applies all rules once (`step`). The rules look
//! at the state and not at the event. So a lost event costs time, not safety.
//!
//! | file | what |
//! |---|---|
//! | `own` | the own Lease: create it once, renew it, confirm a renewal, notice that it is over |
//! | `view` | the ring as this incarnation applies it: only forward, and a read if there is doubt |
//! | `peers` | the Leases of others: how long each has been unchanged, and seals |
//! | `lead` | the leader Lease, and what a leader does |
//! | `beside` | other rings: nothing begins beside a ring that does the same work |
//! | `lapses` | permits that run out before they are renewed |
//! | `leave` | the hand-over, and the end |

mod beside;
mod lapses;
mod lead;
mod leave;
mod own;
mod peers;
#[cfg(test)]
mod tests;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::{
    beside::Beside,
    lapses::Lapses,
    lead::Lead,
    leave::Phase,
    own::Own,
    peers::Peers,
    view::{Asked, View},
};
use crate::{
    neighbours::Claimant,
    permit::{CallId, Lapsed, Permits, SlotPermit},
    protocol::{Action, Answer, Event, Op, RequestId, Story},
    record::{Incarnation, Ring, Stored},
    slot::Slot,
    time::Stamp,
    timing::Timing,
};

/// The identity of a process.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The present incarnation.
    pub incarnation: Incarnation,
    /// The container that the process runs in. None if it is not known. Of two processes in one container, the older
    /// one is dead.
    pub container: Option<Arc<str>>,
    /// The release of the process.
    pub release: Arc<str>,
    /// The highest protocol that the process speaks. It is [`PROTOCOL`](crate::record::PROTOCOL), except in tests of
    /// future releases.
    pub protocol: u32,
}

/// One incarnation's part in the protocol, as a state machine.
#[derive(Debug)]
pub struct Member {
    me: Identity,
    timing: Timing,
    /// The number of slots, if this member has to create the ring.
    slots: u16,
    /// When the process began. All processes that ran in its container before were dead by then.
    started: Duration,
    /// Nothing begins before this instant. So an incarnation that failed is not followed at once.
    not_before: Duration,
    permits: Permits,
    own: Own,
    view: View,
    peers: Peers,
    lead: Lead,
    phase: Phase,
    lapses: Lapses,
    beside: Beside,
    payload: Arc<str>,
    requests: BTreeMap<RequestId, Purpose>,
    last_request: u64,
    actions: Vec<Action>,
    wake: Option<Duration>,
}

/// The purpose of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Join(u64),
    Renew(u64),
    /// The counter that was confirmed when the read was sent.
    ReadOwn(u64),
    Release,
    ReadRing(Asked),
    CreateRing,
    WriteRing,
    Seal(Incarnation, Duration),
    Placeholder(Incarnation),
    ReadPeer(Incarnation),
    Mark(Incarnation),
    Collect(Incarnation),
    CheckBeside(beside::Asked),
    ListForOpening,
    TakeLead,
    RenewLead,
    ReadLead,
    GiveUpLead,
}

impl Member {
    /// A process's first incarnation. `slots` is the number of slots if it has to create the ring.
    pub fn new(me: Identity, timing: Timing, slots: u16, now: Stamp) -> Self {
        Self::with_permits(me, timing, slots, Permits::new(timing), now.mono)
    }

    fn with_permits(
        me: Identity,
        timing: Timing,
        slots: u16,
        permits: Permits,
        not_before: Duration,
    ) -> Self {
        Self {
            me,
            timing,
            slots,
            started: not_before,
            not_before,
            permits,
            own: Own::default(),
            view: View::default(),
            peers: Peers::default(),
            lead: Lead::default(),
            phase: Phase::Running,
            lapses: Lapses::default(),
            beside: Beside::default(),
            payload: Arc::default(),
            requests: BTreeMap::new(),
            last_request: 0,
            actions: vec![],
            wake: None,
        }
    }

    /// The same member, of a process that began before `now` of [`Self::new`].
    #[must_use]
    pub fn of_process_since(self, started: Stamp) -> Self {
        Self { started: started.mono, ..self }
    }

    /// The same member, with its ring and its work, for a ring that may have other rings beside it.
    #[must_use]
    pub fn beside_others(self, own: Claimant) -> Self {
        Self { beside: Beside::of(own), ..self }
    }

    /// The process's next incarnation, after [`Action::Ended`]. It does not use what the one before knew, so it asks
    /// for new watches.
    #[must_use]
    pub fn next(self, incarnation: Incarnation, now: Stamp) -> Self {
        let me = Identity { incarnation, ..self.me };
        let not_before = now.mono + self.timing.retry();
        let mut next = Self::with_permits(me, self.timing, self.slots, self.permits, not_before);
        next.payload = self.payload;
        next.started = self.started;
        next.beside = self.beside.next();
        next.actions.push(Action::RestartWatches);
        next
    }

    /// Takes in an event. Returns the actions that follow from it.
    pub fn handle(&mut self, event: Event, now: Stamp) -> Vec<Action> {
        self.permits.forget_old(now);
        // This comes before the event, because the event may be a late answer that renews the permit. A lapse counts
        // even if nobody saw it.
        self.notice_lapse(now);
        self.take_in(event, now);
        self.step(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due if nothing else happens before, by the monotonic clock.
    pub fn next_wake(&self) -> Option<Duration> {
        self.wake
    }

    /// The permit to work on a slot, if the member has one.
    pub fn permit(&self, slot: Slot, now: Stamp) -> Option<SlotPermit> {
        self.permits.of(slot, now)
    }

    /// Whether a permit still holds.
    pub fn holds(&self, permit: SlotPermit, now: Stamp) -> bool {
        self.permits.holds(permit, now)
    }

    /// Begins a call. The caller must send it now. [`Self::call_ended`] or [`Self::call_cancelled`] must follow, and
    /// [`Event::Tick`] after either.
    ///
    /// # Errors
    /// [`Lapsed`]: the call must not go out.
    pub fn begin_call(&mut self, permit: SlotPermit, now: Stamp) -> Result<CallId, Lapsed> {
        self.permits.begin(permit, now)
    }

    /// A call got its reply, or its time-out has passed.
    pub fn call_ended(&mut self, call: CallId) {
        self.permits.ended(call);
    }

    /// A call was given up, and it may still be running.
    pub fn call_cancelled(&mut self, call: CallId) {
        self.permits.cancelled(call);
    }

    /// The name of the incarnation.
    pub fn incarnation(&self) -> &Incarnation {
        &self.me.incarnation
    }

    /// The ring that the member applies.
    pub fn ring(&self) -> Option<&Stored<Ring>> {
        self.view.stored()
    }

    /// For how long calls may still begin.
    pub fn left(&self, now: Stamp) -> Duration {
        self.permits.left(now)
    }

    /// The slots that the member may work on if its permit has not run out.
    pub fn owned(&self) -> impl ExactSizeIterator<Item = Slot> + '_ {
        self.permits.owned()
    }

    /// Whether it is the leader.
    pub fn leads(&self) -> bool {
        self.lead.held
    }

    /// Whether it is a member that applies the ring and may be given slots.
    pub fn has_joined(&self) -> bool {
        self.own.is_held() && self.view.is_trusted() && !self.phase.is_over()
    }

    /// Whether the ring names it as a member and it gives way to no other ring. From then on a leader gives it slots.
    pub fn is_in_ring(&self) -> bool {
        let takes_part = self.has_joined() && self.beside.is_settled() && self.conflict().is_none();
        let ring = self.view.stored().filter(|_| takes_part);
        ring.is_some_and(|ring| ring.value.members.contains_key(&self.me.incarnation))
    }

    /// Why this release cannot take part in the ring. None if it can.
    pub fn unsupported(&self) -> Option<&str> {
        self.view.unsupported()
    }

    /// Why the member takes no part, if another ring does the same work: the text names that ring's member.
    pub fn conflict(&self) -> Option<&str> {
        self.beside.conflict()
    }

    /// The payloads of the other members, as their Leases show them.
    pub fn payloads(&self) -> impl Iterator<Item = (&Incarnation, &str)> {
        self.peers.bound_to(self.view.uid()).map(|lease| (&lease.incarnation, &*lease.payload))
    }

    fn take_in(&mut self, event: Event, now: Stamp) {
        match event {
            Event::Tick => {}
            Event::MemberSeen(lease) if lease.value.incarnation == self.me.incarnation => {
                self.see_own(&lease, now);
            }
            Event::MemberSeen(lease) => self.see_peer(lease, now),
            Event::MemberGone(incarnation) if incarnation == self.me.incarnation => self.own.must_read(),
            Event::MemberGone(incarnation) => self.peers.lost(&incarnation),
            Event::LeaderSeen(lease) => self.lead.seen(lease, now),
            Event::LeaderGone => self.lead.gone(),
            Event::LeasesListed => self.peers.listed = true,
            Event::RingSeen(ring) => self.ring_seen(ring),
            Event::RingGone => self.view.must_read(),
            Event::Answered { request, answer } => {
                if let Some(purpose) = self.requests.remove(&request) {
                    self.answered(purpose, answer, now);
                }
            }
            Event::ProcessDead(incarnation) => self.peers.is_dead(&incarnation, now.mono),
            Event::Stop => self.stop(now),
            Event::Payload(payload) => self.payload = payload,
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: Answer, now: Stamp) {
        match purpose {
            Purpose::Join(counter) => self.join_answered(counter, answer, now),
            Purpose::Renew(counter) => self.renew_answered(counter, answer, now),
            Purpose::ReadOwn(confirmed) => self.own_read(confirmed, answer, now),
            Purpose::Release => self.released(&answer),
            Purpose::ReadRing(asked) => self.ring_read(asked, answer, now),
            Purpose::CreateRing => self.ring_created(&answer, now),
            Purpose::WriteRing => self.ring_written(answer, now),
            Purpose::Seal(peer, silent) => self.seal_answered(&peer, silent, answer, now),
            Purpose::Placeholder(peer) | Purpose::ReadPeer(peer) => self.peer_read(&peer, answer, now),
            Purpose::Mark(peer) => self.mark_answered(&peer, answer, now),
            Purpose::CheckBeside(asked) => self.beside_checked(asked, answer, now),
            Purpose::Collect(peer) => self.collected(&peer, &answer, now),
            Purpose::ListForOpening => self.opening_listed(&answer, now),
            Purpose::TakeLead | Purpose::RenewLead | Purpose::ReadLead | Purpose::GiveUpLead => {
                self.lead_answered(&purpose, answer, now);
            }
        }
    }

    /// Applies all rules once.
    fn step(&mut self, now: Stamp) {
        self.wake = None;
        if self.phase.is_over() {
            self.end(now);
            return;
        }
        if !self.is_due(self.not_before, now) {
            return;
        }
        self.notice_lapse(now);
        self.rest_only_beside_others(now);
        self.read_ring_where_in_doubt(now);
        self.own_what_the_ring_says();
        self.notice_handoffs(now);
        self.acknowledge(now);
        self.leave(now);
        self.check_beside(now);
        self.join_or_renew(now);
        self.complete_moves(now);
        self.seal_predecessors(now);
        self.lead(now);
        self.own_what_the_ring_says();
        if self.phase.is_over() {
            self.end(now);
        }
    }

    /// Whether an instant has come. If not, the member wakes up then and looks again.
    fn is_due(&mut self, at: Duration, now: Stamp) -> bool {
        if at <= now.mono {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }

    fn request(&mut self, purpose: Purpose, op: Op) {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.requests.insert(id, purpose);
        self.actions.push(Action::Request { id, op });
    }

    fn is_asking(&self, like: impl Fn(&Purpose) -> bool) -> bool {
        self.requests.values().any(like)
    }

    fn tell(&mut self, story: Story) {
        self.actions.push(Action::Tell(story));
    }
}
