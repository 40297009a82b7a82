//! Rule 2: which window each Booking is granted.

use crate::{
    build::{at, booking, lock, text},
    stage::Stage,
};

#[allow(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
fn window(from: &str, until: &str) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
    Some((at(from), at(until)))
}

#[test]
fn a_window_that_overlaps_nobody_elses_is_granted_at_first_sight() {
    // given
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "12:00", "13:00"));
    // when
    stage.until("08:00");
    // then both are granted, one after the other
    assert_eq!(stage.granted("a"), window("10:00", "12:00"));
    assert_eq!(stage.granted("b"), window("12:00", "13:00"));
    assert_eq!(stage.status("a").granted_resource.as_deref(), Some("web"));
    assert_eq!(stage.says("b", "Accepted"), "True Valid");
    assert_eq!(stage.says("b", "Ready"), "False Scheduled");
    assert_eq!(stage.message("b", "Ready"), "starts at 2027-03-01T12:00:00Z");
}

#[test]
fn of_bookings_seen_together_the_one_created_first_is_granted() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("z", "ann", "10:00", "12:00"));
    stage.book(booking("a", "bob", "09:00", "11:00"));
    stage.bookings.reverse();
    stage.until("08:00");
    assert_eq!((stage.granted("z"), stage.granted("a")), (window("10:00", "12:00"), None));
}

#[test]
fn of_bookings_created_in_the_same_second_the_smaller_uid_is_granted() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("b", "ann", "10:00", "12:00"));
    stage.book(booking("a", "bob", "10:00", "12:00"));
    stage.bookings[1].metadata.creation_timestamp = stage.bookings[0].metadata.creation_timestamp.clone();
    stage.until("08:00");
    assert_eq!((stage.granted("a"), stage.granted("b")), (window("10:00", "12:00"), None));
}

#[test]
fn who_waits_learns_for_whom_until_when_and_its_place() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "11:00", "13:00"));
    stage.book(booking("c", "eve", "10:30", "13:00"));
    stage.until("08:00");
    assert_eq!(stage.says("b", "Ready"), "False Waiting");
    assert_eq!(stage.message("b", "Ready"), "waits for ann until 2027-03-01T12:00:00Z; place 1 in the queue");
    assert_eq!(stage.message("c", "Ready"), "waits for ann until 2027-03-01T12:00:00Z; place 2 in the queue");
    assert_eq!(stage.state("b"), "SCHEDULED");
    assert_eq!(stage.says("b", "Accepted"), "True Valid");
}

#[test]
fn a_granted_window_is_not_taken_by_an_older_booking_that_moves_into_it() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:30", "09:00"));
    stage.book(booking("b", "bob", "10:00", "11:00"));
    stage.until("08:10");
    // when the older one moves onto the younger one's window
    stage.edit("a", |spec| (spec.start_at, spec.end_at) = (Some(text("10:00")), Some(text("11:00"))));
    stage.until("08:20");
    // then it queues again
    assert_eq!((stage.granted("a"), stage.granted("b")), (None, window("10:00", "11:00")));
    assert_eq!(stage.says("a", "Ready"), "False Waiting");
}

#[test]
fn an_extension_is_cut_at_the_next_users_window_and_says_so() {
    // given
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "10:30", "11:00"));
    stage.until("09:30");
    // when
    stage.edit("a", |spec| spec.end_at = Some(text("12:00")));
    stage.until("09:40");
    // then
    assert_eq!(stage.granted("a"), window("09:00", "10:30"));
    assert_eq!(stage.says("a", "Accepted"), "True GrantedInPart");
    assert_eq!(
        stage.message("a", "Accepted"),
        "granted until 2027-03-01T10:30:00Z; then bob has the group until 2027-03-01T11:00:00Z"
    );
    assert_eq!(stage.event_reasons().iter().filter(|reason| **reason == "GrantedInPart").count(), 1);
    // and it has the group again after the other booking, up to its end
    stage.until("10:45");
    assert_eq!(stage.holder().as_deref(), Some("bob"));
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("IN PROGRESS".into(), "False Waiting".into()));
    stage.until("11:30");
    assert_eq!(stage.holder().as_deref(), Some("ann"));
    assert_eq!(stage.says("a", "Accepted"), "True Valid");
    stage.until("12:00");
    assert_eq!((stage.state("a"), stage.stops()), ("FINISHED".into(), 1));
}

#[test]
fn an_extension_to_the_front_reaches_back_to_the_neighbour() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "11:00", "12:00"));
    stage.until("08:10");
    stage.edit("b", |spec| spec.start_at = Some(text("09:30")));
    stage.until("08:20");
    assert_eq!(stage.granted("b"), window("10:00", "12:00"));
    assert_eq!(
        stage.message("b", "Accepted"),
        "granted from 2027-03-01T10:00:00Z; before, ann has the group until 2027-03-01T10:00:00Z"
    );
    // until nothing is before it any more
    stage.until("10:00");
    assert_eq!(stage.says("b", "Accepted"), "True Valid");
}

#[test]
fn a_shortened_booking_frees_what_it_gave_up() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "11:00", "12:00"));
    stage.until("08:10");
    assert_eq!(stage.granted("b"), None);
    // when
    stage.edit("a", |spec| spec.end_at = Some(text("11:00")));
    let decision = stage.pass().unwrap();
    // then the waiting booking has the room, and the status that gives up a window is written before the one that
    // gets it
    assert_eq!(
        (stage.granted("a"), stage.granted("b")),
        (window("10:00", "11:00"), window("11:00", "12:00"))
    );
    let order: Vec<_> = decision.booking_statuses.iter().map(|(uid, _)| uid.as_str()).collect();
    assert_eq!(order, ["a", "b"]);
}

#[test]
fn what_is_given_up_is_written_before_it_is_given_away_whatever_the_names() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("z", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "11:00", "12:00"));
    stage.bookings.reverse();
    stage.until("08:10");
    stage.edit("z", |spec| spec.end_at = Some(text("11:00")));
    let decision = stage.pass().unwrap();
    let order: Vec<_> = decision.booking_statuses.iter().map(|(uid, _)| uid.as_str()).collect();
    assert_eq!(order, ["z", "b"]);
}

#[test]
fn room_goes_to_the_waiters_in_order_of_creation() {
    // given two bookings that wait for a third
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "10:00", "12:00"));
    stage.book(booking("c", "eve", "10:00", "12:00"));
    stage.until("08:10");
    // when the third is deleted
    stage.delete("a");
    stage.until("08:20");
    // then
    assert_eq!((stage.granted("b"), stage.granted("c")), (window("10:00", "12:00"), None));
    assert_eq!(stage.message("c", "Ready"), "waits for bob until 2027-03-01T12:00:00Z; place 1 in the queue");
}

#[test]
fn a_waiter_gets_the_rest_of_its_window_when_the_other_ends() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "09:30", "11:00"));
    stage.until("09:59:59");
    assert_eq!((stage.state("b"), stage.granted("b")), ("SCHEDULED".into(), None));
    stage.until("10:00");
    // then it starts to the second, and without a stop in between
    assert_eq!((stage.state("b"), stage.granted("b").unwrap().1), ("IN PROGRESS".into(), at("11:00")));
    assert_eq!((stage.holder().as_deref(), stage.stops()), (Some("bob"), 0));
}

#[test]
fn a_waiter_that_is_due_gets_the_room_until_the_next_granted_window() {
    // given room from 09:30 to 10:30 only
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "09:30"));
    stage.book(booking("c", "eve", "10:30", "11:00"));
    stage.book(booking("b", "bob", "09:00", "12:00"));
    stage.until("09:29");
    assert_eq!(stage.granted("b"), None);
    // when
    stage.until("09:30");
    // then
    assert_eq!(stage.granted("b"), window("09:30", "10:30"));
    assert_eq!(stage.says("b", "Accepted"), "True GrantedInPart");
    // and the rest after the neighbour's window
    stage.until("11:00");
    assert_eq!((stage.holder().as_deref(), stage.granted("b").unwrap().1), (Some("bob"), at("12:00")));
}

#[test]
fn a_retargeted_booking_queues_anew() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "10:00", "12:00"));
    // given a grant that was given on another Resource
    stage.until("08:10");
    let mut status = stage.status("a");
    status.granted_resource = Some("other".into());
    stage.bookings[1].status = Some(status);
    stage.bookings[0].status = None;
    // when, then
    stage.until("08:20");
    assert_eq!((stage.granted("a"), stage.granted("b")), (window("10:00", "12:00"), None));
}

#[test]
fn one_users_windows_may_overlap_and_never_stop_in_between() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "ann", "09:30", "11:00"));
    stage.until("09:45");
    // then both are in progress, and the lock has the later end
    assert_eq!((stage.state("a"), stage.state("b")), ("IN PROGRESS".into(), "IN PROGRESS".into()));
    assert_eq!(
        (stage.says("a", "Ready"), stage.says("b", "Ready")),
        ("True Held".into(), "True Held".into())
    );
    assert_eq!(stage.resource_status().locked_until, Some(text("11:00")));
    stage.until("10:59:59");
    assert_eq!((stage.state("a"), stage.stops()), ("FINISHED".into(), 0));
    stage.until("11:00");
    assert_eq!(stage.stops(), 1);
}

#[test]
fn one_users_windows_may_join_and_never_stop_in_between() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "ann", "10:00", "11:00"));
    stage.until("10:00");
    assert_eq!((stage.state("a"), stage.state("b")), ("FINISHED".into(), "IN PROGRESS".into()));
    stage.until("10:59:59");
    assert_eq!(stage.stops(), 0);
    assert_eq!(stage.resource_status().locked_until, Some(text("11:00")));
    assert_eq!(stage.machine("i-1").lock, crate::build::tag(&lock("ann", "11:00")));
}

#[test]
fn windows_of_two_users_that_join_hand_the_group_over_running() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "10:00", "11:00"));
    stage.until("10:00:30");
    assert_eq!((stage.stops(), stage.says("b", "Ready")), (0, "True Held".into()));
    assert_eq!(stage.machine("i-1").lock, crate::build::tag(&lock("bob", "11:00")));
}

#[test]
fn an_extension_goes_before_a_younger_waiter_but_not_into_its_grant() {
    // given ann until 10, bob waiting for 09:30 to 11
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "09:00", "10:00"));
    stage.book(booking("b", "bob", "09:30", "11:00"));
    stage.until("08:10");
    stage.edit("a", |spec| spec.end_at = Some(text("10:30")));
    stage.until("08:20");
    assert_eq!(stage.granted("a"), window("09:00", "10:30"));
}

#[test]
fn windows_that_overlap_in_hand_edited_statuses_do_not_grow() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "10:00", "12:00"));
    stage.book(booking("b", "bob", "11:00", "13:00"));
    for (place, (from, until)) in [("10:00", "11:30"), ("11:00", "12:30")].into_iter().enumerate() {
        stage.bookings[place].status = Some(bookings::api::BookingStatus {
            granted_resource: Some("web".into()),
            granted_from: Some(text(from)),
            granted_until: Some(text(until)),
            ..Default::default()
        });
    }
    stage.until("08:10");
    assert_eq!(
        (stage.granted("a"), stage.granted("b")),
        (window("10:00", "11:30"), window("11:00", "12:30"))
    );
}
