//! Rules 1 and 8: what acts on nothing, and how it says why.

use bookings::{
    api::{BookingSpec, Notification, ResourceSpec},
    decide::groups::{
        claim::Claim,
        group::standing,
        machine::MachineState,
        output::{Call, Decision, Finalizer},
    },
};

use crate::{
    build::{at, booking, machine, text},
    stage::Stage,
};

type Spoil<S> = fn(&mut S);

#[test]
fn an_invalid_booking_acts_on_nothing_and_says_why() {
    let bad: [(&str, Spoil<BookingSpec>); 12] = [
        ("spec.user_id: is missing or empty", |spec| spec.user_id = None),
        ("spec.user_id: is missing or empty", |spec| spec.user_id = Some(String::new())),
        ("spec.user_id: is longer than 256 characters", |spec| spec.user_id = Some("ü".repeat(257))),
        ("spec.user_id: \"a\\r\\nb\" holds control characters", |spec| spec.user_id = Some("a\r\nb".into())),
        ("holds control characters or marks that reorder", |spec| spec.user_id = Some("a\u{202E}b".into())),
        ("spec.start_at: is missing", |spec| spec.start_at = None),
        ("spec.start_at: \"now\" is no RFC 3339 instant", |spec| spec.start_at = Some("now".into())),
        ("spec.end_at: \"2027-02-30T00:00:00Z\" is no", |spec| {
            spec.end_at = Some("2027-02-30T00:00:00Z".into());
        }),
        ("spec.end_at: 2027-03-01T08:00:00Z is not after", |spec| spec.end_at = spec.start_at.clone()),
        ("spec.end_at: 2027-03-01T07:00:00Z is not after start_at", |spec| spec.end_at = Some(text("07:00"))),
        ("spec.notifications.type: \"fax\" is unknown; known: email", |spec| {
            spec.notifications = Some(vec![Notification {
                type_: Some("fax".into()),
                recipient: None,
                ..Notification::default()
            }]);
        }),
        ("spec.notifications.recipient: is missing", |spec| {
            spec.notifications = Some(vec![Notification {
                type_: Some("email".into()),
                recipient: None,
                ..Notification::default()
            }]);
        }),
    ];
    for (problem, spoil) in bad {
        // given
        let mut stage = Stage::new(&["i-1"]);
        let mut invalid = booking("a", "ann", "08:00", "10:00");
        spoil(&mut invalid.spec);
        stage.book(invalid);
        // and another booking that is not affected
        stage.book(booking("b", "bob", "08:00", "09:00"));
        // when
        stage.until("08:10");
        // then
        for type_ in ["Accepted", "Ready"] {
            assert_eq!(stage.says("a", type_), "False Invalid", "{problem}");
        }
        assert_eq!(stage.says("a", "Stalled"), "True Invalid");
        assert!(stage.message("a", "Stalled").contains(problem), "{}", stage.message("a", "Stalled"));
        assert_eq!((stage.status("a").status, stage.granted("a")), (None, None));
        assert_eq!((stage.holder().as_deref(), stage.says("b", "Ready")), (Some("bob"), "True Held".into()));
        assert!(stage.event_reasons().contains(&"Invalid"));
    }
}

#[test]
fn texts_at_their_limits_are_accepted() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", &"ü".repeat(256), "08:00", "10:00"));
    let recipient = Some("a".repeat(320));
    stage.bookings[0].spec.notifications =
        Some(vec![Notification { type_: Some("email".into()), recipient, ..Notification::default() }]);
    stage.until("08:10");
    assert_eq!(stage.says("a", "Ready"), "True Held");
}

#[test]
fn a_booking_that_becomes_invalid_lets_its_group_go_and_comes_back_when_mended() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:10");
    stage.edit("a", |spec| spec.end_at = Some("later".into()));
    stage.until("08:20");
    assert_eq!((stage.holder(), stage.stops(), stage.granted("a")), (None, 1, None));
    stage.edit("a", |spec| spec.end_at = Some(text("10:00")));
    stage.until("08:30");
    assert_eq!((stage.says("a", "Ready"), stage.says("a", "Stalled")), ("True Held".into(), String::new()));
}

#[test]
fn a_booking_that_was_finished_as_invalid_comes_alive_when_mended() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "08:05"));
    stage.until("08:10");
    stage.edit("a", |spec| spec.end_at = Some("later".into()));
    stage.until("08:20");
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("FINISHED".into(), "False Invalid".into()));
    stage.edit("a", |spec| spec.end_at = Some(text("09:00")));
    stage.until("08:30");
    assert_eq!(stage.state("a"), "IN PROGRESS");
}

#[test]
fn a_resource_that_makes_no_sense_or_is_out_of_reach_acts_on_nothing_and_says_why() {
    let bad: [(&str, &str, Spoil<ResourceSpec>); 6] = [
        ("Invalid", "spec.type: \"\" is unknown; known: ec2, rds", |spec| spec.type_ = None),
        ("Invalid", "spec.type: \"gcp\" is unknown", |spec| spec.type_ = Some("gcp".into())),
        ("Invalid", "spec.tag: is missing or empty", |spec| spec.tag = None),
        ("Invalid", "spec.tag: is longer than 256", |spec| spec.tag = Some("x".repeat(257))),
        ("NotAllowed", "spec.role_arn: \"arn:aws:iam::123456789012:role/x\" is not allowed", |spec| {
            spec.role_arn = Some("arn:aws:iam::123456789012:role/x".into());
        }),
        ("NotAllowed", "spec.region: \"us-east-1\"", |spec| spec.region = Some("us-east-1".into())),
    ];
    for (reason, problem, spoil) in bad {
        let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
        stage.configure(spoil);
        stage.book(booking("a", "ann", "08:00", "10:00"));
        stage.until("08:10");
        assert_eq!((stage.calls.len(), stage.granted("a")), (0, None), "{problem}");
        assert_eq!(stage.resource_says("Ready"), format!("False {reason}"));
        assert_eq!(stage.resource_says("Stalled"), format!("True {reason}"));
        assert!(stage.resource_message("Ready").contains(problem), "{}", stage.resource_message("Ready"));
        assert_eq!(
            (stage.says("a", "Accepted"), stage.says("a", "Ready")),
            ("True Valid".into(), "False ResourceInvalid".into())
        );
        assert!(stage.message("a", "Ready").contains(problem));
        assert!(
            stage.event_reasons().contains(&reason) && stage.event_reasons().contains(&"ResourceInvalid")
        );
        assert!(stage.resource.as_ref().unwrap().metadata.finalizers.is_none());
        // and a Resource that is being deleted loses its finalizer at once
        stage.resource.as_mut().unwrap().metadata.finalizers = Some(vec![bookings::api::FINALIZER.into()]);
        stage.delete_resource();
        stage.until("08:11");
        assert!(stage.resource.is_none());
    }
}

#[test]
fn the_operators_own_region_may_be_spelt_out() {
    let mut stage = Stage::new(&["i-1"]);
    stage.configure(|spec| spec.region = Some("eu-central-1".into()));
    let resource = stage.resource.as_ref().unwrap();
    let key = standing(resource, Claim::Ours, &stage.settings.locations).unwrap().key;
    assert_eq!((key.region.as_str(), key.tag.as_str(), key.type_.as_str()), ("eu-central-1", "web", "ec2"));
    stage.until("08:10");
    assert_eq!(stage.resource_says("Ready"), "True Stopped");
}

#[test]
fn a_resource_whose_group_another_one_has_acts_on_nothing_and_names_nobody() {
    let mut stage = Stage::with([machine("i-1", MachineState::Running)]);
    stage.claim = Claim::Other;
    stage.book(booking("a", "ann", "08:00", "10:00"));
    let resource = stage.resource.as_ref().unwrap();
    assert!(standing(resource, Claim::Other, &stage.settings.locations).is_err());
    stage.until("09:00");
    assert_eq!((stage.calls.len(), stage.resource_says("Ready")), (0, "False GroupClaimed".into()));
    assert_eq!(stage.resource_message("Ready"), "another Resource acts on the same group of machines");
    assert_eq!(
        (stage.resource_says("Stalled"), stage.says("a", "Ready")),
        (String::new(), "False GroupClaimed".into())
    );
    // and when the other Resource is gone, it acts
    stage.claim = Claim::Ours;
    stage.until("09:10");
    assert_eq!(stage.says("a", "Ready"), "True Held");
}

#[test]
fn a_resource_that_loses_its_group_keeps_what_it_recorded() {
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:10");
    let before = stage.resource_status();
    stage.claim = Claim::Other;
    stage.until("08:20");
    let after = stage.resource_status();
    assert_eq!(
        (after.holder, after.released_locks, after.idle_since),
        (before.holder, before.released_locks, None)
    );
    assert_eq!(
        (stage.state("a"), stage.granted("a")),
        ("IN PROGRESS".into(), Some((crate::build::at("08:00"), crate::build::at("10:00"))))
    );
}

#[test]
fn a_booking_without_its_resource_says_so_and_comes_alive_with_it() {
    let mut stage = Stage::new(&["i-1"]);
    let resource = stage.resource.take();
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:10");
    assert_eq!(
        (stage.state("a"), stage.says("a", "Ready")),
        ("SCHEDULED".into(), "False ResourceNotFound".into())
    );
    assert!(stage.event_reasons().contains(&"ResourceNotFound"));
    stage.resource = resource;
    stage.until("08:20");
    assert_eq!(stage.says("a", "Ready"), "True Held");
    // and if the Resource is deleted, a booking stays in progress, is not ready, and finishes in time
    stage.resource = None;
    stage.until("08:30");
    assert_eq!(
        (stage.state("a"), stage.says("a", "Ready")),
        ("IN PROGRESS".into(), "False ResourceNotFound".into())
    );
    stage.until("10:00");
    assert_eq!((stage.state("a"), stage.says("a", "Ready")), ("FINISHED".into(), "False Finished".into()));
}

#[test]
fn a_resource_that_stands_by_keeps_its_finalizer_until_it_is_deleted() {
    // given a Resource with our finalizer, which does not act because another Resource has the claim
    let mut stage = Stage::new(&["i-1"]);
    stage.book(booking("a", "ann", "08:00", "10:00"));
    stage.until("08:10");
    stage.claim = Claim::Other;
    // when a pass decides, then the finalizer stays
    assert_eq!(stage.decide().finalizer, Finalizer::Keep);
    // when the Resource is deleted, then the finalizer is removed
    stage.delete_resource();
    assert_eq!(stage.decide().finalizer, Finalizer::Remove);
}

#[test]
fn a_decision_is_empty_if_it_only_waits() {
    let waits = Decision { wake_at: Some(at("09:00")), ..Decision::default() };
    assert!(waits.is_empty());
    let calls = Decision { calls: vec![Call::Stop(vec!["i-1".into()])], ..Decision::default() };
    assert!(!calls.is_empty());
}
