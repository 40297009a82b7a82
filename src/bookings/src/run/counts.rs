//! Counts Bookings by state, and machines by use. The counts are updated whenever an object changes, because a loop
//! over a hundred thousand objects at each scrape would take a second.

use std::collections::BTreeMap;

use crate::api::{Booking, Resource, booking_state};

/// Numbers by a word that is the value of a metric's label.
pub type Numbers = BTreeMap<&'static str, i64>;

/// The counts of all objects in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Bookings by state.
    pub bookings: Numbers,
    /// Machines of Resources by use.
    pub machines: Numbers,
}

impl Default for Counts {
    fn default() -> Self {
        let none = |words: &[&'static str]| words.iter().map(|word| (*word, 0)).collect();
        Self {
            bookings: none(&["new", "scheduled", "starting", "held", "finished"]),
            machines: none(&["booked", "idle", "stopped"]),
        }
    }
}

/// An object that is counted.
pub trait Counted {
    /// Adds it to the counts `times` times.
    fn count(&self, counts: &mut Counts, times: i64);
}

impl Counts {
    /// Updates the counts after an object has replaced another, or has come or gone.
    pub fn replaced<K: Counted>(&mut self, old: Option<&K>, new: Option<&K>) {
        for (object, times) in [(old, -1), (new, 1)] {
            if let Some(object) = object {
                object.count(self, times);
            }
        }
    }
}

impl Counted for Booking {
    fn count(&self, counts: &mut Counts, times: i64) {
        let state = match self.status.as_ref().and_then(|status| status.status.as_deref()) {
            Some(booking_state::SCHEDULED) => "scheduled",
            Some(booking_state::IN_PROGRESS) if is_ready(self) => "held",
            Some(booking_state::IN_PROGRESS) => "starting",
            Some(booking_state::FINISHED) => "finished",
            _ => "new",
        };
        *counts.bookings.entry(state).or_default() += times;
    }
}

fn is_ready(booking: &Booking) -> bool {
    let conditions = booking.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Counted for Resource {
    fn count(&self, counts: &mut Counts, times: i64) {
        let Some(status) = &self.status else { return };
        let (all, running) = (status.instances.unwrap_or_default(), status.running.unwrap_or_default());
        let running = running.clamp(0, all.max(0));
        let used = if status.holder.is_some() { "booked" } else { "idle" };
        *counts.machines.entry(used).or_default() += times * running;
        *counts.machines.entry("stopped").or_default() += times * (all.max(0) - running);
    }
}

#[cfg(test)]
mod tests {
    use crate::api::{BookingSpec, BookingStatus, ResourceHolder, ResourceSpec, ResourceStatus};
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn booking(state: Option<&str>) -> Booking {
        let status =
            state.map(|state| BookingStatus { status: Some(state.into()), ..BookingStatus::default() });
        Booking { status, ..Booking::new("b", BookingSpec::default()) }
    }

    fn resource(instances: i64, running: i64, held: bool) -> Resource {
        let holder = held.then(ResourceHolder::default);
        let status = ResourceStatus {
            instances: Some(instances),
            running: Some(running),
            holder,
            ..ResourceStatus::default()
        };
        Resource { status: Some(status), ..Resource::new("r", ResourceSpec::default()) }
    }

    #[test]
    fn bookings_are_counted_by_state_from_the_first_to_the_last() {
        // given the states of a booking over time
        let states = [None, Some("SCHEDULED"), Some("IN PROGRESS"), Some("IN PROGRESS"), Some("FINISHED")];
        let mut life: Vec<Booking> = states.into_iter().map(booking).collect();
        let ready = Condition {
            type_: "Ready".into(),
            status: "True".into(),
            reason: "Held".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        life[3].status.as_mut().unwrap().conditions.push(ready);
        let mut counts = Counts::default();
        // when it is created and changes, then it is counted once
        counts.replaced(None, life.first());
        for (pair, word) in life.windows(2).zip(["scheduled", "starting", "held", "finished"]) {
            counts.replaced(pair.first(), pair.last());
            assert_eq!((counts.bookings[word], counts.bookings.values().sum::<i64>()), (1, 1));
        }
        // and when it is gone, it is not counted
        counts.replaced(life.last(), None);
        assert_eq!(counts, Counts::default());
    }

    #[test]
    fn machines_are_counted_by_whether_they_run_and_for_whom() {
        for (instances, running, held, booked, idle, stopped) in
            [(3, 2, true, 2, 0, 1), (3, 2, false, 0, 2, 1), (2, 0, false, 0, 0, 2), (1, 5, true, 1, 0, 0)]
        {
            let mut counts = Counts::default();
            counts.replaced(None, Some(&resource(instances, running, held)));
            let numbers = ["booked", "idle", "stopped"].map(|word| counts.machines[word]);
            assert_eq!(numbers, [booked, idle, stopped], "{running} of {instances}, held: {held}");
        }
    }
}
