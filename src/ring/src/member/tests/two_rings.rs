//! Two rings with the same work, with requests, replies and watches in any order, and under any fault: never do
//! both work, and in the end one does.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;

use super::{identity, secs, store::Store};
use crate::{
    claim::{Claim, Neighbour, RingName, Scope},
    member::Member,
    neighbours::Claimant,
    permit::CallId,
    protocol::{Action, Answer, Event, Op, RequestId},
    record::{Incarnation, Ring, Stored},
    time::Stamp,
    timing::Timing,
};

/// Rings, and processes of each.
const RINGS: usize = 2;
const PROCESSES: usize = 2;
const SLOTS: u16 = 4;

/// Something that happens to one of the processes.
#[derive(Clone, Debug)]
enum Step {
    /// The API server serves its oldest request.
    Served,
    /// It gets its oldest reply.
    Replied,
    /// Its watches show something.
    Watched,
    /// It begins a call.
    Calls,
    /// So many milliseconds pass.
    Time(u64),
    /// It does not reach the API server until it does again.
    CutOff,
    Reconnected,
    Killed,
    Started,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        12 => Just(Step::Served),
        12 => Just(Step::Replied),
        6 => Just(Step::Watched),
        2 => Just(Step::Calls),
        6 => (1_u64..900).prop_map(Step::Time),
        1 => (2_000_u64..20_000).prop_map(Step::Time),
        1 => Just(Step::CutOff),
        2 => Just(Step::Reconnected),
        1 => Just(Step::Killed),
        2 => Just(Step::Started),
    ];
    (0..RINGS * PROCESSES, step)
}

struct Process {
    member: Member,
    requests: VecDeque<(RequestId, Op)>,
    replies: VecDeque<(RequestId, Answer)>,
    events: VecDeque<Event>,
    cut_off: bool,
}

/// A call as the cloud sees it: it goes on when its process is dead.
struct Call {
    process: usize,
    id: CallId,
    ends: Duration,
}

struct Rings {
    now: Duration,
    stores: Vec<Store>,
    processes: Vec<Option<Process>>,
    calls: Vec<Call>,
    started: usize,
}

fn ring_of(process: usize) -> usize {
    process / PROCESSES
}

fn name(ring: usize) -> RingName {
    RingName { namespace: "ns".into(), name: format!("ring-{ring}").into() }
}

fn open_ring() -> Store {
    let ring = Ring { open: true, ..Ring::new(SLOTS) };
    let mut store = Store::default();
    store.ring = Some(Stored { uid: "ring".into(), version: 1, value: ring.into() });
    store
}

impl Rings {
    fn new() -> Self {
        let stores = (0..RINGS).map(|_| open_ring()).collect();
        let processes = (0..RINGS * PROCESSES).map(|_| None).collect();
        Self { now: secs(1000), stores, processes, calls: vec![], started: 0 }
    }

    fn next_name(&mut self) -> String {
        self.started += 1;
        format!("p{}", self.started)
    }

    fn start(&mut self, process: usize) {
        if self.processes[process].is_some() {
            return;
        }
        let families = ["bookings".into()].into();
        let claim = Claim { families, scope: Scope::All, dry_run: false, sees_all: true };
        let own = Claimant { ring: name(ring_of(process)), claim };
        let me = identity(&self.next_name());
        let member = Member::new(me, Timing::default(), SLOTS, Stamp::all(self.now)).beside_others(own);
        let events = self.everything(process);
        let (requests, replies) = (VecDeque::new(), VecDeque::new());
        self.processes[process] = Some(Process { member, requests, replies, events, cut_off: false });
        self.deliver(process, Event::Tick);
    }

    fn everything(&self, process: usize) -> VecDeque<Event> {
        let store = &self.stores[ring_of(process)];
        let members = store.members.values().cloned().map(Event::MemberSeen);
        let leader = store.leader.clone().map_or(Event::LeaderGone, Event::LeaderSeen);
        let ring = store.ring.clone().map_or(Event::RingGone, Event::RingSeen);
        members.chain([leader, Event::LeasesListed, ring]).collect()
    }

    fn deliver(&mut self, process: usize, event: Event) {
        let now = Stamp::all(self.now);
        let mut restarts = false;
        let Some(at) = &mut self.processes[process] else { return };
        for action in at.member.handle(event, now) {
            match action {
                Action::Request { id, op } => at.requests.push_back((id, op)),
                Action::RestartWatches => restarts = true,
                Action::Ended(_) => return self.follow(process),
                Action::Gained(_) | Action::Lost(_) | Action::Tell(_) => {}
            }
        }
        if restarts {
            let events = self.everything(process);
            self.processes[process].as_mut().unwrap().events = events;
        }
        self.check();
    }

    /// The next incarnation of a process.
    fn follow(&mut self, process: usize) {
        let (next, events) = (Incarnation::new(self.next_name()), self.everything(process));
        let now = Stamp::all(self.now);
        let at = self.processes[process].take().unwrap();
        let member = at.member.next(next, now);
        let (requests, replies) = (VecDeque::new(), VecDeque::new());
        self.processes[process] = Some(Process { member, requests, replies, events, ..at });
        self.deliver(process, Event::Tick);
    }

    fn serve(&mut self, process: usize) {
        let ring = ring_of(process);
        let Some(at) = &mut self.processes[process] else { return };
        let Some((id, op)) = at.requests.pop_front() else { return };
        if at.cut_off {
            at.replies.push_back((id, Answer::Failed));
            return;
        }
        let others = (0..RINGS).filter(|other| *other != ring).flat_map(|other| {
            let members = self.stores[other].members.values().cloned();
            members.map(move |lease| Neighbour { ring: name(other), lease })
        });
        let others: Vec<Neighbour> = others.collect();
        self.stores[ring].neighbours = others;
        let (answer, change) = self.stores[ring].execute(op, self.now);
        at.replies.push_back((id, answer));
        for (other, at) in self.processes.iter_mut().enumerate() {
            if let (Some(at), Some(change)) = (at.as_mut().filter(|_| ring_of(other) == ring), &change) {
                at.events.push_back(change.clone());
            }
        }
    }

    fn reply(&mut self, process: usize) {
        let reply = self.processes[process].as_mut().and_then(|at| at.replies.pop_front());
        if let Some((request, answer)) = reply {
            self.deliver(process, Event::Answered { request, answer });
        }
    }

    fn watch(&mut self, process: usize) {
        let Some(at) = &mut self.processes[process] else { return };
        if let Some(event) = at.events.pop_front().filter(|_| !at.cut_off) {
            self.deliver(process, event);
        }
    }

    fn call(&mut self, process: usize) {
        let (now, ends) = (Stamp::all(self.now), self.now + Timing::default().call());
        let Some(at) = &mut self.processes[process] else { return };
        let permit = at.member.owned().next().and_then(|slot| at.member.permit(slot, now));
        if let Some(permit) = permit {
            let id = at.member.begin_call(permit, now).unwrap();
            self.calls.push(Call { process, id, ends });
        }
    }

    /// Lets time pass, with all that is due on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let wakes = self.processes.iter().flatten().filter_map(|at| at.member.next_wake());
            let next = wakes.chain(self.calls.iter().map(|call| call.ends)).filter(|at| *at > self.now).min();
            self.now = next.map_or(end, |next| next.min(end));
            let over: Vec<Call> = self.calls.extract_if(.., |call| call.ends <= self.now).collect();
            for Call { process, id, .. } in over {
                if let Some(at) = &mut self.processes[process] {
                    at.member.call_ended(id);
                }
            }
            for process in 0..self.processes.len() {
                self.deliver(process, Event::Tick);
            }
        }
    }

    fn happens(&mut self, process: usize, step: &Step) {
        match step {
            Step::Served => self.serve(process),
            Step::Replied => self.reply(process),
            Step::Watched => self.watch(process),
            Step::Calls => self.call(process),
            Step::Time(ms) => self.pass(Duration::from_millis(*ms)),
            Step::CutOff => self.set_cut_off(process, true),
            Step::Reconnected => self.set_cut_off(process, false),
            Step::Killed => self.processes[process] = None,
            Step::Started => self.start(process),
        }
        self.check();
    }

    fn set_cut_off(&mut self, process: usize, cut_off: bool) {
        let events = self.everything(process);
        if let Some(at) = self.processes[process].as_mut().filter(|at| at.cut_off != cut_off) {
            at.cut_off = cut_off;
            at.events = events;
        }
    }

    fn may_work(&self, process: usize) -> bool {
        let now = Stamp::all(self.now);
        self.processes[process].as_ref().is_some_and(|at| {
            let mut owned = at.member.owned();
            owned.any(|slot| at.member.permit(slot, now).is_some())
        })
    }

    /// The rings that work, or whose calls may be running.
    fn at_work(&self) -> Vec<usize> {
        let may = (0..self.processes.len()).filter(|process| self.may_work(*process));
        let mut rings: Vec<usize> =
            may.chain(self.calls.iter().map(|call| call.process)).map(ring_of).collect();
        rings.sort_unstable();
        rings.dedup();
        rings
    }

    fn check(&self) {
        assert!(self.at_work().len() <= 1, "both rings are at work at {:?}", self.now);
    }

    /// All is well for so long.
    fn calm(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for process in 0..self.processes.len() {
                while self.processes[process].as_ref().is_some_and(|at| {
                    !(at.requests.is_empty() && at.replies.is_empty() && at.events.is_empty())
                }) {
                    self.serve(process);
                    self.reply(process);
                    self.watch(process);
                }
            }
            self.pass(Duration::from_millis(200));
        }
    }

    fn is_about_to_join(&self, process: usize) -> bool {
        let at = self.processes[process].as_ref().unwrap();
        at.requests.iter().any(|(_, op)| matches!(op, Op::CreateMember(_)))
    }

    /// The slots that are worked on.
    fn worked_on(&self) -> usize {
        let owned = |at: &Process| at.member.owned().len();
        self.processes.iter().flatten().map(owned).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn two_rings_with_the_same_work_never_both_work_and_one_does_in_the_end(
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut rings = Rings::new();
        (0..RINGS * PROCESSES).for_each(|process| rings.start(process));
        for (process, step) in &steps {
            rings.happens(*process, step);
        }
        for process in 0..rings.processes.len() {
            rings.start(process);
            rings.set_cut_off(process, false);
        }
        rings.calm(secs(120));
        prop_assert_eq!(rings.at_work().len(), 1);
        prop_assert_eq!(rings.worked_on(), usize::from(SLOTS));
    }
}

#[test]
fn of_two_rings_that_start_at_one_moment_the_smaller_one_works_whichever_checks_first() {
    for order in [[0, PROCESSES], [PROCESSES, 0]] {
        // given members that both have checked before they join, when neither was there
        let mut rings = Rings::new();
        for process in order {
            rings.start(process);
            while !rings.is_about_to_join(process) {
                rings.serve(process);
                rings.reply(process);
                rings.watch(process);
            }
        }
        // when both join
        for process in order {
            rings.serve(process);
        }
        for process in order {
            rings.reply(process);
        }
        // then they do not see each other at one moment, either
        for process in order {
            rings.serve(process);
            rings.reply(process);
        }
        rings.calm(secs(30));
        assert_eq!(rings.at_work(), [0]);
        assert!(rings.stores[1].members.values().all(|lease| lease.value.standing.is_over()));
    }
}
