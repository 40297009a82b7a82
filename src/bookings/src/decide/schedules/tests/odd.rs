//! Schedules and specs that nobody can have meant: what their status says, and what stays.

use super::*;

#[test]
fn a_schedule_that_never_fires_says_so_and_books_nothing() {
    let all_week = (1..=7).map(|day| format!("2027-03-0{day}")).collect();
    for (schedule, exclusions) in [("0 0 30 2 *", None), ("0 0 7 3 * ", Some(all_week))] {
        let spec = BookingSchedulerSpec { schedule: Some(schedule.into()), exclusions, ..spec() };
        let mut world = World::new("2027-03-01T00:00:00Z", spec);
        world.settle();
        if world.ready().0 == "Scheduled" {
            assert_eq!(world.status().next.as_deref(), Some("2028-03-07T00:00:00Z"));
            continue;
        }
        assert_eq!(world.ready().0, "NeverFires");
        assert_eq!((world.bookings.len(), world.decide().wake_at), (0, None));
        assert_eq!(world.notes.len(), 1);
    }
}

#[test]
fn a_schedule_that_fires_each_minute_or_overlaps_itself_says_so() {
    for (schedule, duration, reason, says) in [
        ("* * * * *", 1, "FiresEachMinute", "it fires each minute"),
        ("* 8 * * 1", 1, "FiresEachMinute", "it fires each minute"),
        ("@every 10s", 1, "FiresEachMinute", "it fires each minute"),
        ("0 * * * *", 61, "Scheduled", "overlap"),
        ("0 * * * *", 60, "Scheduled", ""),
    ] {
        let spec =
            BookingSchedulerSpec { schedule: Some(schedule.into()), duration: Some(duration), ..spec() };
        let mut world = World::new("2027-03-01T00:00:00Z", spec);
        world.settle();
        let (found, message) = world.ready();
        assert_eq!(found, reason, "{schedule}");
        assert!(message.contains(says), "{message}");
        assert_eq!(message.contains("overlap"), says == "overlap", "{message}");
    }
}

#[test]
fn a_booking_tells_times_in_the_zone_of_its_schedule_wherever_that_is_named() {
    for (schedule, zone, expected) in [
        ("0 8 * * *", None, None),
        ("0 8 * * *", Some(""), None),
        ("0 8 * * *", Some("UTC"), None),
        ("0 8 * * *", Some("Local"), None),
        ("0 8 * * *", Some("Europe/Berlin"), Some("Europe/Berlin")),
        ("CRON_TZ=Europe/Berlin 0 8 * * *", None, Some("Europe/Berlin")),
    ] {
        let spec = BookingSchedulerSpec {
            schedule: Some(schedule.into()),
            time_zone: zone.map(Into::into),
            ..spec()
        };
        let mut world = World::new("2027-03-01T00:00:00Z", spec);
        world.run("2027-03-02T00:00:00Z");
        let zones: Vec<_> =
            world.bookings.values().map(|booking| booking.spec.time_zone.as_deref()).collect();
        assert!(
            !zones.is_empty() && zones.iter().all(|zone| *zone == expected),
            "{schedule} {zone:?}: {zones:?}"
        );
    }
}

#[test]
fn times_in_the_template_are_ignored_and_said_to_be() {
    let mut world = World::new("2027-03-01T00:00:00Z", spec());
    world.edit(|spec| spec.booking_template.as_mut().unwrap().start_at = Some("whenever".into()));
    world.run("2027-03-01T08:00:00Z");
    assert_eq!(world.starts(), ["2027-03-01T08:00:00Z"]);
    assert!(world.ready().1.contains("start_at and end_at of bookingTemplate are ignored"));
}

#[test]
fn a_spec_that_makes_no_sense_is_refused_with_its_field_and_mended_by_an_edit() {
    type Edit = fn(&mut BookingSchedulerSpec);
    let edits: [(Edit, &str); 12] = [
        (|spec| spec.schedule = None, "spec.schedule: the schedule is empty"),
        (|spec| spec.schedule = Some("0 8 * *".into()), "spec.schedule: 4 fields instead of five"),
        (|spec| spec.time_zone = Some("Mars/Olympus".into()), "spec.time_zone: time zone \"Mars/Olympus\""),
        (|spec| spec.duration = None, "spec.duration: is missing"),
        (|spec| spec.duration = Some(0), "spec.duration: 0 is not allowed; it is minutes, 1 to 527040"),
        (|spec| spec.duration = Some(-5), "spec.duration: -5 is not allowed"),
        (|spec| spec.starting_deadline_minutes = Some(527_041), "spec.starting_deadline_minutes: 527041"),
        (
            |spec| spec.exclusions = Some(vec!["2027-02-30".into()]),
            "spec.exclusions: \"2027-02-30\" is no date",
        ),
        (|spec| spec.exclusions = Some(vec!["2027-02-03T04:05".into()]), "spec.exclusions: "),
        (|spec| spec.finished_bookings_limit = Some(1001), "spec.finished_bookings_limit: 1001"),
        (|spec| spec.booking_template = None, "spec.bookingTemplate: is missing"),
        (
            |spec| spec.booking_template.as_mut().unwrap().user_id = None,
            "spec.bookingTemplate.user_id: is missing",
        ),
    ];
    for (edit, says) in edits {
        let mut world = World::new("2027-03-01T09:00:00Z", spec());
        world.settle();
        world.edit(edit);
        world.run("2027-03-02T08:00:00Z");
        let (reason, message) = world.ready();
        assert!(reason == "Invalid" && message.starts_with(says), "{message}");
        assert_eq!((world.bookings.len(), &world.status().next), (0, &None));
        // when it is repaired in the middle of a window, then that window is booked
        world.edit(|spec| *spec = self::spec());
        world.run("2027-03-02T08:30:00Z");
        assert_eq!((world.bookings.len(), world.ready().0), (1, "Scheduled"));
    }
}

#[test]
fn finished_bookings_beyond_the_limit_go_the_oldest_first() {
    let spec = BookingSchedulerSpec { finished_bookings_limit: Some(2), ..spec() };
    let mut world = World::new("2027-03-01T09:00:00Z", spec);
    world.run("2027-03-06T10:00:00Z");
    assert_eq!(world.bookings.len(), 5);
    let finished = BookingStatus { status: Some(booking_state::FINISHED.into()), ..Default::default() };
    for booking in world.bookings.values_mut().take(4) {
        booking.status = Some(finished.clone());
    }
    world.settle();
    let left: Vec<String> = world.starts().iter().map(|start| start[8..10].to_owned()).collect();
    assert_eq!(left, ["04", "05", "06"], "two that are finished, and one that is not");
}

#[test]
fn a_suspension_that_ends_with_a_mended_spec_is_not_made_up_for_either() {
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.settle();
    world.edit(|spec| spec.suspend = Some(true));
    world.settle();
    world.edit(|spec| spec.schedule = Some("whenever".into()));
    world.run("2027-03-02T08:30:00Z");
    assert_eq!(world.ready().0, "Invalid");
    world.edit(|spec| *spec = self::spec());
    world.run("2027-03-02T08:40:00Z");
    assert!(world.bookings.is_empty());
    world.run("2027-03-03T08:00:00Z");
    assert_eq!(world.starts(), ["2027-03-03T08:00:00Z"]);
}

#[test]
fn a_crash_right_after_a_suspension_loses_no_occurrence() {
    // given a scheduler that is resumed half a minute before an occurrence
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.edit(|spec| spec.suspend = Some(true));
    world.run("2027-03-02T07:59:30Z");
    world.edit(|spec| spec.suspend = None);
    // when each pass is cut off after one write, and the last pass is late
    world.pass(1);
    world.now = at("2027-03-02T08:00:05Z");
    world.settle();
    assert_eq!(world.starts(), ["2027-03-02T08:00:00Z"]);
}

#[test]
fn what_the_original_booked_is_not_booked_again_after_its_spec_was_invalid_or_suspended() {
    type Edit = fn(&mut BookingSchedulerSpec);
    let edits: [Edit; 2] = [|spec| spec.duration = Some(0), |spec| spec.suspend = Some(true)];
    for edit in edits {
        let long = BookingSchedulerSpec { duration: Some(600), ..spec() };
        let mut world = World::new("2026-03-01T00:00:00Z", long.clone());
        world.scheduler.status =
            Some(BookingSchedulerStatus { next: Some("2027-03-03T08:00:00Z".into()), ..Default::default() });
        world.edit(edit);
        world.now = at("2027-03-02T10:00:00Z");
        world.settle();
        world.edit(|spec| *spec = long.clone());
        world.run("2027-03-02T12:00:00Z");
        assert!(world.bookings.is_empty(), "{:?}", world.starts());
        world.run("2027-03-03T08:00:00Z");
        assert_eq!(world.starts(), ["2027-03-03T08:00:00Z"]);
    }
}

#[test]
fn a_next_that_nobody_can_have_meant_neither_panics_nor_silences() {
    for odd in ["9997-03-01T00:00:00Z", "2999-03-01T00:00:00Z"] {
        let mut world = World::new("2027-03-01T09:00:00Z", spec());
        world.scheduler.status =
            Some(BookingSchedulerStatus { next: Some(odd.into()), ..Default::default() });
        world.run("2027-03-02T08:00:00Z");
        assert_eq!(world.starts(), ["2027-03-02T08:00:00Z"], "{odd}");
    }
}

#[test]
fn a_finished_booking_that_was_extended_is_not_removed() {
    let spec = BookingSchedulerSpec { finished_bookings_limit: Some(0), ..spec() };
    let mut world = World::new("2027-03-01T09:00:00Z", spec);
    world.run("2027-03-02T09:30:00Z");
    let finished = BookingStatus {
        status: Some(booking_state::FINISHED.into()),
        observed_generation: Some(1),
        ..Default::default()
    };
    let booking = world.bookings.values_mut().next().unwrap();
    booking.status = Some(finished);
    booking.metadata.generation = Some(2);
    booking.spec.end_at = Some("2027-03-02T10:00:00Z".into());
    world.settle();
    assert_eq!(world.bookings.len(), 1);
    let booking = world.bookings.values_mut().next().unwrap();
    booking.status.as_mut().unwrap().observed_generation = Some(2);
    world.settle();
    assert_eq!(world.bookings.len(), 1, "its end has not come");
    world.now = at("2027-03-02T10:00:00Z");
    world.settle();
    assert!(world.bookings.is_empty());
}

#[test]
fn what_is_refused_is_said_and_tried_again_while_it_lasts() {
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.run("2027-03-02T07:58:00Z");
    world.now = at("2027-03-02T07:59:00Z");
    let decision = world.decide();
    let start = decision.create[0].spec.start_at.clone().unwrap();
    let status = decision.refused(world.scheduler.status.as_ref(), &start, "over quota").unwrap();
    assert_eq!(status.caught_up_to.as_deref(), Some("2027-03-02T07:59:59.999999999Z"));
    let ready = &status.conditions[0];
    assert_eq!((ready.reason.as_str(), ready.status.as_str()), ("BookingRefused", "False"));
    world.scheduler.status = Some(status);
    // when it is refused again, then the status does not change
    world.now = at("2027-03-02T08:10:00Z");
    let decision = world.decide();
    assert_eq!(decision.create.len(), 1);
    assert_eq!(decision.refused(world.scheduler.status.as_ref(), &start, "over quota"), None);
    // when it is accepted, then all is well
    world.settle();
    assert_eq!((world.starts().len(), world.ready().0), (1, "Scheduled"));
}

#[test]
fn one_that_is_being_deleted_does_nothing() {
    let mut world = World::new("2027-03-01T09:00:00Z", spec());
    world.scheduler.metadata.deletion_timestamp = Some(Time(world.now));
    assert_eq!(world.decide(), SchedulerDecision::default());
}

#[test]
fn an_odd_caught_up_to_neither_books_the_past_nor_stops_the_future() {
    for odd in ["soon", "2999-01-01T00:00:00Z"] {
        let mut world = World::new("2020-03-01T09:00:00Z", spec());
        world.now = at("2027-03-02T08:30:00Z");
        world.scheduler.status =
            Some(BookingSchedulerStatus { caught_up_to: Some(odd.into()), ..Default::default() });
        world.run("2027-03-03T08:00:00Z");
        assert_eq!(world.starts(), ["2027-03-03T08:00:00Z"], "{odd}");
    }
}

#[test]
fn names_are_valid_and_different_however_long_the_scheduler_is_called() {
    let start = at("2027-03-02T08:00:00Z");
    assert_eq!(booking_name("daily", start), "daily-1803974400");
    let [one, two] = ["a", "b"].map(|end| booking_name(&format!("{}{end}", "x".repeat(252)), start));
    assert_eq!((one.len(), two.len()), (253, 253));
    assert_ne!(one, two);
    let dotted = booking_name(&"a.".repeat(126), start);
    assert!(dotted.split('.').all(|label| !label.is_empty() && !label.starts_with('-')), "{dotted}");
    let names: BTreeSet<String> =
        (0..100).map(|minute| booking_name("x", start + SignedDuration::from_mins(minute))).collect();
    assert_eq!(names.len(), 100);
}
