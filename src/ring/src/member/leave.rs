//! Handing over, and the end of an incarnation.
//!
//! A leaver works on until its successors are named, drains, and marks its Lease released when the ring
//! names it no more. Where nobody is there to take over, or nobody plans, it stops working, lets its calls
//! end and is released with its slots: what is released may be given away at once.

use std::time::Duration;

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, planted},
    protocol::{Action, Answer, End, Op, Story},
    record::{MemberLease, Standing},
    time::Stamp,
};

/// Where an incarnation is between its begin and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes part.
    Running,
    /// It works on until others are named.
    Leaving(Duration),
    /// It works no more, and ends when its calls have.
    Parting(Duration),
    /// It is over, but its calls may be not.
    Over(End),
    /// It has said that it is over.
    Ended,
}

impl Phase {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over(_) | Self::Ended)
    }

    pub(super) fn leaves_for_good(self) -> bool {
        self != Self::Running
    }

    pub(super) fn is_parting(self) -> bool {
        matches!(self, Self::Parting(_)) || self.is_over()
    }

    /// Whether it may work on slots.
    pub(super) fn works(self) -> bool {
        matches!(self, Self::Running | Self::Leaving(_))
    }
}

impl Member {
    /// The process is to end.
    pub(super) fn stop(&mut self, now: Stamp) {
        if self.phase != Phase::Running {
            return;
        }
        let joins = self.is_asking(|purpose| matches!(purpose, Purpose::Join(_)));
        if self.own.is_held() || joins {
            self.begin_to_leave(now);
        } else {
            self.is_over(End::Left);
        }
    }

    pub(super) fn begin_to_leave(&mut self, now: Stamp) {
        self.phase = Phase::Leaving(now.mono);
        self.tell(Story::Leaving);
    }

    pub(super) fn is_over(&mut self, end: End) {
        if !self.phase.is_over() {
            self.phase = Phase::Over(end);
        }
    }

    pub(super) fn leave(&mut self, now: Stamp) {
        match self.phase {
            Phase::Running if self.own.told_to_leave => self.begin_to_leave(now),
            Phase::Leaving(since) => {
                // Nobody is there, or nobody plans.
                let alone = self.peers.listed && !self.has_successors();
                let named = self.is_named();
                if alone || !named || self.is_due(since + self.timing.lease(), now) {
                    self.phase = Phase::Parting(now.mono);
                    self.own_what_the_ring_says();
                }
            }
            _ => {}
        }
        if let Phase::Parting(since) = self.phase {
            self.part(since, now);
        }
    }

    pub(super) fn has_successors(&self) -> bool {
        self.working_and_leaving().0 > 0
    }

    /// How many others take slots, and how many keep theirs only until somebody else is named.
    pub(super) fn working_and_leaving(&self) -> (usize, usize) {
        let others = self.peers.bound_to(self.view.uid()).filter(|lease| lease.counter > 0);
        let others = others.filter(|lease| !lease.standing.is_over());
        let (working, leaving): (Vec<_>, Vec<_>) =
            others.partition(|lease| lease.standing == Standing::Active && !lease.told_to_leave);
        (working.len(), leaving.len())
    }

    fn is_named(&self) -> bool {
        let ring = self.view.stored();
        ring.is_some_and(|ring| ring.value.names(&self.me.incarnation))
    }

    /// Lets calls end, then hands back the lead, then marks the Lease released.
    fn part(&mut self, since: Duration, now: Stamp) {
        // A member that cannot say so is taken for silent, and sealed.
        if self.is_due(since + self.timing.lease(), now) {
            self.is_over(self.end_in_order());
            return;
        }
        if !self.permits.is_quiet() {
            self.wake_when_calls_are_over(now);
            return;
        }
        if self.own.has_doubts() || self.asks_about_itself() || !self.hand_back_lead(now) {
            return;
        }
        self.release();
    }

    fn release(&mut self) {
        let Some((uid, version)) = self.own.found() else {
            self.is_over(self.end_in_order());
            return;
        };
        let counter = self.own.last_counter() + 1;
        let lease = self.own_lease(counter, Standing::Released);
        self.request(Purpose::Release, Op::UpdateMember { uid, version, lease });
    }

    pub(super) fn released(&mut self, answer: &Answer) {
        match answer {
            Answer::Conflict if !self.phase.is_over() => self.own.must_read(),
            // Done; or gone; or nobody knows, and a Lease that is silent will be sealed.
            _ => self.is_over(self.end_in_order()),
        }
    }

    /// Why it ends if it ends in order.
    fn end_in_order(&self) -> End {
        if self.beside.gives_way() { End::GaveWay } else { End::Left }
    }

    /// Ends when the last call has.
    pub(super) fn end(&mut self, now: Stamp) {
        let Phase::Over(end) = self.phase else {
            return;
        };
        self.permits.revoke_with_notice(&mut self.actions);
        self.give_up_lead_silently();
        if !self.permits.is_quiet() && !planted(Bug::NextDoesNotWait) {
            self.wake_when_calls_are_over(now);
            return;
        }
        if self.asks_about_itself() {
            return;
        }
        // The Lease of a ring that is gone keeps a new one closed until it is over; one that still looks
        // alive in a ring that cannot be taken part in is given slots.
        if matches!(end, End::RingGone | End::Unsupported) && self.own.give_away_release() {
            self.release();
            return;
        }
        self.phase = Phase::Ended;
        self.actions.push(Action::Ended(end));
    }

    /// The own Lease as a plan is to see it. It may be ahead of what stands at the API server: in what it takes
    /// from others, and in what it has drained, which is true before it is told; never in being over.
    pub(super) fn own_lease_as_planned(&self, now: Stamp) -> MemberLease {
        let standing = self.standing(now);
        MemberLease { created: self.own.created(), ..self.own_lease(self.own.last_counter(), standing) }
    }
}
