//! The Leases of others: how long each has been unchanged on this member's monotonic clock, and seals.
//!
//! A seal is a compare-and-swap on exactly the version that was seen unchanged for L. If the owner renewed in between,
//! the seal fails, even if the watch is slow. Before a member concludes anything from silence, it must know that its
//! own connection works (`may_judge`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Member, Purpose};
use crate::{
    injected_bugs::{Bug, is_injected},
    protocol::{Answer, Op, Story},
    record::{Incarnation, MemberLease, Standing, Stored},
    time::Stamp,
};

/// The Leases of others, and what this member knows of their owners.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<Incarnation, Peer>,
    /// Whether a complete list has been seen.
    pub(super) listed: bool,
    /// Owners without a Lease, and since when each has been missing.
    missing: BTreeMap<Incarnation, Duration>,
    /// Incarnations whose processes are dead, and since when that is known.
    dead: BTreeMap<Incarnation, Duration>,
    /// Members about which a request failed. The next request about them waits until then.
    held_back: BTreeMap<Incarnation, Duration>,
}

#[derive(Debug)]
struct Peer {
    lease: Stored<MemberLease>,
    /// Since when this version has been seen.
    since: Duration,
    /// An epoch that it has not applied, and since when.
    lags: Option<(u64, Duration)>,
}

/// The largest number of proofs of death that are remembered. Fewer Pods die before the leader collects their Leases.
const DEAD_MAX: usize = 1024;

impl Peers {
    pub(super) fn lease(&self, incarnation: &Incarnation) -> Option<&Arc<MemberLease>> {
        self.known.get(incarnation).map(|peer| &peer.lease.value)
    }

    /// The Leases that are bound to a ring.
    pub(super) fn bound_to<'a>(
        &'a self,
        ring: Option<&'a Arc<str>>,
    ) -> impl Iterator<Item = &'a Arc<MemberLease>> {
        let leases = self.known.values().map(|peer| &peer.lease.value);
        leases.filter(move |lease| Some(&lease.ring) == ring)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<MemberLease>> {
        self.known.values().map(|peer| &peer.lease.value)
    }

    pub(super) fn lost(&mut self, incarnation: &Incarnation) {
        self.known.remove(incarnation);
    }

    pub(super) fn is_dead(&mut self, incarnation: &Incarnation, since: Duration) {
        if self.dead.len() < DEAD_MAX {
            self.dead.entry(incarnation.clone()).or_insert(since);
        }
    }

    /// Whether an incarnation cannot act any more, or is proved dead.
    pub(super) fn is_gone(&self, incarnation: &Incarnation) -> bool {
        self.dead.contains_key(incarnation)
            || self.known.get(incarnation).is_some_and(|peer| peer.lease.value.standing.is_over())
    }

    pub(super) fn begin_anew(&mut self, now: Stamp) {
        for peer in self.known.values_mut() {
            peer.since = now.mono;
            peer.lags = None;
        }
        self.missing.clear();
    }

    fn see(&mut self, lease: Stored<MemberLease>, now: Stamp) {
        let incarnation = lease.value.incarnation.clone();
        let known = self.known.get(&incarnation);
        if known.is_some_and(|known| known.lease.uid == lease.uid && known.lease.version == lease.version) {
            return;
        }
        let lags = known.and_then(|known| known.lags);
        self.missing.remove(&incarnation);
        if lease.value.standing.is_over() {
            self.dead.remove(&incarnation);
        }
        self.known.insert(incarnation, Peer { lease, since: now.mono, lags });
    }
}

impl Member {
    pub(super) fn see_peer(&mut self, lease: Stored<MemberLease>, now: Stamp) {
        let same_container = self.me.container.is_some() && lease.value.container == self.me.container;
        if same_container && !lease.value.standing.is_over() {
            // A container runs one process at a time, and that is this process. So the other one is dead.
            self.peers.is_dead(&lease.value.incarnation, self.started);
        }
        self.peers.see(lease, now);
    }

    pub(super) fn peer_read(&mut self, incarnation: &Incarnation, answer: Answer, now: Stamp) {
        match answer {
            Answer::Member(lease) => self.see_peer(lease, now),
            Answer::NotFound => self.peers.lost(incarnation),
            // No placeholder is needed, because there is a Lease. The watch or a read will show it.
            Answer::Exists => self.read_peer(incarnation),
            _ => self.hold_back(incarnation, now),
        }
    }

    fn read_peer(&mut self, incarnation: &Incarnation) {
        self.request(Purpose::ReadPeer(incarnation.clone()), Op::ReadMember(incarnation.clone()));
    }

    /// Whether something about a peer is due, and no request about it is under way or has just failed.
    fn is_due_about(&mut self, peer: &Incarnation, at: Duration, now: Stamp) -> bool {
        let at = self.peers.held_back.get(peer).map_or(at, |held_back| at.max(*held_back));
        let asks = self.is_asking(|purpose| match purpose {
            Purpose::Seal(about, _)
            | Purpose::Placeholder(about)
            | Purpose::ReadPeer(about)
            | Purpose::Mark(about)
            | Purpose::Collect(about) => about == peer,
            _ => false,
        });
        !asks && self.is_due(at, now)
    }

    /// A request about a peer has failed.
    fn hold_back(&mut self, peer: &Incarnation, now: Stamp) {
        self.peers.held_back.retain(|_, until| *until > now.mono);
        self.peers.held_back.insert(peer.clone(), now.mono + self.timing.retry());
    }

    /// Whether silence means that others are silent. This is so if this member's renewals succeed and its watch shows
    /// them. The rule is for calm, not for safety: without it, members would seal each other after an outage.
    pub(super) fn may_judge(&self, now: Stamp) -> bool {
        let hears = !self.permits.left(now).is_zero() && self.own.silent_for(now) < self.timing.echo();
        (hears || is_injected(Bug::SealsWithoutGate)) && self.peers.listed && self.has_joined()
    }

    /// Seals older incarnations of this process's own container.
    pub(super) fn seal_predecessors(&mut self, now: Stamp) {
        if self.me.container.is_none() || !self.may_judge(now) {
            return;
        }
        let predecessors: Vec<Incarnation> = self
            .peers
            .known
            .values()
            .filter(|peer| peer.lease.value.container == self.me.container)
            .map(|peer| peer.lease.value.incarnation.clone())
            .collect();
        self.seal(&predecessors, now);
    }

    /// Seals all members that have been silent for too long.
    pub(super) fn seal_the_silent(&mut self, now: Stamp) {
        let all: Vec<Incarnation> = self.peers.known.keys().cloned().collect();
        self.seal(&all, now);
    }

    fn seal(&mut self, peers: &[Incarnation], now: Stamp) {
        for incarnation in peers {
            let Some(peer) = self.peers.known.get(incarnation) else {
                continue;
            };
            let due = self.seal_due(incarnation, peer);
            if peer.lease.value.standing.is_over() || !self.is_due_about(incarnation, due, now) {
                continue;
            }
            if let Some(Peer { lease, since, .. }) = self.peers.known.get(incarnation) {
                let sealed = MemberLease { standing: Standing::Sealed, ..(*lease.value).clone() };
                let op = Op::UpdateMember { uid: lease.uid.clone(), version: lease.version, lease: sealed };
                let silent = now.mono.saturating_sub(*since);
                self.request(Purpose::Seal(incarnation.clone(), silent), op);
            }
        }
    }

    /// When a Lease may be sealed if nothing changes.
    fn seal_due(&self, incarnation: &Incarnation, peer: &Peer) -> Duration {
        // The sealer waits for the longer L of the two.
        let wait = self.timing.lease().max(peer.lease.value.duration);
        let silence =
            peer.since + if is_injected(Bug::SealTooEarly) { self.timing.renew() * 3 / 2 } else { wait };
        let after_death = match peer.lease.value.call {
            _ if is_injected(Bug::ProofWithoutCallTime) => Duration::ZERO,
            Some(call) => call.min(wait),
            // If the Lease does not say T, T is still less than this, because durations are checked together.
            None => wait * 9 / 10,
        };
        self.peers.dead.get(incarnation).map_or(silence, |dead| silence.min(*dead + after_death))
    }

    pub(super) fn seal_answered(
        &mut self,
        incarnation: &Incarnation,
        silent: Duration,
        answer: Answer,
        now: Stamp,
    ) {
        match answer {
            Answer::Member(lease) => {
                self.peers.see(lease, now);
                self.peers.dead.remove(incarnation);
                self.tell(Story::Sealed(incarnation.clone(), silent));
            }
            Answer::NotFound => self.peers.lost(incarnation),
            Answer::Conflict if is_injected(Bug::SealWithoutCompare) => {
                // The bug: the version that is read next is sealed at once, as if it had been silent.
                self.peers.dead.insert(incarnation.clone(), Duration::ZERO);
                self.read_peer(incarnation);
            }
            Answer::Conflict => self.read_peer(incarnation),
            _ => self.hold_back(incarnation, now),
        }
    }

    /// Creates Leases for owners that have none. Absence proves nothing, because somebody may have deleted the Lease of
    /// a living owner. A new Lease of that name ends the owner's renewals, and it is then sealed as any other.
    pub(super) fn place_holders(&mut self, now: Stamp) {
        let Some(ring) = self.view.stored().cloned() else {
            return;
        };
        let owners: BTreeSet<&Incarnation> = ring.value.owners.values().collect();
        let me = self.me.incarnation.clone();
        let absent: Vec<Incarnation> = owners
            .into_iter()
            .filter(|owner| **owner != me && !self.peers.known.contains_key(*owner))
            .cloned()
            .collect();
        self.peers.missing.retain(|owner, _| absent.contains(owner));
        for owner in absent {
            let since = *self.peers.missing.entry(owner.clone()).or_insert(now.mono);
            // The watch on Leases may show a new owner later than the watch on the ring.
            if self.is_due_about(&owner, since + self.timing.renew(), now) {
                self.peers.missing.insert(owner.clone(), now.mono);
                let lease = self.placeholder(&owner, ring.uid.clone());
                self.request(Purpose::Placeholder(owner), Op::CreateMember(lease));
            }
        }
    }

    fn placeholder(&self, owner: &Incarnation, ring: Arc<str>) -> MemberLease {
        MemberLease {
            incarnation: owner.clone(),
            ring,
            duration: self.timing.lease(),
            call: None,
            counter: 0,
            applied: 0,
            acked: 0,
            draining: BTreeSet::new(),
            standing: Standing::Active,
            told_to_leave: true,
            container: None,
            protocol: self.me.protocol,
            release: Arc::default(),
            created: 0,
            payload: Arc::default(),
            // The placeholder stands for a member of this ring, so it has the same claim. Other rings must not think
            // that it works on less.
            claim: self.beside.claim(),
        }
    }

    /// Tells members to leave if they renew but do not apply the ring.
    pub(super) fn mark_laggards(&mut self, now: Stamp) {
        let Some((uid, epoch)) = self.view.stored().map(|ring| (ring.uid.clone(), ring.value.epoch)) else {
            return;
        };
        let mut lagging = vec![];
        for (incarnation, peer) in &mut self.peers.known {
            let lease = &peer.lease.value;
            let caught_up = peer.lags.is_none_or(|(behind, _)| lease.applied >= behind);
            if lease.ring != uid || lease.standing.is_over() || lease.applied >= epoch {
                peer.lags = None;
            } else if caught_up {
                peer.lags = Some((epoch, now.mono));
            }
            if let Some((_, since)) = peer.lags.filter(|_| !lease.told_to_leave) {
                lagging.push((incarnation.clone(), since));
            }
        }
        for (incarnation, since) in lagging {
            if self.is_due_about(&incarnation, since + self.timing.lease(), now) {
                self.request(Purpose::Mark(incarnation.clone()), Op::MarkToLeave(incarnation));
            }
        }
    }

    pub(super) fn mark_answered(&mut self, incarnation: &Incarnation, answer: Answer, now: Stamp) {
        match answer {
            Answer::Member(lease) => {
                self.peers.see(lease, now);
                self.tell(Story::ToldToLeave(incarnation.clone()));
            }
            Answer::NotFound => self.peers.lost(incarnation),
            _ => self.hold_back(incarnation, now),
        }
    }

    /// Deletes Leases that have been over for a while and that the ring does not name.
    pub(super) fn collect(&mut self, now: Stamp) {
        let Some(ring) = self.view.stored().map(|ring| ring.value.clone()).filter(|ring| ring.open) else {
            return;
        };
        let over: Vec<(Incarnation, Arc<str>, u64, Duration)> = self
            .peers
            .known
            .iter()
            .filter(|(incarnation, peer)| peer.lease.value.standing.is_over() && !ring.names(incarnation))
            .map(|(name, peer)| (name.clone(), peer.lease.uid.clone(), peer.lease.version, peer.since))
            .collect();
        for (incarnation, uid, version, since) in over {
            if self.is_due_about(&incarnation, since + self.timing.lease(), now) {
                let op = Op::DeleteMember { incarnation: incarnation.clone(), uid, version };
                self.request(Purpose::Collect(incarnation), op);
            }
        }
    }

    pub(super) fn collected(&mut self, incarnation: &Incarnation, answer: &Answer, now: Stamp) {
        match answer {
            Answer::Deleted | Answer::NotFound => {
                self.peers.lost(incarnation);
                self.peers.dead.remove(incarnation);
            }
            Answer::Conflict => self.read_peer(incarnation),
            _ => self.hold_back(incarnation, now),
        }
    }
}
