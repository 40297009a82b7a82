//! A permit lapses if it runs out before it is renewed. If the permit of a member lapses again and again, the member
//! hands over its slots.

use std::time::Duration;

use super::Member;
use crate::{protocol::Story, time::Stamp, timing::Timing};

/// The lapses of this member's permit.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    /// When the present lapse began.
    pub(super) since: Option<Duration>,
    /// When the last lapses began.
    lately: Vec<Duration>,
    /// Until then the member takes no slots.
    rests_until: Option<Duration>,
}

impl Member {
    /// Notices that the permit has run out, or that it was renewed after a lapse.
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
                // The store may have been restored meanwhile. So the member owns nothing until it has read the ring
                // anew.
                self.view.distrust();
                // Another ring may have begun, because this member was silent.
                self.beside.distrust(now);
                // Others may have looked silent only because nothing could be heard.
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

    /// If most members would rest, none does. Then the trouble is an API server that comes and goes, not a member, and
    /// each slot needs an owner.
    pub(super) fn rest_only_beside_others(&mut self, now: Stamp) {
        if self.rests(now) && self.may_judge(now) {
            let (working, resting) = self.working_and_leaving();
            if working <= resting {
                self.lapses.rests_until = None;
            }
        }
    }

    /// Whether the member takes no slots for a while, because its permit lapsed too often.
    pub(super) fn rests(&self, now: Stamp) -> bool {
        self.lapses.rests_until.is_some_and(|until| now.mono < until)
    }
}
