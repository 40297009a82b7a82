//! Other rings beside this one: when they are checked, and what comes of it ([`neighbours`](crate::neighbours)).
//!
//! A member of which it is not known what it works on checks nothing: it is alone.

use std::{sync::Arc, time::Duration};

use super::{Member, Purpose, leave::Phase};
use crate::{
    claim::{Claim, Neighbour},
    neighbours::{Claimant, Neighbours, Stage},
    protocol::{Answer, Op, Story},
    time::Stamp,
};

/// Shortest time between two checks if nobody is in the way. By then no new ring begins beside this one: these checks
/// find those that cannot see it, and members of release 0.1.0.
const INTERVAL: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Beside {
    own: Option<Claimant>,
    neighbours: Neighbours,
    /// Counts the occasions from which on only a newer check tells.
    doubts: u64,
    /// The doubt that has been checked away.
    settled: Option<u64>,
    /// The last check before joining found nobody in the way.
    may_join: bool,
    next_at: Duration,
    /// Who is in the way.
    conflict: Option<String>,
    /// This incarnation goes because of that.
    gives_way: bool,
}

/// What was known when a check was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    doubts: u64,
    /// The own Lease was there.
    held: bool,
}

impl Beside {
    pub(super) fn of(own: Claimant) -> Self {
        Self { own: Some(own), ..Self::default() }
    }

    /// For the next incarnation: what was seen stays seen.
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

    /// Whether a check allows to work.
    pub(super) fn is_settled(&self) -> bool {
        self.own.is_none() || self.settled == Some(self.doubts)
    }

    /// From now on only a newer check tells.
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
    /// Asks for the members of other rings, if that is due.
    pub(super) fn check_beside(&mut self, now: Stamp) {
        let held = self.own.is_held();
        // Nobody is to join before the ring is there.
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

    /// Not if a newer check is wanted at once.
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
            // Longer than one takes that gives way.
            renew * 2
        } else {
            INTERVAL.max(renew * 2)
        }
    }

    /// Does not join; or hands over what there is, and goes.
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
