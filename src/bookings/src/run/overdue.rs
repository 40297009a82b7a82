//! Tracks how long the Booking has been due that has waited longest for its group. It is updated whenever a Booking
//! changes, like the counts.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    api::{Booking, booking_state},
    decide::groups::progress::reason,
};
use booking_calendar::instant;
use jiff::Timestamp;

/// The Bookings that are not ready, by the second from which they should be. It includes seconds in the future.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overdue(BTreeMap<i64, usize>);

impl Overdue {
    /// Updates it after a Booking has replaced another, or has come or gone.
    pub fn replaced(&mut self, old: Option<&Booking>, new: Option<&Booking>) {
        if let Some(second) = new.and_then(wants_it_from) {
            *self.0.entry(second).or_default() += 1;
        }
        let Some(second) = old.and_then(wants_it_from) else { return };
        if let Some(count) = self.0.get_mut(&second) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&second);
            }
        }
    }

    /// How long the longest waiting Booking has been due. Zero if none is overdue.
    pub fn longest(&self, now: Timestamp) -> Duration {
        let oldest = self.0.keys().next().copied().unwrap_or(i64::MAX);
        let seconds = now.as_second().saturating_sub(oldest);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

/// The time from which a Booking is overdue. None if it is ready, is finished, has an invalid spec, or waits for
/// another user.
fn wants_it_from(booking: &Booking) -> Option<i64> {
    let status = booking.status.as_ref()?;
    let is_open =
        matches!(status.status.as_deref(), Some(booking_state::SCHEDULED | booking_state::IN_PROGRESS));
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    if !is_open
        || ready.status == "True"
        || matches!(ready.reason.as_str(), reason::WAITING | reason::INVALID)
    {
        return None;
    }
    let from = status.granted_from.as_ref().or(booking.spec.start_at.as_ref())?;
    let from = instant::parse(from).ok()?;
    // The operator could not serve it before it was created.
    let created = booking.metadata.creation_timestamp.as_ref().map_or(from, |created| created.0);
    Some(from.max(created).as_second())
}

#[cfg(test)]
mod tests {
    use crate::api::{BookingSpec, BookingStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn at(clock: &str) -> Timestamp {
        format!("2027-03-01T{clock}Z").parse().unwrap()
    }

    fn booking(state: &str, reason: &str, granted: Option<&str>) -> Booking {
        let ready = Condition {
            type_: "Ready".into(),
            status: if reason == "Held" { "True" } else { "False" }.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let status = BookingStatus {
            status: Some(state.into()),
            granted_from: granted.map(|clock| at(clock).to_string()),
            conditions: vec![ready],
            ..BookingStatus::default()
        };
        let spec = BookingSpec { start_at: Some(at("08:00:00").to_string()), ..BookingSpec::default() };
        Booking { status: Some(status), ..Booking::new("b", spec) }
    }

    #[test]
    fn a_booking_counts_from_its_begin_until_it_is_ready() {
        for (state, reason, granted, seconds) in [
            ("SCHEDULED", "Scheduled", Some("08:30:00"), 0),
            ("SCHEDULED", "Scheduled", Some("08:10:00"), 300),
            ("IN PROGRESS", "Starting", Some("08:10:00"), 300),
            ("IN PROGRESS", "CloudError", Some("08:10:00"), 300),
            ("SCHEDULED", "ResourceNotFound", None, 900),
            ("SCHEDULED", "Waiting", None, 0),
            ("SCHEDULED", "Invalid", None, 0),
            ("IN PROGRESS", "Held", Some("08:10:00"), 0),
            ("FINISHED", "Finished", Some("08:10:00"), 0),
        ] {
            let mut overdue = Overdue::default();
            overdue.replaced(None, Some(&booking(state, reason, granted)));
            assert_eq!(overdue.longest(at("08:15:00")), Duration::from_secs(seconds), "{state} {reason}");
        }
    }

    #[test]
    fn a_booking_of_a_time_that_has_begun_counts_from_when_it_was_made() {
        let mut late = booking("IN PROGRESS", "Starting", Some("08:10:00"));
        late.metadata.creation_timestamp = Some(Time(at("08:14:00")));
        let mut overdue = Overdue::default();
        overdue.replaced(None, Some(&late));
        assert_eq!(overdue.longest(at("08:15:00")), Duration::from_mins(1));
    }

    #[test]
    fn the_longest_of_several_counts_and_who_is_ready_or_gone_no_more() {
        // given two Bookings that are due
        let (early, late) = (
            booking("IN PROGRESS", "Starting", Some("08:05:00")),
            booking("IN PROGRESS", "Starting", Some("08:10:00")),
        );
        let mut overdue = Overdue::default();
        overdue.replaced(None, Some(&early));
        overdue.replaced(None, Some(&late));
        overdue.replaced(None, Some(&late));
        assert_eq!(overdue.longest(at("08:15:00")), Duration::from_mins(10));
        // when one is ready, and another is deleted
        overdue.replaced(Some(&early), Some(&booking("IN PROGRESS", "Held", Some("08:05:00"))));
        overdue.replaced(Some(&late), None);
        // then the third is left, and then none
        assert_eq!(overdue.longest(at("08:15:00")), Duration::from_mins(5));
        overdue.replaced(Some(&late), None);
        assert_eq!(overdue, Overdue::default());
    }
}
