//! Members that come, go, die and drain late, at random: no two ever work on one slot.

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

use super::*;

const SLOTS: u16 = 24;

#[derive(Clone, Debug)]
enum Step {
    /// A process of that release starts.
    Join(usize),
    /// So many half seconds pass.
    Pass(u32),
    Do(Deed, Index),
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Leave,
    /// The leader tells it to leave.
    TellToLeave,
    /// It ends, and says so.
    Release,
    /// Its process dies. Its Lease stays as it is.
    Die,
    /// Somebody seals its Lease, creating it if it is missing.
    Seal,
    /// Its Lease is deleted.
    LoseLease,
    /// Its Lease is bound to another ring.
    Rebind,
    /// It sees the ring, stops what it must, begins what it may.
    Apply,
    /// A call begins for each slot that it may work on.
    Begin,
    /// One of these calls ends.
    End,
    /// It tells what it has drained.
    Ack,
    /// It takes what is on its way to it.
    Complete,
    /// It plans, as the leader or as one of several.
    Lead,
}

fn step() -> impl Strategy<Value = Step> {
    let deed = prop_oneof![
        2 => Just(Deed::Leave),
        1 => Just(Deed::TellToLeave),
        1 => Just(Deed::Release),
        1 => Just(Deed::Die),
        2 => Just(Deed::Seal),
        1 => Just(Deed::LoseLease),
        1 => Just(Deed::Rebind),
        8 => Just(Deed::Apply),
        4 => Just(Deed::Begin),
        4 => Just(Deed::End),
        6 => Just(Deed::Ack),
        6 => Just(Deed::Complete),
        10 => Just(Deed::Lead),
    ];
    prop_oneof![
        3 => (0..3_usize).prop_map(Step::Join),
        3 => (0..40_u32).prop_map(Step::Pass),
        40 => (deed, any::<Index>()).prop_map(|(deed, who)| Step::Do(deed, who)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..200)
}

/// What a process does. Its Lease may say otherwise.
#[derive(Default, Debug)]
struct Process {
    /// It sees and says nothing any more. What it worked on may still go on until it is sealed.
    dead: bool,
    applied: u64,
    working: BTreeSet<Slot>,
    /// Slots with a call under way.
    running: BTreeSet<Slot>,
}

struct Walk {
    world: World,
    processes: BTreeMap<Incarnation, Process>,
}

impl Walk {
    fn new() -> Self {
        Self { world: World::new(&"- ".repeat(usize::from(SLOTS)), ""), processes: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Join(release) => self.join(*release),
            Step::Pass(times) => self.world.pass(Duration::from_millis(500) * *times),
            Step::Do(deed, index) => {
                let names: Vec<Incarnation> = self.processes.keys().cloned().collect();
                if !names.is_empty() {
                    self.act(*deed, index.get(&names));
                }
            }
        }
        self.check_nobody_shares();
    }

    fn join(&mut self, release: usize) {
        let number = 100 + self.processes.len();
        let name = format!("m{number}");
        self.world.set(&format!("{name}:release=r{release}:created={number}"));
        self.processes.insert(named(&name), Process::default());
    }

    fn act(&mut self, deed: Deed, who: &Incarnation) {
        let Process { dead, applied, ref working, ref running } = self.processes[who];
        let draining: BTreeSet<Slot> = running.difference(working).copied().collect();
        match deed {
            Deed::Seal => self.seal(who),
            Deed::LoseLease => drop(self.world.leases.remove(who)),
            Deed::TellToLeave => self.with_lease(who, |lease| lease.told_to_leave = true),
            Deed::Rebind => self.with_lease(who, |lease| lease.ring = "another ring".into()),
            // What follows takes a process that is alive.
            _ if dead => {}
            Deed::Die => self.process(who).dead = true,
            Deed::Apply => self.apply(who),
            Deed::Begin => {
                let working = working.clone();
                self.process(who).running.extend(working);
            }
            Deed::End => drop(self.process(who).running.pop_first()),
            Deed::Ack => self.with_lease(who, |lease| {
                lease.acked = applied;
                lease.draining.clone_from(&draining);
            }),
            Deed::Leave => self.with_lease(who, |lease| lease.standing = Standing::Leaving),
            Deed::Release => {
                *self.process(who) = Process { dead: true, ..Process::default() };
                self.with_lease(who, |lease| lease.standing = Standing::Released);
            }
            Deed::Complete => {
                let next = complete(&self.world.ring, &self.world.peers(), who);
                self.write(next);
            }
            Deed::Lead => self.lead(who),
        }
    }

    fn process(&mut self, who: &Incarnation) -> &mut Process {
        self.processes.get_mut(who).unwrap()
    }

    /// Changes a Lease, if it is still its owner's to change.
    fn with_lease(&mut self, who: &Incarnation, change: impl Fn(&mut MemberLease)) {
        let lease = self.world.leases.get_mut(who);
        lease.filter(|lease| &*lease.ring == RING && !lease.standing.is_over()).into_iter().for_each(change);
    }

    fn apply(&mut self, who: &Incarnation) {
        let lease = self.world.leases.get(who).filter(|lease| &*lease.ring == RING);
        if lease.is_none_or(|lease| lease.standing.is_over()) {
            *self.process(who) = Process { dead: true, ..Process::default() };
            return;
        }
        let (applied, working) = (self.world.ring.epoch, self.world.ring.workable(who).collect());
        let running = std::mem::take(&mut self.process(who).running);
        *self.process(who) = Process { dead: false, applied, working, running };
    }

    /// What sealing waits for is not the plan's: by then nothing is worked on.
    fn seal(&mut self, who: &Incarnation) {
        let lease = self.world.leases.entry(who.clone()).or_insert_with(|| lease(who.as_str()));
        lease.standing = Standing::Sealed;
        // In another ring it would be another's Lease by chance, and says nothing of this one's owner.
        if &*lease.ring == RING {
            *self.process(who) = Process { dead: true, ..Process::default() };
        }
    }

    fn lead(&mut self, who: &Incarnation) {
        let plan = self.world.plan_by(who.as_str());
        self.write(plan.ring);
        // when planned again with nothing new, then there is nothing to write
        let again = self.world.plan_by(who.as_str());
        assert_eq!((again.ring, again.begun), (None, 0), "after {}", show(&self.world.ring));
    }

    fn write(&mut self, next: Option<Ring>) {
        let Some(next) = next else { return };
        assert_eq!(next.epoch, self.world.ring.epoch + 1);
        self.check_reasons(&next);
        self.world.ring = next;
    }

    /// Each slot that changed its owner did so for one of the three reasons.
    fn check_reasons(&self, next: &Ring) {
        let ring = &self.world.ring;
        for (slot, owner) in ring.owners.iter().filter(|(slot, owner)| next.owners.get(slot) != Some(*owner))
        {
            let lease = self.world.leases.get(owner).filter(|lease| &*lease.ring == RING);
            let since = ring.moves.get(slot).map_or(u64::MAX, |moving| moving.since);
            let has_drained = |lease: &MemberLease| since <= lease.acked && !lease.draining.contains(slot);
            let for_a_reason = lease.is_some_and(|lease| lease.standing.is_over() || has_drained(lease));
            assert!(for_a_reason, "slot {slot} of {owner} moves on with {lease:?}");
        }
    }

    fn check_nobody_shares(&self) {
        let busy = |process: &Process| process.working.union(&process.running).copied().collect::<Vec<_>>();
        let mut working: Vec<Slot> = self.processes.values().flat_map(busy).collect();
        working.sort();
        assert!(working.windows(2).all(|two| two[0] != two[1]), "{:?}", self.processes);
    }

    /// The dead and the lost are sealed, all others do their part, until nothing is left to do.
    fn come_to_rest(&mut self) {
        let members: Vec<Incarnation> = self.processes.keys().cloned().collect();
        for who in &members {
            let lease = self.world.leases.get(who);
            if self.processes[who].dead || lease.is_none_or(|lease| &*lease.ring != RING) {
                self.world.leases.remove(who);
                self.seal(who);
            }
        }
        for _ in 0..6 {
            self.lead(&named(LEADER));
            for who in &members {
                self.process(who).running.clear();
                for deed in [Deed::Apply, Deed::Ack, Deed::Complete] {
                    self.act(deed, who);
                    self.check_nobody_shares();
                }
            }
            self.world.pass(self.world.timing.update_quiet());
        }
        assert_eq!(self.world.plan_by(LEADER), Plan::default());
        self.check_all_is_even();
    }

    fn check_all_is_even(&self) {
        let ring = &self.world.ring;
        let peers = self.world.peers();
        let known = Known::of(&peers);
        let counts: Vec<usize> = known.active().map(|peer| ring.count(peer.incarnation)).collect();
        assert!(ring.moves.is_empty(), "{}", show(ring));
        assert!(ring.owners.values().all(|owner| known.is_active(owner) || known.is_leaving(owner)));
        if let (Some(max), Some(min)) = (counts.iter().max(), counts.iter().min()) {
            assert_eq!(counts.iter().sum::<usize>(), usize::from(SLOTS));
            assert!(max - min <= 1, "{counts:?}");
        }
    }
}

fn walk(steps: &[Step]) {
    let mut walk = Walk::new();
    for step in steps {
        walk.take(step);
    }
    walk.come_to_rest();
}

fn runner(config: &ProptestConfig) -> TestRunner {
    TestRunner::new_with_rng(
        ProptestConfig { failure_persistence: None, ..config.clone() },
        prop::test_runner::TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &[7; 32]),
    )
}

#[test]
fn no_two_work_on_one_slot_and_all_comes_to_rest() {
    let config = ProptestConfig { cases: 128, ..ProptestConfig::default() };
    let result = runner(&config).run(&steps(), |steps| {
        walk(&steps);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}

#[cfg(feature = "injected-bugs")]
#[test]
fn each_injected_bug_of_the_plan_is_found_by_walking() {
    for bug in [Bug::AckOfAnyEpoch, Bug::AbsenceIsDeath, Bug::LeaseOfAnyRing] {
        crate::injected_bugs::inject(Some(bug));
        let config = ProptestConfig { cases: 1000, max_shrink_iters: 0, ..ProptestConfig::default() };
        let result = runner(&config).run(&steps(), |steps| {
            walk(&steps);
            Ok(())
        });
        crate::injected_bugs::inject(None);
        assert!(result.is_err(), "{bug:?}");
    }
}
