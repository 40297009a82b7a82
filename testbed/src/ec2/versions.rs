//! A value over time: what it was, what it is, and what it will become.
//!
//! The simulation needs both directions. Transitions are planned ahead, so no task has to run for each instance.
//! Eventually consistent reads look back.

use super::time::SimTime;

/// Versions in order of time. There is always at least one.
#[derive(Clone, Debug)]
pub(crate) struct Versions<T> {
    first: (SimTime, T),
    rest: Vec<(SimTime, T)>,
}

impl<T> Versions<T> {
    pub(crate) fn new(at: SimTime, value: T) -> Self {
        Self { first: (at, value), rest: Vec::new() }
    }

    /// The version at `at`, with the moment at which it began. Before all versions, the first one counts, because older
    /// ones were forgotten, not absent.
    pub(crate) fn at(&self, at: SimTime) -> (SimTime, &T) {
        let found = self.rest.iter().rev().find(|(from, _)| *from <= at);
        let (from, value) = found.unwrap_or(&self.first);
        (*from, value)
    }

    /// From `now` on the value is `value`. Versions that were planned after `now` are dropped.
    pub(crate) fn change(&mut self, now: SimTime, value: T) {
        self.rest.retain(|(from, _)| *from < now);
        if self.first.0 >= now {
            self.first = (now, value);
        } else {
            self.rest.push((now, value));
        }
    }

    /// Plans that the value becomes `value` at `at`, which is not before any other version.
    pub(crate) fn schedule(&mut self, at: SimTime, value: T) {
        self.change(at, value);
    }

    /// Forgets the versions that ended before `horizon`.
    pub(crate) fn forget_before(&mut self, horizon: SimTime) {
        let outdated = self.rest.iter().take_while(|(from, _)| *from <= horizon).count();
        if let Some(holds_at_horizon) = self.rest.drain(..outdated).next_back() {
            self.first = holds_at_horizon;
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.rest).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> SimTime {
        SimTime::from_unix_micros(micros)
    }

    #[test]
    fn a_change_cancels_what_was_scheduled_after_it() {
        let mut versions = Versions::new(at(0), "stopped");
        versions.change(at(10), "pending");
        versions.schedule(at(20), "running");
        assert_eq!(*versions.at(at(20)).1, "running");

        versions.change(at(15), "stopping");

        assert_eq!(*versions.at(at(12)).1, "pending");
        assert_eq!(*versions.at(at(20)).1, "stopping");
    }

    #[test]
    fn forgetting_keeps_the_version_that_holds_at_the_horizon() {
        let mut versions = Versions::new(at(0), "a");
        versions.change(at(10), "b");
        versions.change(at(20), "c");
        versions.change(at(30), "d");

        versions.forget_before(at(25));

        assert_eq!(versions.values().copied().collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(*versions.at(at(5)).1, "c");
    }
}
