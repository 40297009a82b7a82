//! A store that answers at once, and members on it. After each event it is checked that no slot may be
//! worked on by two.

mod looks;
mod troubles;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    calls::Calls,
    identity,
    store::Store,
    transcript::{Transcript, ask, refusal},
};
use crate::{
    member::{Identity, Member},
    neighbours::Claimant,
    permit::CallId,
    protocol::{Action, Answer, End, Event, Op, Story},
    record::{Incarnation, LeaderLease, Ring, Standing},
    slot::Slot,
    time::Stamp,
    timing::Timing,
};

/// The way of a member's requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Open,
    /// They get no answer but that they failed.
    CutOff,
    /// They do not even get that.
    Mute,
    /// They take effect, and get the answer that they failed.
    LosesReplies,
    /// Those about the ring object fail.
    CannotReadRing,
    /// Those that write to Leases of others fail.
    CannotWriteToOthers,
    /// Those for members of other rings fail.
    CannotSeeNeighbours,
}

struct Node {
    member: Option<Member>,
    link: Link,
    /// It was told to stop.
    stopping: bool,
    /// Watch events wait.
    stalled: bool,
    inbox: VecDeque<Event>,
    held_back: VecDeque<Event>,
    /// How far its wall clock was set forward.
    wall_ahead: Duration,
    told: Vec<Story>,
    ended: Option<End>,
}

pub struct World {
    now: Duration,
    slots: u16,
    store: Store,
    calls: Calls,
    nodes: BTreeMap<String, Node>,
    writes: usize,
    reads: usize,
    started: usize,
    transcript: Transcript,
}

impl World {
    pub fn new(slots: u16) -> Self {
        let now = Duration::from_secs(1000);
        Self {
            now,
            slots,
            store: Store::default(),
            calls: Calls::default(),
            nodes: BTreeMap::new(),
            writes: 0,
            reads: 0,
            started: 0,
            transcript: Transcript { since: now, text: String::new() },
        }
    }

    pub fn start(&mut self, name: &str) {
        self.start_in(name, None);
    }

    pub fn start_in(&mut self, name: &str, container: Option<&str>) {
        let me = Identity { container: container.map(Arc::from), ..identity(name) };
        self.launch(me, Timing::default(), self.slots);
    }

    pub fn start_with_slots(&mut self, name: &str, slots: u16) {
        self.launch(identity(name), Timing::default(), slots);
    }

    pub fn start_with_timing(&mut self, name: &str, timing: Timing) {
        self.launch(identity(name), timing, self.slots);
    }

    pub fn start_speaking(&mut self, name: &str, protocol: u32) {
        self.launch(Identity { protocol, ..identity(name) }, Timing::default(), self.slots);
    }

    /// In a ring that may have others beside it.
    pub fn start_beside_others(&mut self, name: &str, own: Claimant) {
        let member = Member::new(identity(name), Timing::default(), self.slots, Stamp::all(self.now));
        self.add(name, member.beside_others(own));
    }

    /// In a process that has begun so long ago.
    pub fn start_later(&mut self, name: &str, container: &str, ago: Duration) {
        let me = Identity { container: Some(container.into()), ..identity(name) };
        let member = Member::new(me, Timing::default(), self.slots, Stamp::all(self.now));
        self.add(name, member.of_process_since(Stamp::all(self.now.saturating_sub(ago))));
    }

    fn launch(&mut self, me: Identity, timing: Timing, slots: u16) {
        let name = me.incarnation.to_string();
        self.add(&name, Member::new(me, timing, slots, Stamp::all(self.now)));
    }

    fn add(&mut self, name: &str, member: Member) {
        let node = Node {
            member: Some(member),
            link: Link::Open,
            stopping: false,
            stalled: false,
            inbox: self.everything(),
            held_back: VecDeque::new(),
            wall_ahead: Duration::ZERO,
            told: vec![],
            ended: None,
        };
        self.nodes.insert(name.to_owned(), node);
        self.settle();
    }

    /// The next incarnation of a process.
    pub fn follow(&mut self, name: &str, next: &str) {
        let node = self.nodes.remove(name).unwrap();
        let member = node.member.unwrap().next(Incarnation::new(next), Stamp::all(self.now));
        self.add(next, member);
    }

    /// What new watches show.
    fn everything(&self) -> VecDeque<Event> {
        let members = self.store.members.values().cloned().map(Event::MemberSeen);
        let leader = self.store.leader.clone().map_or(Event::LeaderGone, Event::LeaderSeen);
        let ring = self.store.ring.clone().map_or(Event::RingGone, Event::RingSeen);
        members.chain([leader, Event::LeasesListed, ring, Event::Tick]).collect()
    }

    /// A process that was not there before.
    pub fn start_another(&mut self) {
        self.started += 1;
        self.start(&format!("n{}", self.started));
    }

    /// Processes whose incarnations have ended go on as others, or end.
    pub fn follow_the_ended(&mut self) {
        let ended: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.ended.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            if self.nodes[&name].stopping {
                self.kill(&name);
            } else {
                self.started += 1;
                self.follow(&name, &format!("n{}", self.started));
            }
        }
    }

    pub fn event(&mut self, name: &str, event: Event) {
        self.nodes.get_mut(name).unwrap().inbox.push_back(event);
        self.settle();
    }

    pub fn event_to_all(&mut self, event: &Event) {
        for node in self.nodes.values_mut() {
            node.inbox.push_back(event.clone());
        }
        self.settle();
    }

    fn clocks(&self, name: &str) -> Stamp {
        Stamp { wall: self.now + self.nodes[name].wall_ahead, ..Stamp::all(self.now) }
    }

    /// A call for the first slot that it owns.
    pub fn begin_call(&mut self, name: &str) -> (Slot, CallId) {
        self.begin_calls(name, 1).remove(0)
    }

    /// Calls for so many of the slots that it may work on.
    pub fn begin_calls(&mut self, name: &str, count: usize) -> Vec<(Slot, CallId)> {
        let now = self.clocks(name);
        let member = self.member(name);
        let permits: Vec<_> =
            member.owned().filter_map(|slot| member.permit(slot, now)).take(count).collect();
        let begun: Vec<_> = permits
            .into_iter()
            .map(|permit| (permit.slot, member.begin_call(permit, now).unwrap()))
            .collect();
        for (slot, id) in &begun {
            self.calls.begin(name, *id, *slot, self.now);
        }
        begun
    }

    pub fn end_call(&mut self, name: &str, call: CallId) {
        self.calls.end(name, call);
        self.member(name).call_ended(call);
        self.event(name, Event::Tick);
    }

    pub fn cancel_call(&mut self, name: &str, call: CallId) {
        self.calls.cancel(name, call);
        self.member(name).call_cancelled(call);
        self.event(name, Event::Tick);
    }

    fn member(&mut self, name: &str) -> &mut Member {
        self.nodes.get_mut(name).unwrap().member.as_mut().unwrap()
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let wakes = self.nodes.values().filter(|node| node.ended.is_none());
            let next = wakes.filter_map(|node| node.member.as_ref()?.next_wake());
            let next = next.chain(self.calls.next_end()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            assert!(next > self.now, "a wake-up that wakes nobody");
            self.now = next;
            let due = |node: &&mut Node| {
                node.member.as_ref().is_some_and(|member| member.next_wake() == Some(next))
            };
            for node in self.nodes.values_mut().filter(due) {
                node.inbox.push_back(Event::Tick);
            }
            for (name, call) in self.calls.end_due(next) {
                if self.nodes.contains_key(&name) {
                    self.end_call(&name, call);
                }
            }
        }
    }

    /// Delivers everything that can be delivered now.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(name) =
                self.nodes.iter().find(|(_, node)| !node.inbox.is_empty()).map(|(name, _)| name.clone())
            else {
                return;
            };
            let now = self.clocks(&name);
            let node = self.nodes.get_mut(&name).unwrap();
            let event = node.inbox.pop_front().unwrap();
            if node.ended.is_some() {
                continue;
            }
            let actions = node.member.as_mut().unwrap().handle(event, now);
            for action in actions {
                self.carry_out(&name, action);
            }
            self.check();
        }
        panic!("it never settles");
    }

    fn carry_out(&mut self, name: &str, action: Action) {
        match action {
            Action::Request { id, op } => {
                let asked = ask(&op);
                let link = self.nodes[name].link;
                let of_ring = matches!(op, Op::ReadRing | Op::CreateRing(_) | Op::UpdateRing { .. });
                let of_another = matches!(
                    &op, Op::UpdateMember { lease, .. } if lease.incarnation.as_str() != name
                );
                let arrives = match link {
                    Link::Open | Link::LosesReplies => true,
                    Link::CannotReadRing => !of_ring,
                    Link::CannotWriteToOthers => !of_another,
                    Link::CannotSeeNeighbours => op != Op::ListNeighbours,
                    Link::CutOff | Link::Mute => false,
                };
                let answer = if arrives { self.execute(op) } else { Answer::Failed };
                self.transcript.line(self.now, name, &format!("{asked}{}", refusal(&answer)));
                let node = self.nodes.get_mut(name).unwrap();
                let answer = if link == Link::LosesReplies { Answer::Failed } else { answer };
                if link != Link::Mute {
                    node.inbox.push_back(Event::Answered { request: id, answer });
                }
            }
            Action::Tell(story) => {
                self.transcript.line(self.now, name, &format!("tells {story:?}"));
                self.nodes.get_mut(name).unwrap().told.push(story);
            }
            Action::Ended(end) => {
                self.transcript.line(self.now, name, &format!("ends: {}", end.as_str()));
                self.nodes.get_mut(name).unwrap().ended = Some(end);
            }
            Action::Gained(slots) => self.transcript.line(self.now, name, &format!("gains {}", slots.len())),
            Action::Lost(slots) => self.transcript.line(self.now, name, &format!("loses {}", slots.len())),
            Action::RestartWatches => self.transcript.line(self.now, name, "begins its watches anew"),
        }
    }

    fn publish(&mut self, event: &Event) {
        for node in self.nodes.values_mut() {
            let queue = if node.stalled { &mut node.held_back } else { &mut node.inbox };
            queue.push_back(event.clone());
        }
    }

    fn execute(&mut self, op: Op) -> Answer {
        match &op {
            Op::ReadMember(_) | Op::ListMembers | Op::ListNeighbours | Op::ReadLeader | Op::ReadRing => {
                self.reads += 1;
            }
            _ => self.writes += 1,
        }
        let (answer, change) = self.store.execute(op, self.now);
        if let Some(event) = change {
            self.publish(&event);
        }
        answer
    }

    fn check(&self) {
        for slot in (0..self.slots).map(Slot) {
            let may = |name: &str, node: &Node| {
                node.member.as_ref().is_some_and(|member| member.permit(slot, self.clocks(name)).is_some())
            };
            let mut at_work = self.calls.callers(slot);
            at_work.extend(
                self.nodes.iter().filter(|(name, node)| may(name, node)).map(|(name, _)| name.as_str()),
            );
            assert!(at_work.len() <= 1, "several may be at work on slot {slot}: {at_work:?}");
        }
    }
}
