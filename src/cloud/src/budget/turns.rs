//! Who is next. By what is due first, and among what is due in the same second fairly between users: everybody's first,
//! then everybody's second. Who was told to come later keeps a place until some time after that.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// How long a place is kept after its time has come.
const KEPT: Duration = Duration::from_secs(15);

/// What a request is about: within an action, the first of these goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Something has fallen due.
    #[default]
    Due,
    /// Something has got out of order.
    Repair,
    /// Something will fall due.
    Ahead,
}

/// Where a request stands among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What it is about.
    pub rank: Rank,
    /// Since when it is due.
    pub due: SystemTime,
    /// For whom: turns are shared fairly between users.
    pub user: Arc<str>,
    /// Who asks. A second request of the same asker takes the place of the first.
    pub asker: Arc<str>,
}

/// One that waits.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    order: (Rank, u64, u32, u64),
    user: Arc<str>,
    pub(crate) asker: Arc<str>,
    /// Machines it is about.
    pub(crate) machines: usize,
    expires: Instant,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// In their order.
    places: Vec<Place>,
    last: u64,
}

impl Turns {
    /// Gives a place; who has one keeps it.
    pub(crate) fn ask(&mut self, turn: &Turn, machines: usize, now: Instant) {
        let due = turn.due.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(at) = self.places.iter().position(|place| place.asker == turn.asker) {
            if let Some(known) = self.places.get_mut(at)
                && (known.order.0, known.order.1) <= (turn.rank, due)
            {
                (known.machines, known.expires) = (machines, now + KEPT);
                return;
            }
            // It has become more urgent.
            self.places.remove(at);
        }
        let same =
            |place: &&Place| (place.order.0, place.order.1) == (turn.rank, due) && place.user == turn.user;
        // After the last of them, however many have gone already.
        let last = self.places.iter().filter(same).map(|place| place.order.2).max();
        let before = last.map_or(0, |last| last.saturating_add(1));
        self.last += 1;
        let order = (turn.rank, due, before, self.last);
        let at = self.places.partition_point(|place| place.order < order);
        let (user, asker) = (turn.user.clone(), turn.asker.clone());
        self.places.insert(at, Place { order, user, asker, machines, expires: now + KEPT });
    }

    /// Those that wait, in their order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// Keeps a place until some time after `at`, for so many machines.
    pub(crate) fn keep(&mut self, asker: &str, machines: usize, at: Instant) {
        if let Some(known) = self.places.iter_mut().find(|place| *place.asker == *asker) {
            known.machines = machines;
            known.expires = at + KEPT;
        }
    }

    /// Gives up places: those of the askers, and those whose time is over.
    pub(crate) fn leave(&mut self, askers: &[Arc<str>], now: Instant) {
        self.places.retain(|place| place.expires > now && !askers.contains(&place.asker));
    }

    /// Gives up a place.
    pub(crate) fn withdraw(&mut self, asker: &str) {
        self.places.retain(|place| *place.asker != *asker);
    }

    /// Machines that wait.
    pub fn machines(&self) -> usize {
        self.places.iter().map(|place| place.machines).sum()
    }

    /// Those that wait for what is due, or out of order.
    pub fn pressing(&self) -> usize {
        self.places.iter().filter(|place| place.order.0 < Rank::Ahead).count()
    }

    /// Those that wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(rank: Rank, due: u64, user: &str, asker: &str) -> Turn {
        Turn { rank, due: UNIX_EPOCH + Duration::from_secs(due), user: user.into(), asker: asker.into() }
    }

    fn order(turns: &Turns) -> Vec<&str> {
        turns.in_order().map(|place| &*place.asker).collect()
    }

    #[test]
    fn what_is_due_first_goes_first_and_repairs_come_after_all_that_is_due() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for (rank, due, asker) in [
            (Rank::Repair, 5, "old repair"),
            (Rank::Due, 20, "b"),
            (Rank::Ahead, 1, "ahead"),
            (Rank::Due, 10, "a"),
        ] {
            turns.ask(&turn(rank, due, "ann", asker), 1, now);
        }
        assert_eq!(order(&turns), ["a", "b", "old repair", "ahead"]);
    }

    #[test]
    fn of_what_is_due_in_the_same_second_users_take_turns() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for n in 0..3 {
            turns.ask(&turn(Rank::Due, 10, "ann", &format!("ann-{n}")), 1, now);
        }
        for user in ["bob", "eve"] {
            turns.ask(&turn(Rank::Due, 10, user, user), 1, now);
        }
        assert_eq!(order(&turns), ["ann-0", "bob", "eve", "ann-1", "ann-2"]);
    }

    #[test]
    fn who_comes_again_keeps_the_place_and_who_does_not_loses_it() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for asker in ["a", "b"] {
            turns.ask(&turn(Rank::Due, 10, "ann", asker), 1, now);
        }
        turns.keep("a", 2, now + Duration::from_mins(1));
        turns.leave(&[], now + Duration::from_secs(61));
        assert_eq!((order(&turns), turns.machines()), (vec!["a"], 2));
        turns.ask(&turn(Rank::Due, 99, "ann", "a"), 3, now + Duration::from_secs(61));
        assert_eq!((turns.len(), turns.machines()), (1, 3));
        turns.leave(&["a".into()], now);
        assert!(turns.is_empty());
        turns.ask(&turn(Rank::Due, 10, "ann", "b"), 1, now);
        turns.withdraw("b");
        assert!(turns.is_empty());
    }

    #[test]
    fn what_falls_due_while_it_waits_moves_up() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for (rank, due, asker) in
            [(Rank::Due, 10, "a"), (Rank::Repair, 5, "b"), (Rank::Due, 9, "b"), (Rank::Due, 50, "b")]
        {
            turns.ask(&turn(rank, due, "ann", asker), 1, now);
        }
        assert_eq!(order(&turns), ["b", "a"]);
    }
}
