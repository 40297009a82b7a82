//! What is seen of members and of the store.

use super::*;
use crate::claim::Claim;

impl World {
    /// The members whose incarnations go on.
    pub fn running(&self) -> Vec<String> {
        self.nodes.iter().filter(|(_, node)| node.ended.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// How many member Leases there are.
    pub fn leases(&self) -> usize {
        self.store.members.len()
    }

    pub fn lead_holder(&self) -> Option<String> {
        let lease = self.store.leader.as_ref()?;
        lease.value.holder.as_ref().map(ToString::to_string)
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

    /// What the Leases of members say that they work on.
    pub fn claims(&self) -> Vec<Option<Claim>> {
        self.store.members.values().map(|lease| lease.value.claim.as_deref().cloned()).collect()
    }

    pub fn ended(&self, name: &str) -> Option<End> {
        self.nodes[name].ended
    }

    pub fn told(&self, name: &str, story: &Story) -> bool {
        self.nodes[name].told.contains(story)
    }

    pub fn look(&self, name: &str) -> (&Member, Stamp) {
        (self.nodes[name].member.as_ref().unwrap(), Stamp::all(self.now))
    }

    /// Everything that members asked for since the last look, and when; times count from now on anew.
    pub fn transcript(&mut self) -> String {
        std::mem::replace(&mut self.transcript, Transcript { since: self.now, text: String::new() }).text
    }

    /// Writes and reads so far.
    pub fn requests(&self) -> (usize, usize) {
        (self.writes, self.reads)
    }
}
