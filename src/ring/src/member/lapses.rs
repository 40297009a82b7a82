//! A permit that runs out before it is renewed. A member whose permit lapses again and again hands over what it has.

use std::time::Duration;

use super::Member;
use crate::{protocol::Story, time::Stamp, timing::Timing};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    /// When the present one began.
    pub(super) since: Option<Duration>,
    /// When the last ones began.
    lately: Vec<Duration>,
    /// The member takes nothing until then.
    rests_until: Option<Duration>,
}

impl Member {
    /// The permit has run out, or is back.
    pub(super) fn notice_lapse(&mut self, now: Stamp) {
        if !self.own.is_held() || self.phase.is_over() {
            return;
        }
        let left = self.permits.left(now);
        match self.lapses.since {
            None if left.is_zero() => {
                self.lapses.since = Some(now.mono);
                self.lapses.lately.push(now.mono);
                self.give_up_lead_silently();
                self.tell(Story::Lapsed);
                self.rest_after_lapses(now);
            }
            Some(since) if !left.is_zero() => {
                self.lapses.since = None;
                // The store may have been restored meanwhile: nothing is owned until the ring is read anew.
                self.view.distrust();
                // Another ring may have begun, for this one was silent.
                self.beside.distrust(now);
                // Others looked silent because nothing could be heard.
                self.peers.begin_anew(now);
                self.lead.begin_anew(now);
                self.leave_lead_to_others(now);
                self.tell(Story::Renewed(now.mono.saturating_sub(since)));
            }
            _ => {}
        }
        if !left.is_zero() {
            self.is_due(now.mono + left, now);
        }
    }

    fn rest_after_lapses(&mut self, now: Stamp) {
        let window = self.timing.lapse_window();
        self.lapses.lately.retain(|at| now.mono.saturating_sub(*at) < window);
        if self.lapses.lately.len() >= Timing::LAPSES_MAX {
            self.lapses.lately.clear();
            self.lapses.rests_until = Some(now.mono + window);
        }
    }

    /// Where most would rest, nobody does: an API server that comes and goes is no member's own trouble, and
    /// what nobody owns must go to somebody.
    pub(super) fn rest_only_beside_others(&mut self, now: Stamp) {
        if self.rests(now) && self.may_judge(now) {
            let (working, resting) = self.working_and_leaving();
            if working <= resting {
                self.lapses.rests_until = None;
            }
        }
    }

    /// Whether it takes nothing for a while, for its permit lapsed too often.
    pub(super) fn rests(&self, now: Stamp) -> bool {
        self.lapses.rests_until.is_some_and(|until| now.mono < until)
    }
}
