//! Worlds to plan in, written short.

mod balance;
mod rules;
mod update;
mod walk;

use super::*;
use crate::record::PROTOCOL;

const RING: &str = "ring-uid";
/// Who plans in tests that don't say so. Not a member: its own moves would be complete at once.
const LEADER: &str = "leader";

fn named(name: &str) -> Incarnation {
    Incarnation::new(name)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A member by its name and what is special: `b:leaving`, `c:acked=7:draining=0:release=r2`.
fn lease(text: &str) -> MemberLease {
    let mut words = text.split(':');
    let mut lease = MemberLease {
        incarnation: named(words.next().unwrap()),
        ring: RING.into(),
        duration: seconds(15),
        call: Some(seconds(4)),
        counter: 1,
        applied: 0,
        acked: 0,
        draining: BTreeSet::new(),
        standing: Standing::Active,
        told_to_leave: false,
        container: None,
        protocol: PROTOCOL,
        release: "r1".into(),
        created: 100,
        payload: "".into(),
        claim: None,
    };
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("leaving", _) => lease.standing = Standing::Leaving,
            ("released", _) => lease.standing = Standing::Released,
            ("sealed", _) => lease.standing = Standing::Sealed,
            ("told", _) => lease.told_to_leave = true,
            ("foreign", _) => lease.ring = "another ring".into(),
            ("acked", epoch) => lease.acked = epoch.parse().unwrap(),
            ("draining", slot) => drop(lease.draining.insert(Slot(slot.parse().unwrap()))),
            ("release", release) => lease.release = release.into(),
            ("created", at) => lease.created = at.parse().unwrap(),
            ("protocol", version) => lease.protocol = version.parse().unwrap(),
            _ => panic!("{word}"),
        }
    }
    lease
}

/// An open ring of epoch 10 by its slots: `a` owned, `a>b@7` on its way since epoch 7, `-` without owner.
fn ring(text: &str) -> Ring {
    let slots: Vec<&str> = text.split_whitespace().collect();
    let mut ring = Ring { epoch: 10, open: true, ..Ring::new(u16::try_from(slots.len()).unwrap()) };
    for (slot, text) in ring.all_slots().zip(slots) {
        let (owner, moving) = text.split_once('>').unwrap_or((text, ""));
        if owner != "-" {
            ring.owners.insert(slot, named(owner));
        }
        if let Some((to, since)) = moving.split_once('@') {
            ring.moves.insert(slot, Move { to: named(to), since: since.parse().unwrap() });
        }
    }
    ring
}

/// The reverse of [`ring`].
fn show(ring: &Ring) -> String {
    let slots = ring.all_slots().map(|slot| {
        let owner = ring.owners.get(&slot).map_or("-", Incarnation::as_str);
        let moving = ring.moves.get(&slot).map(|moving| format!(">{}@{}", moving.to, moving.since));
        format!("{owner}{}", moving.unwrap_or_default())
    });
    slots.collect::<Vec<_>>().join(" ")
}

/// A ring, the Leases that there are, and what their leader remembers.
#[derive(Debug)]
struct World {
    ring: Ring,
    leases: BTreeMap<Incarnation, MemberLease>,
    changes: Changes,
    timing: Timing,
    now: Duration,
}

impl World {
    /// All as it is known to a leader that has just begun to lead, its names written down already.
    fn new(slots: &str, members: &str) -> Self {
        let leases: Vec<MemberLease> = members.split_whitespace().map(lease).collect();
        let mut world = Self {
            ring: Ring { leader: Some(named(LEADER)), ..ring(slots) },
            leases: leases.into_iter().map(|lease| (lease.incarnation.clone(), lease)).collect(),
            changes: Changes::new(&Ring::default(), Duration::ZERO),
            timing: Timing::default(),
            now: Duration::ZERO,
        };
        let members =
            Known::of(&world.peers()).members().map(|peer| peer.incarnation.clone()).collect::<Vec<_>>();
        let with_release = |member: Incarnation| (member.clone(), Arc::clone(&world.leases[&member].release));
        world.ring.members = members.into_iter().map(with_release).collect();
        world.changes = Changes::new(&world.ring, world.now);
        world
    }

    fn peers(&self) -> Vec<Peer<'_>> {
        self.leases.values().map(|lease| Peer::of(lease, RING)).collect()
    }

    fn set(&mut self, member: &str) {
        let lease = lease(member);
        self.leases.insert(lease.incarnation.clone(), lease);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// What a leader would do now. Writes nothing.
    fn plan_by(&mut self, leader: &str) -> Plan {
        let mut changes = self.changes.clone();
        changes.note(&self.ring, &self.peers(), &self.timing, self.now);
        let plan = plan(&self.ring, &self.peers(), &named(leader), &changes, &self.timing, self.now);
        self.changes = changes;
        plan
    }

    /// A leader plans, and writes what it planned.
    fn lead(&mut self) -> Plan {
        let plan = self.plan_by(LEADER);
        self.ring = plan.ring.clone().unwrap_or_else(|| self.ring.clone());
        plan
    }

    fn complete(&mut self, by: &str) -> bool {
        let next = complete(&self.ring, &self.peers(), &named(by));
        let any = next.is_some();
        self.ring = next.unwrap_or_else(|| self.ring.clone());
        any
    }

    /// All members apply the ring, drain what moves take from them, acknowledge it, and take what is theirs.
    fn drain(&mut self) {
        let epoch = self.ring.epoch;
        let alive = self.leases.values_mut().filter(|lease| !lease.standing.is_over());
        alive.for_each(|lease| lease.acked = epoch);
        let members: Vec<String> = self.leases.keys().map(Incarnation::to_string).collect();
        for member in members {
            self.complete(&member);
        }
    }

    fn counts(&self) -> Vec<usize> {
        self.leases.keys().map(|member| self.ring.count(member)).collect()
    }
}
