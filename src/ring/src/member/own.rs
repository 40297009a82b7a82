//! The own Lease.
//!
//! It is created once. It is renewed by compare-and-swap, and each attempt has a counter of its own. An attempt is
//! known to have succeeded only if its reply, a read, or the watch shows its counter. The permit then counts from when
//! that attempt was *sent*. The store took it in later. So if another process sees the Lease unchanged for L, it began
//! to look after that sending.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, is_injected},
    protocol::{Answer, End, Op, Story},
    record::{MemberLease, Standing, Stored},
    slot::Slot,
    time::Stamp,
};

/// The largest number of attempts that are remembered. Older ones give no permit any more.
const SENT_MAX: usize = 16;

/// The own Lease, and the attempts to renew it.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The uid and version of the Lease. None before it was created.
    held: Option<Held>,
    counter: u64,
    /// When each attempt was sent.
    sent: BTreeMap<u64, Stamp>,
    /// The newest attempt that is known to have succeeded.
    confirmed: u64,
    /// Confirmed attempts that the watch has not shown, and when each was confirmed.
    unechoed: VecDeque<(u64, Duration)>,
    /// When the watch last showed one of them.
    echoed_at: Duration,
    /// When the next attempt is due.
    next_at: Duration,
    last_sent_at: Duration,
    reads: bool,
    /// The leader wants this incarnation to leave.
    pub(super) told_to_leave: bool,
    created: i64,
    release_tried: bool,
    /// The value of [`MemberLease::acked`].
    pub(super) acked: u64,
    /// The value of [`MemberLease::draining`].
    pub(super) draining: BTreeSet<Slot>,
    /// What the last attempt told others.
    said: Option<Said>,
}

/// The parts of a Lease that others wait for. If they change, the Lease is renewed at once.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    acked: u64,
    draining: BTreeSet<Slot>,
    standing: Standing,
    payload: Arc<str>,
}

#[derive(Debug)]
struct Held {
    uid: Arc<str>,
    version: u64,
}

impl Own {
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn must_read(&mut self) {
        // If the result of the creation is not known, a read is due already.
        self.reads |= self.held.is_some();
    }

    /// The uid and version that the next write must find.
    pub(super) fn found(&self) -> Option<(Arc<str>, u64)> {
        self.held.as_ref().map(|held| (held.uid.clone(), held.version))
    }

    /// How long the watch has shown nothing although it should have. A watch that lags steadily is not silent.
    pub(super) fn silent_for(&self, now: Stamp) -> Duration {
        let since = self.unechoed.front().map(|(_, at)| self.echoed_at.max(*at));
        since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since))
    }

    /// The watch shows an attempt.
    fn echoed(&mut self, counter: u64, now: Stamp) {
        let before = self.unechoed.len();
        self.unechoed.retain(|(confirmed, _)| *confirmed > counter);
        if self.unechoed.len() < before {
            self.echoed_at = now.mono;
        }
    }

    /// Whether a read must come before the next write.
    pub(super) fn has_doubts(&self) -> bool {
        self.reads
    }

    pub(super) fn last_counter(&self) -> u64 {
        self.counter
    }

    /// When the Lease was created, by the API server's clock.
    pub(super) fn created(&self) -> i64 {
        self.created
    }

    /// Whether there is a Lease that was not tried to be released before. It returns true at most once.
    pub(super) fn give_away_release(&mut self) -> bool {
        self.is_held() && !std::mem::replace(&mut self.release_tried, true)
    }

    fn adopt(&mut self, lease: &Stored<MemberLease>) {
        self.held = Some(Held { uid: lease.uid.clone(), version: lease.version });
        self.told_to_leave |= lease.value.told_to_leave;
        self.created = lease.value.created;
    }
}

impl Member {
    /// What the own Lease shall say.
    pub(super) fn own_lease(&self, counter: u64, standing: Standing) -> MemberLease {
        MemberLease {
            incarnation: self.me.incarnation.clone(),
            ring: self.view.bound_to().unwrap_or_default(),
            duration: self.timing.lease(),
            call: Some(self.timing.call()),
            counter,
            applied: self.view.epoch(),
            acked: self.own.acked,
            draining: self.own.draining.clone(),
            standing,
            told_to_leave: self.own.told_to_leave,
            container: self.me.container.clone(),
            protocol: self.me.protocol,
            release: self.me.release.clone(),
            created: 0,
            payload: self.payload.clone(),
            claim: self.beside.claim(),
        }
    }

    /// Whether a request for the own Lease is under way. There is one at a time.
    pub(super) fn asks_about_itself(&self) -> bool {
        self.is_asking(|purpose| {
            matches!(purpose, Purpose::Join(_) | Purpose::Renew(_) | Purpose::ReadOwn(_) | Purpose::Release)
        })
    }

    /// Creates the Lease, or renews it if that is due.
    pub(super) fn join_or_renew(&mut self, now: Stamp) {
        if self.phase.is_over() || self.asks_about_itself() || !self.is_due(self.own.next_at, now) {
            return;
        }
        let Some((uid, version)) = self.own.found() else {
            let may = self.view.is_trusted() && self.beside.may_join() && !self.phase.leaves_for_good();
            if self.own.counter == 0 && may {
                self.view.bind();
                let counter = self.next_attempt(now);
                let lease = self.own_lease(counter, Standing::Active);
                self.request(Purpose::Join(counter), Op::CreateMember(lease));
            } else if self.own.reads {
                self.request(Purpose::ReadOwn(0), Op::ReadMember(self.me.incarnation.clone()));
            }
            return;
        };
        if self.own.reads {
            let confirmed = self.own.confirmed;
            self.request(Purpose::ReadOwn(confirmed), Op::ReadMember(self.me.incarnation.clone()));
            return;
        }
        let standing = self.standing(now);
        let said = self.to_say(standing);
        let news = self.own.said.as_ref() != Some(&said);
        let gap = if news { self.timing.renew_gap() } else { self.timing.renew() };
        if !self.is_due(self.own.last_sent_at + gap, now) {
            return;
        }
        self.own.said = Some(said);
        let counter = self.next_attempt(now);
        let lease = self.own_lease(counter, standing);
        self.request(Purpose::Renew(counter), Op::UpdateMember { uid, version, lease });
    }

    fn to_say(&self, standing: Standing) -> Said {
        let Own { acked, draining, .. } = &self.own;
        Said { acked: *acked, draining: draining.clone(), standing, payload: self.payload.clone() }
    }

    pub(super) fn standing(&self, now: Stamp) -> Standing {
        if self.phase.leaves_for_good() || self.rests(now) { Standing::Leaving } else { Standing::Active }
    }

    fn next_attempt(&mut self, now: Stamp) -> u64 {
        self.own.counter += 1;
        self.own.sent.insert(self.own.counter, now);
        while self.own.sent.len() > SENT_MAX {
            self.own.sent.pop_first();
        }
        self.own.last_sent_at = now.mono;
        self.own.counter
    }

    pub(super) fn join_answered(&mut self, counter: u64, answer: Answer, now: Stamp) {
        match answer {
            Answer::Member(lease) => self.joined(counter, &lease, now),
            // The Lease may have been created, or may still be. Another creation could bring an owner back whose death
            // somebody has proved by creating the Lease. So only a read tells.
            Answer::Failed => {
                self.own.reads = true;
                self.own.next_at = now.mono + self.timing.request();
            }
            _ => self.is_over(End::NeverJoined),
        }
    }

    fn joined(&mut self, counter: u64, lease: &Stored<MemberLease>, now: Stamp) {
        let first = !self.own.is_held();
        self.own.adopt(lease);
        self.confirm(counter, now);
        if first {
            self.own.said = Some(self.to_say(Standing::Active));
            // Others may have looked silent until now only because nothing could be heard.
            self.peers.begin_anew(now);
            self.lead.begin_anew(now);
            self.beside.distrust(now);
            self.tell(Story::Joined);
        }
    }

    pub(super) fn renew_answered(&mut self, counter: u64, answer: Answer, now: Stamp) {
        match answer {
            Answer::Member(lease) => {
                self.own.adopt(&lease);
                self.confirm(counter, now);
            }
            Answer::Conflict => {
                self.own.reads = true;
                self.own.next_at = now.mono;
            }
            Answer::NotFound if is_injected(Bug::CreatesLeaseAgain) => {
                self.own.held = None;
                self.own.counter = 0;
                self.own.confirmed = 0;
            }
            Answer::NotFound => self.is_over(End::LeaseGone),
            _ => {
                if is_injected(Bug::AnyAnswerRenews) {
                    self.confirm(counter, now);
                }
                self.own.said = None;
                // The wait counts from the sending. So a request that timed out is sent again at once, and one that was
                // refused is not.
                self.own.next_at = self.own.last_sent_at + self.timing.retry();
            }
        }
    }

    /// Takes in a consistent read of the own Lease. `confirmed` was the newest attempt known to have succeeded when the
    /// read was sent.
    pub(super) fn own_read(&mut self, confirmed: u64, answer: Answer, now: Stamp) {
        let lease = match answer {
            Answer::Member(lease) => lease,
            Answer::NotFound => {
                let never = !self.own.is_held();
                self.is_over(if never { End::NeverJoined } else { End::LeaseGone });
                return;
            }
            _ => {
                self.own.next_at = now.mono + self.timing.retry();
                return;
            }
        };
        let another = self.own.held.as_ref().is_some_and(|held| held.uid != lease.uid);
        if another || lease.value.incarnation != self.me.incarnation {
            self.is_over(End::LeaseGone);
        } else if lease.value.standing.is_over() && !is_injected(Bug::IgnoresSeal) {
            self.is_over(End::Sealed);
        } else if lease.value.counter < confirmed && !is_injected(Bug::GoesOnAfterRestore) {
            self.is_over(End::WentBack);
        } else {
            self.own.reads = false;
            self.own.said = None;
            self.own.next_at = now.mono;
            let counter = lease.value.counter;
            if self.own.is_held() {
                self.own.adopt(&lease);
                self.confirm(counter, now);
            } else {
                self.joined(counter, &lease, now);
            }
        }
    }

    /// The watch shows the own Lease. It may lag, but what it shows was true once.
    pub(super) fn see_own(&mut self, lease: &Stored<MemberLease>, now: Stamp) {
        let Some(held) = &self.own.held else {
            return;
        };
        if held.uid != lease.uid {
            self.own.must_read();
            return;
        }
        if lease.value.standing == Standing::Sealed && !is_injected(Bug::IgnoresSeal) {
            self.is_over(End::Sealed);
            return;
        }
        self.own.told_to_leave |= lease.value.told_to_leave;
        let counter = lease.value.counter;
        if counter > self.own.confirmed {
            self.confirm(counter, now);
        }
        self.own.echoed(counter, now);
    }

    /// The attempt with this counter has succeeded.
    fn confirm(&mut self, counter: u64, now: Stamp) {
        let Some(sent) = self.own.sent.get(&counter).copied() else {
            return;
        };
        self.permits.renew(if is_injected(Bug::PermitFromReply) { now } else { sent });
        if counter > self.own.confirmed {
            self.own.confirmed = counter;
            // The first one decides how long the watch is silent, so later ones need not all be kept.
            if self.own.unechoed.len() < SENT_MAX {
                self.own.unechoed.push_back((counter, now.mono));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::all(Duration::from_secs(seconds))
    }

    #[test]
    fn a_watch_that_lags_steadily_is_not_silent_and_one_that_stands_still_is() {
        // given renewals every 3 s, each shown by the watch 7 s later
        let mut own = Own::default();
        let silent: Vec<u64> = (0..40)
            .map(|second| {
                if second % 3 == 0 {
                    own.unechoed.push_back((second / 3, at(second).mono));
                }
                if second >= 7 && second % 3 == 1 {
                    own.echoed((second - 7) / 3, at(second));
                }
                own.silent_for(at(second)).as_secs()
            })
            .collect();
        // then it is silent at first, and from then on for as long as renewals are apart
        assert_eq!(silent[..8], [0, 1, 2, 3, 4, 5, 6, 0]);
        assert!(silent[7..].iter().all(|seconds| *seconds < 3), "{silent:?}");
        // when it stands still, then the time since its last word counts
        assert_eq!(own.silent_for(at(60)).as_secs(), 23);
        // and what it has shown already is no news
        own.echoed(3, at(61));
        assert_eq!(own.silent_for(at(61)).as_secs(), 24);
    }
}
