//! What happens to members and to the store.

use super::*;
use crate::claim::Neighbour;

impl World {
    pub fn kill(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// It hands over, and then is no more.
    pub fn stop(&mut self, name: &str) {
        let node = self.nodes.get_mut(name).unwrap();
        node.stopping = true;
        node.inbox.push_back(Event::Stop);
        self.settle();
    }

    /// Whether what it asks takes effect without its hearing so.
    pub fn lose_replies(&mut self, name: &str, lose: bool) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.link = if lose { Link::LosesReplies } else { Link::Open };
        }
    }

    pub fn delete_lead(&mut self) {
        self.store.leader = None;
        self.publish(&Event::LeaderGone);
        self.settle();
    }

    pub fn cut_off(&mut self, name: &str) {
        let node = self.nodes.get_mut(name).unwrap();
        node.link = Link::CutOff;
        node.stalled = true;
    }

    pub fn mute(&mut self, name: &str) {
        self.cut_off(name);
        self.nodes.get_mut(name).unwrap().link = Link::Mute;
    }

    pub fn cut_off_from_ring(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().link = Link::CannotReadRing;
    }

    pub fn cut_off_from_others(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().link = Link::CannotWriteToOthers;
    }

    pub fn cut_off_from_neighbours(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().link = Link::CannotSeeNeighbours;
    }

    /// Whom checks show from now on.
    pub fn set_neighbours(&mut self, neighbours: &[Neighbour]) {
        self.store.neighbours = neighbours.to_vec();
    }

    /// Its wall clock is set forward.
    pub fn set_forward(&mut self, name: &str, by: Duration) {
        self.nodes.get_mut(name).unwrap().wall_ahead = by;
        self.event(name, Event::Tick);
    }

    pub fn stall_watch(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().stalled = true;
    }

    pub fn reconnect(&mut self, name: &str) {
        let everything = self.everything();
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.link = Link::Open;
        node.stalled = false;
        node.held_back.clear();
        node.inbox.extend(everything);
        self.settle();
    }

    pub fn delete_lease(&mut self, name: &str) {
        let gone = self.store.delete_member(&Incarnation::new(name));
        self.publish(&gone);
    }

    /// Somebody writes to a member's Lease what stands there already.
    pub fn touch(&mut self, name: &str) {
        if let Some(event) = self.touch_unseen(name) {
            self.publish(&event);
        }
    }

    /// The same, and no watch shows it.
    pub fn touch_unseen(&mut self, name: &str) -> Option<Event> {
        let known = self.store.members[&Incarnation::new(name)].clone();
        let (uid, version, lease) = (known.uid, known.version, (*known.value).clone());
        self.store.execute(Op::UpdateMember { uid, version, lease }, self.now).1
    }

    /// Somebody writes a name into the leader's Lease.
    pub fn seize_lead(&mut self, name: &str) {
        let known = self.store.leader.clone().unwrap();
        let lease = LeaderLease { holder: Some(Incarnation::new(name)), ..(*known.value).clone() };
        self.execute(Op::UpdateLeader { uid: known.uid, version: known.version, lease });
        self.settle();
    }

    pub fn delete_ring(&mut self) {
        self.store.ring = None;
        self.publish(&Event::RingGone);
        self.settle();
    }

    /// Another ring object takes the place of this one.
    pub fn replace_ring(&mut self) {
        self.store.ring = None;
        self.execute(Op::CreateRing(Ring::new(self.slots)));
        self.settle();
    }

    /// The ring object goes back to what it was, and no watch shows it.
    pub fn restore_ring(&mut self, store: Store) {
        self.store.ring = store.ring;
    }

    pub fn snapshot(&self) -> Store {
        self.store.clone()
    }

    pub fn restore(&mut self, store: Store) {
        self.store = store;
    }
}
