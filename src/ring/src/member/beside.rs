//! Other rings beside this one: when the member checks them, and what follows ([`neighbours`](crate::neighbours)).
//!
//! A member without a claim does not check. It is alone.

use std::{sync::Arc, time::Duration};

use super::{Member, Purpose, leave::Phase};
use crate::{
    claim::{Claim, Neighbour},
    neighbours::{Claimant, Neighbours, Stage},
    protocol::{Answer, Op, Story},
    time::Stamp,
};

/// The shortest time between two checks if the member gives way to nobody. At that time no new ring begins beside this
/// one. The checks find rings that cannot see this one, and members of release 0.1.0.
const INTERVAL: Duration = Duration::from_mins(1);

/// What the member knows of other rings, and when it checks them next.
#[derive(Debug, Default)]
pub(super) struct Beside {
    own: Option<Claimant>,
    neighbours: Neighbours,
    /// Grows whenever only a newer check counts from then on.
    doubts: u64,
    /// The value of `doubts` when the last check that allowed work was sent.
    settled: Option<u64>,
    /// The last check before joining found no neighbour to give way to.
    may_join: bool,
    next_at: Duration,
    /// The neighbour to which the member gives way, as a text.
    conflict: Option<String>,
    /// This incarnation leaves because of that neighbour.
    gives_way: bool,
}

/// What the member knew when it sent a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    doubts: u64,
    /// The own Lease existed.
    held: bool,
}

impl Beside {
    pub(super) fn of(own: Claimant) -> Self {
        Self { own: Some(own), ..Self::default() }
    }

    /// The state for the next incarnation. It keeps the neighbours that were seen.
    pub(super) fn next(self) -> Self {
        let Self { own, neighbours, conflict, .. } = self;
        Self { own, neighbours, conflict, ..Self::default() }
    }

    pub(super) fn claim(&self) -> Option<Arc<Claim>> {
        self.own.as_ref().map(|own| Arc::new(own.claim.clone()))
    }

    pub(super) fn may_join(&self) -> bool {
        self.own.is_none() || self.may_join
    }

    /// Whether a check allows the member to work.
    pub(super) fn is_settled(&self) -> bool {
        self.own.is_none() || self.settled == Some(self.doubts)
    }

    /// From now on only a newer check counts.
    pub(super) fn distrust(&mut self, now: Stamp) {
        self.doubts += 1;
        self.next_at = now.mono;
    }

    pub(super) fn conflict(&self) -> Option<&str> {
        self.conflict.as_deref()
    }

    pub(super) fn gives_way(&self) -> bool {
        self.gives_way
    }
}

impl Member {
    /// Lists the members of other rings, if that is due.
    pub(super) fn check_beside(&mut self, now: Stamp) {
        let held = self.own.is_held();
        // Before the ring exists, nobody can join, so no check is needed.
        let concerns = self.beside.own.is_some() && (held || self.view.is_trusted());
        let is_asking = self.is_asking(|purpose| matches!(purpose, Purpose::CheckBeside(_)));
        if !concerns || is_asking || !self.phase.works() || self.beside.gives_way {
            return;
        }
        if self.is_due(self.beside.next_at, now) {
            let asked = Asked { doubts: self.beside.doubts, held };
            self.request(Purpose::CheckBeside(asked), Op::ListNeighbours);
        }
    }

    pub(super) fn beside_checked(&mut self, asked: Asked, answer: Answer, now: Stamp) {
        if let Answer::Neighbours { members, sees_all } = answer {
            self.take_in_neighbours(members, sees_all, now);
            self.decide_beside(asked, now);
        } else {
            self.beside.neighbours.begin_anew(now.mono);
            self.check_beside_after(self.timing.retry(), asked, now);
        }
    }

    fn take_in_neighbours(&mut self, members: Vec<Neighbour>, sees_all: bool, now: Stamp) {
        if let Some(own) = &mut self.beside.own {
            own.claim.sees_all = sees_all;
            self.beside.neighbours.take_in(own, members, self.timing.lease(), now.mono);
        }
    }

    fn decide_beside(&mut self, asked: Asked, now: Stamp) {
        let Some(own) = &self.beside.own else {
            return;
        };
        let in_the_way =
            self.beside.neighbours.in_the_way(own, self.stage()).next().map(|seen| own.text(seen));
        if let Some(text) = in_the_way {
            self.give_way(text, now);
        } else if !asked.held {
            self.beside.may_join = true;
            self.beside.conflict = None;
        } else if !self.beside.neighbours.any_alive() {
            self.beside.settled = Some(asked.doubts);
            self.beside.conflict = None;
        }
        self.check_beside_after(self.until_next_check(), asked, now);
    }

    /// Sets the time of the next check, unless a newer check is due at once.
    fn check_beside_after(&mut self, wait: Duration, asked: Asked, now: Stamp) {
        if asked.doubts == self.beside.doubts {
            self.beside.next_at = now.mono + wait;
        }
    }

    fn stage(&self) -> Stage {
        match (self.own.is_held(), self.beside.is_settled()) {
            (false, _) => Stage::Outside,
            (true, false) => Stage::Unproved,
            (true, true) => Stage::Proved,
        }
    }

    fn until_next_check(&self) -> Duration {
        let renew = self.timing.renew();
        if !self.own.is_held() {
            renew
        } else if self.beside.neighbours.any_alive() {
            // This is longer than a neighbour takes to give way.
            renew * 2
        } else {
            INTERVAL.max(renew * 2)
        }
    }

    /// Makes the member give way: it does not join, or it hands over its slots and leaves.
    fn give_way(&mut self, text: String, now: Stamp) {
        self.beside.may_join = false;
        if self.beside.conflict.is_none() {
            self.tell(Story::GivesWay(text.clone()));
        }
        self.beside.conflict = Some(text);
        if self.own.is_held() && self.phase == Phase::Running {
            self.beside.gives_way = true;
            self.begin_to_leave(now);
        }
    }
}
