//! The requests that wait for tokens, in the order in which they get them.
//!
//! The rank decides first, then the second at which a request fell due. Requests that fell due in the same second
//! alternate between users: the first one of each user goes before the second one of any user. A request that was told
//! to come later keeps its entry until a while after that time.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use booking_decision::impossible;

use crate::priority::{Priority, Rank};

/// An entry is kept this long after its time has come.
const KEPT: Duration = Duration::from_secs(15);

/// Entries are sorted by these fields, in the order in which they stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    rank: Rank,
    /// Seconds since 1970.
    due: u64,
    /// The requests of the same user, rank and second that came before.
    of_user: u32,
    /// The requests that came before.
    arrival: u64,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(crate) struct QueueEntry {
    order: Order,
    user: Arc<str>,
    pub(crate) asker: Arc<str>,
    /// The number of its machines.
    pub(crate) machines: usize,
    expires: Instant,
}

/// The requests that wait: at most one of each asker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// Sorted by their order.
    entries: Vec<QueueEntry>,
    arrivals: u64,
}

impl Queue {
    /// Adds a request. If the asker has an entry, that one keeps its position, unless the request is more urgent.
    pub(crate) fn add(&mut self, asker: &Arc<str>, priority: &Priority, machines: usize, now: Instant) {
        let rank = priority.rank;
        let due = priority.due.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(at) = self.entries.iter().position(|entry| entry.asker == *asker) {
            match self.entries.get_mut(at) {
                Some(known) if (known.order.rank, known.order.due) <= (rank, due) => {
                    (known.machines, known.expires) = (machines, now + KEPT);
                    return;
                }
                Some(_) => {}
                None => impossible("budget.queue"),
            }
            // The request has become more urgent.
            self.entries.remove(at);
        }
        let same = |entry: &&QueueEntry| {
            (entry.order.rank, entry.order.due) == (rank, due) && entry.user == priority.user
        };
        // The new entry goes after the user's last one, however many of the user's requests are gone already.
        let last = self.entries.iter().filter(same).map(|entry| entry.order.of_user).max();
        let of_user = last.map_or(0, |last| last.saturating_add(1));
        self.arrivals += 1;
        let order = Order { rank, due, of_user, arrival: self.arrivals };
        let at = self.entries.partition_point(|entry| entry.order < order);
        let (user, asker) = (priority.user.clone(), asker.clone());
        self.entries.insert(at, QueueEntry { order, user, asker, machines, expires: now + KEPT });
    }

    /// The entries in their order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &QueueEntry> {
        self.entries.iter()
    }

    /// Keeps the entry of an asker, now for `machines`, until a while after `at`.
    pub(crate) fn keep(&mut self, asker: &str, machines: usize, at: Instant) {
        if let Some(known) = self.entries.iter_mut().find(|entry| *entry.asker == *asker) {
            known.machines = machines;
            known.expires = at + KEPT;
        }
    }

    /// Removes the entries whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.entries.retain(|entry| entry.expires > now);
    }

    /// Removes the entry of an asker.
    pub(crate) fn remove(&mut self, asker: &str) {
        self.entries.retain(|entry| *entry.asker != *asker);
    }

    /// Removes the entries of several askers.
    pub(crate) fn remove_all(&mut self, askers: &BTreeSet<&str>) {
        self.entries.retain(|entry| !askers.contains(&*entry.asker));
    }

    /// The machines of all entries.
    pub(crate) fn machines(&self) -> usize {
        self.entries.iter().map(|entry| entry.machines).sum()
    }

    /// The number of entries for something that is due, or has to be put right.
    pub(crate) fn pressing(&self) -> usize {
        self.entries.iter().filter(|entry| entry.order.rank < Rank::Upcoming).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(
        queue: &mut Queue,
        (rank, due, user, asker): (Rank, u64, &str, &str),
        machines: usize,
        now: Instant,
    ) {
        let priority = Priority { rank, due: UNIX_EPOCH + Duration::from_secs(due), user: user.into() };
        queue.add(&asker.into(), &priority, machines, now);
    }

    fn order(queue: &Queue) -> Vec<&str> {
        queue.in_order().map(|entry| &*entry.asker).collect()
    }

    #[test]
    fn what_is_due_first_goes_first_and_repairs_come_after_all_that_is_due() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (rank, due, asker) in [
            (Rank::Repair, 5, "old repair"),
            (Rank::Due, 20, "b"),
            (Rank::Upcoming, 1, "upcoming"),
            (Rank::Due, 10, "a"),
        ] {
            add(&mut queue, (rank, due, "ann", asker), 1, now);
        }
        assert_eq!(order(&queue), ["a", "b", "old repair", "upcoming"]);
    }

    #[test]
    fn requests_that_are_due_in_the_same_second_alternate_between_users() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for n in 0..3 {
            add(&mut queue, (Rank::Due, 10, "ann", &format!("ann-{n}")), 1, now);
        }
        for user in ["bob", "eve"] {
            add(&mut queue, (Rank::Due, 10, user, user), 1, now);
        }
        assert_eq!(order(&queue), ["ann-0", "bob", "eve", "ann-1", "ann-2"]);
    }

    #[test]
    fn a_request_that_comes_again_keeps_its_entry_and_one_that_does_not_loses_it() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for asker in ["a", "b"] {
            add(&mut queue, (Rank::Due, 10, "ann", asker), 1, now);
        }
        queue.keep("a", 2, now + Duration::from_mins(1));
        queue.expire(now + Duration::from_secs(61));
        assert_eq!((order(&queue), queue.machines()), (vec!["a"], 2));
        add(&mut queue, (Rank::Due, 99, "ann", "a"), 3, now + Duration::from_secs(61));
        assert_eq!((order(&queue), queue.machines()), (vec!["a"], 3));
        queue.remove_all(&BTreeSet::from(["a"]));
        assert_eq!(order(&queue), [""; 0]);
        add(&mut queue, (Rank::Due, 10, "ann", "b"), 1, now);
        queue.remove("b");
        assert_eq!(order(&queue), [""; 0]);
    }

    #[test]
    fn a_request_that_falls_due_while_it_waits_moves_up() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (rank, due, asker) in
            [(Rank::Due, 10, "a"), (Rank::Repair, 5, "b"), (Rank::Due, 9, "b"), (Rank::Due, 50, "b")]
        {
            add(&mut queue, (rank, due, "ann", asker), 1, now);
        }
        assert_eq!(order(&queue), ["b", "a"]);
    }
}
