//! The hand-over, and the end of an incarnation.
//!
//! A leaving member works on until its successors are named. Then it drains, and it marks its Lease released when the
//! ring does not name it any more. If there is no successor, or nobody plans, it stops working, lets its calls end, and
//! releases its Lease with its slots. The slots of a released Lease may be given away at once.

use std::time::Duration;

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, is_injected},
    protocol::{Action, Answer, End, Op, Story},
    record::{MemberLease, Standing},
    time::Stamp,
};

/// The phase of an incarnation between its begin and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes part.
    Running,
    /// It works on until others are named.
    Leaving(Duration),
    /// It does not work any more. It ends when its calls have ended.
    Parting(Duration),
    /// It is over, but its calls may still run.
    Over(End),
    /// It has reported that it is over.
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
    /// The process shall end.
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
                // No other member is there, or nobody plans.
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

    /// How many others take slots, and how many keep theirs only until another member is named.
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

    /// Lets the calls end, then gives the lead back, then marks the Lease released.
    fn part(&mut self, since: Duration, now: Stamp) {
        // A member that cannot write this looks silent to others, and they seal its Lease.
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
            // The Lease is released, or it is gone, or the result is not known. Then others seal it when it has been
            // silent.
            _ => self.is_over(self.end_in_order()),
        }
    }

    /// The reason of an orderly end.
    fn end_in_order(&self) -> End {
        if self.beside.gives_way() { End::GaveWay } else { End::Left }
    }

    /// Ends the incarnation when its last call has ended.
    pub(super) fn end(&mut self, now: Stamp) {
        let Phase::Over(end) = self.phase else {
            return;
        };
        self.permits.revoke_with_notice(&mut self.actions);
        self.give_up_lead_silently();
        if !self.permits.is_quiet() && !is_injected(Bug::NextDoesNotWait) {
            self.wake_when_calls_are_over(now);
            return;
        }
        if self.asks_about_itself() {
            return;
        }
        // The Lease of a ring that is gone keeps a new ring closed until it is over. A Lease that looks alive in a ring
        // that this release does not understand would be given slots. So both are released.
        if matches!(end, End::RingGone | End::Unsupported) && self.own.give_away_release() {
            self.release();
            return;
        }
        self.phase = Phase::Ended;
        self.actions.push(Action::Ended(end));
    }

    /// The own Lease for a plan. It may be ahead of the Lease at the API server in two things: in what this member
    /// takes from others, and in what it has drained, which is true before the Lease says it. It is never ahead in
    /// being over.
    pub(super) fn own_lease_as_planned(&self, now: Stamp) -> MemberLease {
        let standing = self.standing(now);
        MemberLease { created: self.own.created(), ..self.own_lease(self.own.last_counter(), standing) }
    }
}
