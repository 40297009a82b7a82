//! Schedulers on a store that can be cut off after any write.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{BookingSchedulerSpec, BookingTemplate, Notification};
use jiff::{SignedDuration, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{decide::*, occurrences::CATCH_UP_MAX, spec};
use crate::api::{Booking, BookingScheduler, BookingSchedulerStatus, BookingStatus, booking_state};
use booking_decision::EventType;
use jiff::Timestamp;

mod odd;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A spec that books every day at eight for an hour.
fn spec() -> BookingSchedulerSpec {
    BookingSchedulerSpec {
        schedule: Some("0 8 * * *".into()),
        duration: Some(60),
        booking_template: Some(BookingTemplate {
            resource_name: Some("ec2.analytics".into()),
            user_id: Some("ada".into()),
            notifications: Some(vec![Notification {
                type_: Some("email".into()),
                recipient: Some("ada@example.org".into()),
                ..Notification::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A scheduler, its Bookings, and the time.
struct World {
    scheduler: BookingScheduler,
    bookings: BTreeMap<String, Booking>,
    now: Timestamp,
    notes: Vec<(EventType, String)>,
}

impl World {
    /// A world with a scheduler that was created at `created`.
    fn new(created: &str, spec: BookingSchedulerSpec) -> Self {
        let mut scheduler = BookingScheduler::new("daily", spec);
        scheduler.metadata.namespace = Some("team".into());
        scheduler.metadata.uid = Some("uid-1".into());
        scheduler.metadata.generation = Some(1);
        scheduler.metadata.creation_timestamp = Some(Time(at(created)));
        Self { scheduler, bookings: BTreeMap::new(), now: at(created), notes: vec![] }
    }

    fn decide(&self) -> SchedulerDecision {
        let bookings: Vec<&Booking> = self.bookings.values().collect();
        let (scheduler, valid) = (&self.scheduler, &spec::validate(&self.scheduler));
        decide_scheduler(&ScheduleInput { scheduler, valid, bookings: &bookings, now: self.now })
    }

    /// Carries out a pass that is cut off after `most` writes. Returns the number of writes.
    fn pass(&mut self, most: usize) -> usize {
        let decision = self.decide();
        let mut writes = 0;
        for booking in decision.create {
            if writes == most {
                return writes;
            }
            // If it exists, the creation is not a write.
            let name = booking.metadata.name.clone().unwrap();
            writes += usize::from(self.bookings.insert(name.clone(), booking.clone()).is_none());
        }
        if let Some(status) = decision.status
            && writes < most
        {
            self.scheduler.status = Some(status);
            writes += 1;
            self.notes.extend(decision.events.into_iter().map(|note| (note.type_, note.message)));
        }
        for name in decision.remove {
            if writes < most {
                self.bookings.remove(&name).unwrap();
                writes += 1;
            }
        }
        writes
    }

    /// Runs passes until there is nothing to do.
    fn settle(&mut self) {
        while self.pass(usize::MAX) > 0 {}
    }

    /// Advances the time to an instant, with a pass whenever one is due.
    fn run(&mut self, until: &str) {
        let until = at(until);
        self.settle();
        while let Some(wake) = self.decide().wake_at.filter(|wake| *wake <= until) {
            assert!(wake > self.now, "it does not wake over and over at {wake}");
            self.now = wake;
            self.settle();
        }
        self.now = until;
    }

    fn edit(&mut self, change: impl FnOnce(&mut BookingSchedulerSpec)) {
        change(&mut self.scheduler.spec);
        *self.scheduler.metadata.generation.as_mut().unwrap() += 1;
    }

    fn starts(&self) -> Vec<String> {
        self.bookings.values().map(|booking| booking.spec.start_at.clone().unwrap()).collect()
    }

    fn status(&self) -> &BookingSchedulerStatus {
        self.scheduler.status.as_ref().unwrap()
    }

    fn ready(&self) -> (&str, &str) {
        let ready = &self.status().conditions[0];
        (&ready.reason, &ready.message)
    }
}

#[test]
fn each_occurrence_is_booked_a_minute_ahead_and_owned_by_its_scheduler() {
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.settle();
    assert_eq!(world.status().next.as_deref(), Some("2027-03-02T08:00:00Z"));
    assert_eq!(world.decide().wake_at, Some(at("2027-03-02T07:59:00Z")));
    world.run("2027-03-02T07:58:59Z");
    assert!(world.bookings.is_empty());
    // when a minute is left
    world.run("2027-03-02T07:59:00Z");
    // then there is a Booking as the template says, named after scheduler and second
    let booking = &world.bookings["daily-1803974400"];
    assert_eq!(booking.spec.start_at.as_deref(), Some("2027-03-02T08:00:00Z"));
    assert_eq!(booking.spec.end_at.as_deref(), Some("2027-03-02T09:00:00Z"));
    let template = world.scheduler.spec.booking_template.as_ref().unwrap();
    assert_eq!(booking.spec.resource_name, template.resource_name);
    assert_eq!(booking.spec.user_id, template.user_id);
    assert_eq!(booking.spec.notifications, template.notifications);
    assert_eq!(booking.metadata.namespace.as_deref(), Some("team"));
    let owner = &booking.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.uid.as_str(), owner.controller),
        ("BookingScheduler", "uid-1", Some(true))
    );
    // and the status says what comes next
    assert_eq!(world.status().last.as_deref(), Some("2027-03-02T08:00:00Z"));
    assert_eq!(world.status().next.as_deref(), Some("2027-03-03T08:00:00Z"));
    assert_eq!(world.ready(), ("Scheduled", "books 60 minutes each time"));
    // and nothing is written again
    assert_eq!(world.pass(usize::MAX), 0);
}

/// All instants of a span at which the clocks of a zone show one of these times.
fn clock_shows(zone: &str, span: (&str, &str), times: &[(i8, i8)]) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let minutes = at(span.0).duration_until(at(span.1)).as_mins();
    let instants = (1..=minutes).map(|minute| at(span.0) + SignedDuration::from_mins(minute));
    let shows = |instant: &Timestamp| {
        let shown = zone.to_datetime(*instant);
        times.contains(&(shown.hour(), shown.minute()))
    };
    instants.filter(shows).map(|instant| instant.to_string()).collect()
}

#[test]
fn each_occurrence_has_one_booking_though_its_scheduler_is_killed_after_each_write() {
    // Clocks go forward in March and back in autumn, over 02:30 in Berlin, over 01:30 back in New York.
    let spans = [
        ("Europe/Berlin", ("2027-03-10T00:00:00Z", "2027-04-14T00:00:00Z")),
        ("Europe/Berlin", ("2027-10-14T00:00:00Z", "2027-11-18T00:00:00Z")),
        ("America/New_York", ("2027-02-26T00:00:00Z", "2027-04-02T00:00:00Z")),
        ("America/New_York", ("2027-10-23T00:00:00Z", "2027-11-27T00:00:00Z")),
    ];
    let mut occurrences = 0;
    for (zone, span) in spans {
        for (schedule, times) in [("30 1,2 * * *", &[(1, 30), (2, 30)][..]), ("0 8 * * *", &[(8, 0)])] {
            let mut world = World::new(
                span.0,
                BookingSchedulerSpec {
                    schedule: Some(schedule.into()),
                    time_zone: Some(zone.into()),
                    finished_bookings_limit: Some(1000),
                    ..spec()
                },
            );
            let until = at(span.1);
            loop {
                // when the process is killed after each write, then another process takes over
                let mut killed = 0;
                while world.pass(1) > 0 {
                    killed += 1;
                    assert!(killed < 10);
                }
                match world.decide().wake_at.filter(|wake| *wake < until) {
                    Some(wake) => world.now = wake,
                    None => break,
                }
            }
            // then each occurrence has one Booking, of its own length
            let expected = clock_shows(zone, span, times);
            assert_eq!(world.starts(), expected, "{zone} {schedule}");
            for booking in world.bookings.values() {
                let [start, end] =
                    [&booking.spec.start_at, &booking.spec.end_at].map(|t| at(t.as_deref().unwrap()));
                assert_eq!(end.duration_since(start), SignedDuration::from_hours(1));
            }
            occurrences += expected.len();
        }
    }
    assert!(occurrences > 400, "{occurrences}");
}

#[test]
fn what_was_booked_and_then_deleted_stays_deleted() {
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.run("2027-03-02T08:10:00Z");
    assert_eq!(world.bookings.len(), 1);
    world.bookings.clear();
    world.run("2027-03-02T08:30:00Z");
    assert!(world.bookings.is_empty());
}

#[test]
fn what_was_missed_is_booked_with_its_own_window_while_that_lasts() {
    // given an operator that is down from before eight until half past
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.settle();
    world.now = at("2027-03-02T08:30:00Z");
    world.settle();
    let booking = &world.bookings["daily-1803974400"];
    assert_eq!(booking.spec.start_at.as_deref(), Some("2027-03-02T08:00:00Z"));
    assert_eq!(booking.spec.end_at.as_deref(), Some("2027-03-02T09:00:00Z"));
    // when it is down until the window of another one is over
    world.now = at("2027-03-03T09:00:00Z");
    world.settle();
    // then that one is not booked, and users are told once
    assert_eq!(world.bookings.len(), 1);
    let missed = "occurrences from 2027-03-03T08:00:00Z on were not booked: it was too late for them";
    assert_eq!(world.notes, [(EventType::Warning, missed.to_owned())]);
    assert_eq!(world.status().next.as_deref(), Some("2027-03-04T08:00:00Z"));
    world.settle();
    assert_eq!(world.notes.len(), 1);
}

#[test]
fn a_starting_deadline_leaves_out_what_is_later() {
    for (late, booked) in [("2027-03-02T08:10:00Z", 1), ("2027-03-02T08:10:00.000000001Z", 0)] {
        let spec = BookingSchedulerSpec { starting_deadline_minutes: Some(10), ..spec() };
        let mut world = World::new("2027-03-01T09:00:00Z", spec);
        world.settle();
        world.now = at(late);
        world.settle();
        assert_eq!(world.bookings.len(), booked, "{late}");
    }
}

#[test]
fn after_a_long_time_only_the_newest_are_made_up_for() {
    let spec = BookingSchedulerSpec { schedule: Some("* * * * *".into()), duration: Some(1000), ..spec() };
    let mut world = World::new("2027-03-01T00:00:00Z", spec);
    world.settle();
    world.now = at("2027-03-05T00:00:00Z");
    world.settle();
    assert_eq!(world.bookings.len(), CATCH_UP_MAX + 1, "the first one had been booked before");
    assert_eq!(world.status().last.as_deref(), Some("2027-03-05T00:01:00Z"));
    assert!(world.notes.iter().any(|(_, note)| note.starts_with("occurrences from 2027-03-01T00:02:00Z")));
}

#[test]
fn very_many_are_looked_at_in_several_passes() {
    let spec = BookingSchedulerSpec { schedule: Some("* * * * *".into()), duration: Some(527_040), ..spec() };
    let mut world = World::new("2027-03-01T00:00:00Z", spec);
    world.settle();
    world.now = at("2027-03-20T00:00:00Z");
    let mut passes = 0;
    while world.decide().wake_at == Some(world.now) {
        world.pass(usize::MAX);
        passes += 1;
    }
    world.settle();
    assert_eq!(passes, 2);
    assert_eq!(world.status().caught_up_to.as_deref(), Some("2027-03-20T00:01:00Z"));
}

#[test]
fn while_suspended_nothing_is_booked_and_nothing_is_made_up_for() {
    for schedule in ["0 8 * * *", "@every 24h"] {
        let mut world = World::new(
            "2027-03-01T08:00:00Z",
            BookingSchedulerSpec { schedule: Some(schedule.into()), ..spec() },
        );
        world.settle();
        world.edit(|spec| spec.suspend = Some(true));
        world.run("2027-03-03T08:30:00Z");
        assert_eq!(world.ready().0, "Suspended");
        assert_eq!((&world.status().next, world.decide().wake_at), (&None, None));
        // when it goes on in the middle of a window, then it begins with the next
        world.edit(|spec| spec.suspend = None);
        world.run("2027-03-04T08:00:00Z");
        assert_eq!(world.starts(), ["2027-03-04T08:00:00Z"], "{schedule}");
        assert!(world.notes.is_empty(), "{:?}", world.notes);
    }
}

#[test]
fn nothing_is_booked_on_excluded_dates_of_the_schedules_zone() {
    let spec = BookingSchedulerSpec {
        schedule: Some("30 0 * * *".into()),
        time_zone: Some("Asia/Tokyo".into()),
        // In Tokyo 00:30 is still the day before in London.
        exclusions: Some(vec!["2027-03-03".into(), "2027-03-04".into()]),
        ..spec()
    };
    let mut world = World::new("2027-03-01T00:00:00Z", spec);
    world.run("2027-03-01T20:00:00Z");
    assert_eq!(world.status().next.as_deref(), Some("2027-03-04T15:30:00Z"));
    world.run("2027-03-05T00:00:00Z");
    assert_eq!(world.starts(), ["2027-03-01T15:30:00Z", "2027-03-04T15:30:00Z"]);
    assert!(world.notes.is_empty());
}

#[test]
fn an_every_is_anchored_at_what_the_original_operator_was_going_to_book() {
    let every = BookingSchedulerSpec { schedule: Some("@every 90m".into()), ..spec() };
    let mut world = World::new("2027-03-01T00:00:10Z", every.clone());
    world.run("2027-03-01T04:00:00Z");
    assert_eq!(world.starts(), ["2027-03-01T01:30:10Z", "2027-03-01T03:00:10Z"]);
    // given a scheduler that the predecessor has worked on
    let mut world = World::new("2026-03-01T00:00:10Z", every);
    world.scheduler.status =
        Some(BookingSchedulerStatus { next: Some("2027-03-01T00:20:00Z".into()), ..Default::default() });
    world.now = at("2027-03-01T00:00:00Z");
    world.run("2027-03-01T02:00:00Z");
    assert_eq!(world.starts(), ["2027-03-01T00:20:00Z", "2027-03-01T01:50:00Z"]);
}

#[test]
fn what_the_original_was_going_to_book_while_it_was_replaced_is_booked() {
    let mut world = World::new("2026-03-01T00:00:00Z", spec());
    world.scheduler.status =
        Some(BookingSchedulerStatus { next: Some("2027-03-02T08:00:00Z".into()), ..Default::default() });
    world.now = at("2027-03-02T08:05:00Z");
    world.settle();
    assert_eq!(world.starts(), ["2027-03-02T08:00:00Z"]);
}
