//! A store that answers at once, and members on it. After each event it is checked that no slot may be
//! worked on by two.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    member::{Identity, Member},
    permit::CallId,
    protocol::{Action, Answer, End, Event, Op, Story},
    record::{Incarnation, LeaderLease, MemberLease, Ring, Standing, Stored},
    slot::Slot,
    time::Stamp,
    timing::Timing,
};

#[derive(Clone, Default)]
pub struct Store {
    version: u64,
    members: BTreeMap<Incarnation, Stored<MemberLease>>,
    leader: Option<Stored<LeaderLease>>,
    ring: Option<Stored<Ring>>,
    uids: u64,
}

struct Node {
    member: Option<Member>,
    /// Requests get no answer.
    cut_off: bool,
    /// Watch events wait.
    stalled: bool,
    inbox: VecDeque<Event>,
    held_back: VecDeque<Event>,
    told: Vec<Story>,
    ended: Option<End>,
}

pub struct World {
    now: Duration,
    slots: u16,
    store: Store,
    nodes: BTreeMap<String, Node>,
    writes: usize,
    reads: usize,
}

fn identity(name: &str) -> Identity {
    Identity { incarnation: Incarnation::new(name), container: None, release: "1".into(), protocol: 1 }
}

impl World {
    pub fn new(slots: u16) -> Self {
        let now = Duration::from_secs(1000);
        Self { now, slots, store: Store::default(), nodes: BTreeMap::new(), writes: 0, reads: 0 }
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

    fn launch(&mut self, me: Identity, timing: Timing, slots: u16) {
        let name = me.incarnation.to_string();
        self.add(&name, Member::new(me, timing, slots, Stamp::all(self.now)));
    }

    fn add(&mut self, name: &str, member: Member) {
        let node = Node {
            member: Some(member),
            cut_off: false,
            stalled: false,
            inbox: self.everything(),
            held_back: VecDeque::new(),
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

    pub fn kill(&mut self, name: &str) {
        self.nodes.remove(name);
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

    pub fn cut_off(&mut self, name: &str) {
        let node = self.nodes.get_mut(name).unwrap();
        node.cut_off = true;
        node.stalled = true;
    }

    pub fn stall_watch(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().stalled = true;
    }

    pub fn reconnect(&mut self, name: &str) {
        let everything = self.everything();
        let node = self.nodes.get_mut(name).unwrap();
        node.cut_off = false;
        node.stalled = false;
        node.held_back.clear();
        node.inbox.extend(everything);
        self.settle();
    }

    pub fn begin_call(&mut self, name: &str) -> (Slot, CallId) {
        let now = Stamp::all(self.now);
        let member = self.member(name);
        let slot = member.owned().next().unwrap();
        let permit = member.permit(slot, now).unwrap();
        (slot, member.begin_call(permit, now).unwrap())
    }

    pub fn end_call(&mut self, name: &str, call: CallId) {
        self.member(name).call_ended(call);
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
            let next = wakes.filter_map(|node| node.member.as_ref()?.next_wake()).min();
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
            let now = Stamp::all(self.now);
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
                let answer = if self.nodes[name].cut_off { Answer::Failed } else { self.execute(op) };
                let node = self.nodes.get_mut(name).unwrap();
                node.inbox.push_back(Event::Answered { request: id, answer });
            }
            Action::Tell(story) => self.nodes.get_mut(name).unwrap().told.push(story),
            Action::Ended(end) => self.nodes.get_mut(name).unwrap().ended = Some(end),
            Action::Gained(_) | Action::Lost(_) | Action::RestartWatches => {}
        }
    }

    fn publish(&mut self, event: &Event) {
        for node in self.nodes.values_mut() {
            let queue = if node.stalled { &mut node.held_back } else { &mut node.inbox };
            queue.push_back(event.clone());
        }
    }

    fn stored<T>(&mut self, value: T, uid: Option<Arc<str>>) -> Stored<T> {
        self.store.version += 1;
        self.store.uids += 1;
        let uid = uid.unwrap_or_else(|| self.store.uids.to_string().into());
        Stored { uid, version: self.store.version, value: Arc::new(value) }
    }

    fn put_member(&mut self, lease: MemberLease, uid: Option<Arc<str>>) -> Answer {
        let name = lease.incarnation.clone();
        let created = i64::try_from(self.now.as_secs()).unwrap();
        let created = self.store.members.get(&name).map_or(created, |known| known.value.created);
        let stored = self.stored(MemberLease { created, ..lease }, uid);
        self.store.members.insert(name, stored.clone());
        self.publish(&Event::MemberSeen(stored.clone()));
        Answer::Member(stored)
    }

    fn put_leader(&mut self, lease: LeaderLease, uid: Option<Arc<str>>) -> Answer {
        let stored = self.stored(lease, uid);
        self.store.leader = Some(stored.clone());
        self.publish(&Event::LeaderSeen(stored.clone()));
        Answer::Leader(stored)
    }

    fn put_ring(&mut self, ring: Ring, uid: Option<Arc<str>>) -> Answer {
        let stored = self.stored(ring, uid);
        self.store.ring = Some(stored.clone());
        self.publish(&Event::RingSeen(stored.clone()));
        Answer::Ring(stored)
    }

    fn execute(&mut self, op: Op) -> Answer {
        match &op {
            Op::ReadMember(_) | Op::ListMembers | Op::ReadLeader | Op::ReadRing => self.reads += 1,
            _ => self.writes += 1,
        }
        let none = Answer::NotFound;
        match op {
            Op::CreateMember(lease) if self.store.members.contains_key(&lease.incarnation) => Answer::Exists,
            Op::CreateMember(lease) => self.put_member(lease, None),
            Op::UpdateMember { uid, version, lease } => match self.store.members.get(&lease.incarnation) {
                None => none,
                Some(known) if known.uid == uid && known.version == version => {
                    self.put_member(lease, Some(uid))
                }
                Some(_) => Answer::Conflict,
            },
            Op::ReadMember(name) => self.store.members.get(&name).cloned().map_or(none, Answer::Member),
            Op::MarkToLeave(name) => match self.store.members.get(&name).cloned() {
                None => none,
                Some(known) => {
                    let lease = MemberLease { told_to_leave: true, ..(*known.value).clone() };
                    self.put_member(lease, Some(known.uid))
                }
            },
            Op::DeleteMember { incarnation, uid, version } => match self.store.members.get(&incarnation) {
                None => none,
                Some(known) if known.uid == uid && known.version == version => {
                    self.delete_lease(incarnation.as_str());
                    Answer::Deleted
                }
                Some(_) => Answer::Conflict,
            },
            Op::ListMembers => Answer::Members(self.store.members.values().cloned().collect()),
            Op::CreateLeader(_) if self.store.leader.is_some() => Answer::Exists,
            Op::CreateLeader(lease) => self.put_leader(lease, None),
            Op::UpdateLeader { uid, version, lease } => match &self.store.leader {
                None => none,
                Some(known) if known.uid == uid && known.version == version => {
                    self.put_leader(lease, Some(uid))
                }
                Some(_) => Answer::Conflict,
            },
            Op::ReadLeader => self.store.leader.clone().map_or(none, Answer::Leader),
            Op::CreateRing(_) if self.store.ring.is_some() => Answer::Exists,
            Op::CreateRing(ring) => self.put_ring(ring, None),
            Op::UpdateRing { uid, version, ring } => match &self.store.ring {
                None => none,
                Some(known) if known.uid == uid && known.version == version => self.put_ring(ring, Some(uid)),
                Some(_) => Answer::Conflict,
            },
            Op::ReadRing => self.store.ring.clone().map_or(none, Answer::Ring),
        }
    }

    pub fn delete_lease(&mut self, name: &str) {
        let name = Incarnation::new(name);
        self.store.members.remove(&name);
        self.publish(&Event::MemberGone(name));
    }

    pub fn delete_ring(&mut self) {
        self.store.ring = None;
        self.publish(&Event::RingGone);
        self.settle();
    }

    pub fn snapshot(&self) -> Store {
        self.store.clone()
    }

    pub fn restore(&mut self, store: Store) {
        self.store = store;
    }

    fn check(&self) {
        let now = Stamp::all(self.now);
        for slot in (0..self.slots).map(Slot) {
            let owners: Vec<&String> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.member.as_ref().is_some_and(|it| it.permit(slot, now).is_some()))
                .map(|(name, _)| name)
                .collect();
            assert!(owners.len() <= 1, "slot {slot} has two owners: {owners:?}");
        }
    }

    pub fn owners(&self) -> BTreeMap<Slot, Incarnation> {
        self.store.ring.as_ref().unwrap().value.owners.clone()
    }

    /// The slots that a node may work on now.
    pub fn permitted(&self, name: &str) -> usize {
        let now = Stamp::all(self.now);
        let member = self.nodes[name].member.as_ref().unwrap();
        member.owned().filter(|slot| member.permit(*slot, now).is_some()).count()
    }

    pub fn shares(&self) -> Vec<(&str, usize)> {
        let running = self.nodes.iter().filter(|(_, node)| node.ended.is_none());
        running.map(|(name, _)| (name.as_str(), self.permitted(name))).collect()
    }

    pub fn shares_of_others(&self, name: &str) -> usize {
        self.shares().iter().filter(|(other, _)| *other != name).map(|(_, count)| count).sum()
    }

    pub fn ring(&self) -> &Ring {
        &self.store.ring.as_ref().unwrap().value
    }

    pub fn leader(&self) -> String {
        self.store.leader.as_ref().unwrap().value.holder.as_ref().unwrap().to_string()
    }

    pub fn standing(&self, name: &str) -> Option<Standing> {
        self.store.members.get(&Incarnation::new(name)).map(|lease| lease.value.standing)
    }

    pub fn ended(&self, name: &str) -> Option<End> {
        self.nodes[name].ended
    }

    pub fn told(&self, name: &str, story: &Story) -> bool {
        self.nodes[name].told.contains(story)
    }

    /// Writes and reads so far.
    pub fn requests(&self) -> (usize, usize) {
        (self.writes, self.reads)
    }
}
