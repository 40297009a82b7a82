//! The leader Lease, and the work of a leader: open a new ring, plan, seal silent members, tell laggards to leave, and
//! collect Leases that are over.
//!
//! Safety does not depend on leadership. Each write of a leader is a compare-and-swap, and it is right for the state
//! that it was made from. If there are two leaders, they only get conflicts.

use std::{sync::Arc, time::Duration};

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, is_injected},
    plan::{Changes, Peer, complete, plan},
    protocol::{Answer, Op, Story},
    record::{Incarnation, LeaderLease, MemberLease, Ring, Stored},
    time::Stamp,
};

/// What the member knows of the lead, and its own part in it.
#[derive(Debug, Default)]
pub(super) struct Lead {
    lease: Option<Stored<LeaderLease>>,
    /// Since when the Lease has been unchanged.
    since: Duration,
    /// Whether this member is the leader.
    pub(super) held: bool,
    counter: u64,
    next_at: Duration,
    reads: bool,
    /// Its permit lapsed while it was the leader, and others are there. So it gives up the Lease that still names it.
    gives_up: bool,
    /// From then on it may become the leader again.
    campaigns_from: Duration,
    changes: Option<Changes>,
    opening: Opening,
}

/// How far the opening of a new ring has come.
#[derive(Debug, Default)]
struct Opening {
    next_list_at: Duration,
    /// When a consistent list first showed no living member of another ring.
    clean_since: Option<Duration>,
}

impl Lead {
    pub(super) fn holder(&self) -> Option<&Incarnation> {
        self.lease.as_ref().and_then(|lease| lease.value.holder.as_ref())
    }

    pub(super) fn seen(&mut self, lease: Stored<LeaderLease>, now: Stamp) {
        let known = self.lease.as_ref();
        if known.is_none_or(|known| known.uid != lease.uid || known.version < lease.version) {
            self.lease = Some(lease);
            self.since = now.mono;
        }
    }

    pub(super) fn gone(&mut self) {
        self.lease = None;
    }

    pub(super) fn begin_anew(&mut self, now: Stamp) {
        self.since = now.mono;
    }

    fn is_of(&self, incarnation: &Incarnation) -> bool {
        self.holder() == Some(incarnation)
    }
}

impl Member {
    /// Gives up the lead without a write. Others will see that the leader is silent.
    pub(super) fn give_up_lead_silently(&mut self) {
        self.lead.changes = None;
        self.lead.opening = Opening::default();
        if std::mem::take(&mut self.lead.held) {
            self.tell(Story::LeadsNoMore);
        }
    }

    /// Gives the lead to others after a lapse. A leader whose permit comes and goes never sees others silent for long
    /// enough, and it would block a member that does.
    pub(super) fn leave_lead_to_others(&mut self, now: Stamp) {
        if self.lead.is_of(&self.me.incarnation) && self.has_successors() {
            self.lead.gives_up = true;
            self.lead.campaigns_from = now.mono + self.timing.lease();
        }
    }

    fn asks_for_lead(&self) -> bool {
        self.is_asking(|purpose| {
            matches!(
                purpose,
                Purpose::TakeLead | Purpose::RenewLead | Purpose::ReadLead | Purpose::GiveUpLead
            )
        })
    }

    pub(super) fn lead(&mut self, now: Stamp) {
        // If two members wrote over each other's claim, they would do so for ever. So a leader that sees another name
        // gives up.
        let taken = !self.lead.is_of(&self.me.incarnation);
        if self.lead.held && (taken || self.own.silent_for(now) >= self.timing.echo_max()) {
            self.give_up_lead_silently();
        }
        if !self.asks_for_lead() && self.is_due(self.lead.next_at, now) {
            self.campaign_or_renew(now);
        }
        if self.lead.held && self.may_judge(now) && !self.phase.is_parting() {
            self.seal_the_silent(now);
            self.place_holders(now);
            self.mark_laggards(now);
            self.collect(now);
            self.write_plan(now);
        }
    }

    fn campaign_or_renew(&mut self, now: Stamp) {
        if self.lead.reads {
            self.lead.reads = false;
            self.request(Purpose::ReadLead, Op::ReadLeader);
        } else if self.lead.held {
            if !self.phase.is_parting() {
                self.write_lead(Purpose::RenewLead, Some(self.me.incarnation.clone()), now);
            }
        } else if std::mem::take(&mut self.lead.gives_up) && self.lead.is_of(&self.me.incarnation) {
            self.write_lead(Purpose::GiveUpLead, None, now);
        } else if self.may_campaign(now) && self.lead_is_free(now) {
            self.write_lead(Purpose::TakeLead, Some(self.me.incarnation.clone()), now);
        }
    }

    /// A member that rests may become the leader, too. If all others are dead, nobody else would notice that.
    fn may_campaign(&mut self, now: Stamp) -> bool {
        self.may_judge(now) && !self.phase.leaves_for_good() && self.is_due(self.lead.campaigns_from, now)
    }

    fn lead_is_free(&mut self, now: Stamp) -> bool {
        let Some(lease) = &self.lead.lease else {
            return true;
        };
        let Some(holder) = &lease.value.holder else {
            return true;
        };
        if *holder == self.me.incarnation || self.peers.is_gone(holder) {
            return true;
        }
        let patience = self.timing.lease().max(lease.value.duration);
        self.is_due(self.lead.since + patience, now)
    }

    fn write_lead(&mut self, purpose: Purpose, holder: Option<Incarnation>, now: Stamp) {
        self.lead.counter += 1;
        let lease = LeaderLease { holder, duration: self.timing.lease(), counter: self.lead.counter };
        let op = match &self.lead.lease {
            Some(known) => Op::UpdateLeader { uid: known.uid.clone(), version: known.version, lease },
            None => Op::CreateLeader(lease),
        };
        self.lead.next_at = now.mono + self.timing.renew();
        self.request(purpose, op);
    }

    pub(super) fn lead_answered(&mut self, purpose: &Purpose, answer: Answer, now: Stamp) {
        match answer {
            Answer::Leader(lease) => {
                self.lead.lease = Some(lease);
                self.lead.since = now.mono;
            }
            Answer::NotFound => self.lead.lease = None,
            Answer::Conflict | Answer::Exists => self.lead.reads = true,
            _ => {
                self.lead.reads = true;
                self.lead.next_at = now.mono + self.timing.retry();
                return;
            }
        }
        if self.lead.reads {
            self.lead.next_at = now.mono;
            return;
        }
        let mine = self.lead.is_of(&self.me.incarnation);
        if *purpose == Purpose::TakeLead && mine && !self.lead.held {
            self.lead.held = true;
            self.lead.next_at = now.mono + self.timing.renew();
            self.tell(Story::Leads);
        } else if self.lead.held && !mine {
            self.give_up_lead_silently();
        }
    }

    /// Gives the lead back. It is the last write of a leaving member about the lead. Returns whether nothing is left to
    /// do.
    pub(super) fn hand_back_lead(&mut self, now: Stamp) -> bool {
        if self.asks_for_lead() {
            return false;
        }
        if !self.lead.held {
            return true;
        }
        self.give_up_lead_silently();
        self.write_lead(Purpose::GiveUpLead, None, now);
        false
    }

    /// The members as their Leases show them, and this one as it is.
    fn bound_leases(&self, now: Stamp) -> Vec<Arc<MemberLease>> {
        let me = self.own_lease_as_planned(now);
        // A placeholder stands for a member that is not there.
        let others = self.peers.all().filter(|lease| lease.counter > 0 || lease.standing.is_over());
        others.cloned().chain([Arc::new(me)]).collect()
    }

    /// Writes the ring that a plan returns, if any.
    fn write_plan(&mut self, now: Stamp) {
        let Some(ring) = self.view.stored().cloned().filter(|_| !self.asks_for_ring()) else {
            return;
        };
        if !self.is_due(self.view.next_write_at, now) {
            return;
        }
        let mut value = (*ring.value).clone();
        value.open = value.open || self.may_open(now);
        let leases = self.bound_leases(now);
        let peers: Vec<Peer<'_>> = leases.iter().map(|lease| Peer::of(lease, &ring.uid)).collect();
        let changes = self.lead.changes.get_or_insert_with(|| Changes::new(&value, now.mono));
        changes.note(&value, &peers, &self.timing, now.mono);
        let plan = plan(&value, &peers, &self.me.incarnation, changes, &self.timing, now.mono);
        if let Some(at) = plan.again_at {
            self.is_due(at, now);
        }
        let opens = value.open && !ring.value.open;
        let next = plan.ring.or_else(|| opens.then(|| Ring { epoch: value.epoch + 1, ..value }));
        if let Some(next) = next {
            self.view.to_tell.extend(opens.then_some(Story::Opened));
            self.view.to_tell.extend((plan.begun > 0).then_some(Story::Planned(plan.begun)));
            self.write_ring(&ring, next);
        }
    }

    fn write_ring(&mut self, from: &Stored<Ring>, ring: Ring) {
        let op = Op::UpdateRing { uid: from.uid.clone(), version: from.version, ring };
        self.request(Purpose::WriteRing, op);
    }

    /// Completes moves to this member whose owners have drained the slots.
    pub(super) fn complete_moves(&mut self, now: Stamp) {
        let Some(ring) = self.view.stored().cloned() else {
            return;
        };
        let may = self.has_joined() && !self.permits.left(now).is_zero() && !self.asks_for_ring();
        if !may
            || !self.is_due(self.view.next_write_at, now)
            || !ring.value.moves.values().any(|moving| moving.to == self.me.incarnation)
        {
            return;
        }
        let leases = self.bound_leases(now);
        let peers: Vec<Peer<'_>> = leases.iter().map(|lease| Peer::of(lease, &ring.uid)).collect();
        if let Some(next) = complete(&ring.value, &peers, &self.me.incarnation) {
            self.write_ring(&ring, next);
        }
    }

    /// Whether a new ring may open. A consistent list must show no living owner of another ring. Then L must pass,
    /// because some Leases may have been deleted before the list.
    fn may_open(&mut self, now: Stamp) -> bool {
        if is_injected(Bug::OpensAtOnce) {
            return true;
        }
        if let Some(since) = self.lead.opening.clean_since {
            return self.is_due(since + self.timing.lease(), now);
        }
        if !self.is_asking(|purpose| *purpose == Purpose::ListForOpening)
            && self.is_due(self.lead.opening.next_list_at, now)
        {
            self.lead.opening.next_list_at = now.mono + self.timing.renew();
            self.request(Purpose::ListForOpening, Op::ListMembers);
        }
        false
    }

    pub(super) fn opening_listed(&mut self, answer: &Answer, now: Stamp) {
        let Answer::Members(leases) = answer else {
            return;
        };
        let uid = self.view.uid();
        let left =
            leases.iter().any(|lease| Some(&lease.value.ring) != uid && !lease.value.standing.is_over());
        if !left && self.lead.held {
            self.lead.opening.clean_since = Some(now.mono);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(uid: &str, version: u64, holder: &str) -> Stored<LeaderLease> {
        let value = LeaderLease {
            holder: Some(Incarnation::new(holder)),
            duration: Duration::from_secs(15),
            counter: version,
        };
        Stored { uid: uid.into(), version, value: Arc::new(value) }
    }

    #[test]
    fn of_the_leaders_lease_the_newest_counts_and_one_in_its_place_counts_anew() {
        let at = |seconds| Stamp::all(Duration::from_secs(seconds));
        let mut lead = Lead::default();
        let mut seen = |uid, version, holder, now| {
            lead.seen(lease(uid, version, holder), at(now));
            (lead.holder().unwrap().to_string(), lead.since.as_secs())
        };
        assert_eq!(seen("1", 7, "a", 10), ("a".into(), 10));
        assert_eq!(seen("1", 7, "a", 11), ("a".into(), 10), "as it was");
        assert_eq!(seen("1", 6, "b", 12), ("a".into(), 10), "older");
        assert_eq!(seen("1", 8, "b", 13), ("b".into(), 13));
        assert_eq!(seen("2", 3, "c", 14), ("c".into(), 14), "another one");
        lead.gone();
        assert_eq!(lead.holder(), None);
    }
}
