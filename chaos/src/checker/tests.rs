use super::*;

const A: &str = "a";
const B: &str = "b";

fn checker() -> Checker {
    Checker::new(Rules::default())
}

fn call(id: u64, who: &str, at: Micros) -> CallFact {
    CallFact { id, who: who.into(), slot: 1, verb: Verb::Start, at }
}

fn found(checker: &Checker) -> Vec<Invariant> {
    checker.violations().iter().map(|violation| violation.invariant).collect()
}

#[test]
fn acting_after_the_permit_of_the_last_renewal_that_took_effect_is_found() {
    let mut checker = checker();
    checker.renewed(&A.into(), 10 * SECOND);
    checker.renewed(&A.into(), 7 * SECOND);
    checker.could_act(&A.into(), 18 * SECOND);
    assert!(found(&checker).is_empty());
    checker.could_act(&A.into(), 18 * SECOND + SECOND / 10);
    checker.could_act(&B.into(), 10 * SECOND);
    assert_eq!(found(&checker), [Invariant::ActsWithoutPermit; 2]);
}

#[test]
fn an_end_with_calls_under_way_and_a_second_creation_are_found() {
    let mut checker = checker();
    checker.lease_created(&A.into(), SECOND);
    checker.call_begins(call(1, A, 10 * SECOND));
    checker.incarnation_ended(&B.into(), 11 * SECOND);
    assert!(found(&checker).is_empty());
    checker.incarnation_ended(&A.into(), 11 * SECOND);
    checker.lease_created(&A.into(), 12 * SECOND);
    assert_eq!(found(&checker), [Invariant::EndsWithCalls, Invariant::LeaseCreatedTwice]);
}

#[test]
fn a_call_while_anothers_may_still_run_is_found() {
    // given a call of one, and one that was replied to
    let mut checker = checker();
    checker.call_begins(call(1, A, 10 * SECOND));
    checker.call_over(1, 1, 11 * SECOND);
    checker.call_begins(call(2, A, 12 * SECOND));
    // when another calls before the second must be over
    checker.call_begins(call(3, B, 15 * SECOND));
    assert_eq!(found(&checker), [Invariant::CallsOverlap]);
    // but not after
    checker.call_begins(call(4, A, 19 * SECOND + SECOND / 2));
    assert_eq!(checker.violations().len(), 1);
}

mod bookings {
    use ::bookings::api::{BookingSpec, BookingStatus};

    use super::*;

    fn text(minute: u64) -> String {
        format!("2027-03-01T10:{minute:02}:00Z")
    }

    fn at(minute: u64) -> Timestamp {
        text(minute).parse().unwrap()
    }

    fn booking(user: &str, state: &str, granted: Option<(u64, u64)>) -> Booking {
        let spec = BookingSpec {
            resource_name: Some("web".into()),
            start_at: Some(text(10)),
            end_at: Some(text(40)),
            user_id: Some(user.into()),
            ..BookingSpec::default()
        };
        let mut booking = Booking::new(user, spec);
        booking.status = Some(BookingStatus {
            status: Some(state.into()),
            observed_generation: Some(1),
            granted_resource: granted.map(|_| "web".into()),
            granted_from: granted.map(|(from, _)| text(from)),
            granted_until: granted.map(|(_, until)| text(until)),
            ..BookingStatus::default()
        });
        booking
    }

    fn written(before: &Booking, after: &Booking, others: &[Booking]) -> Vec<Invariant> {
        let mut checker = checker();
        checker.booking_written(before, after, others.iter(), at(5), 0);
        found(&checker)
    }

    #[test]
    fn a_state_that_goes_back_is_found_unless_the_spec_was_changed() {
        let before = booking("ann", "IN PROGRESS", None);
        let mut after = booking("ann", "SCHEDULED", None);
        assert_eq!(written(&before, &after, &[]), [Invariant::StateWentBack]);
        after.status.as_mut().unwrap().observed_generation = Some(2);
        assert_eq!(written(&before, &after, &[]), []);
    }

    #[test]
    fn a_granted_window_that_is_cut_is_found_unless_less_is_asked_for() {
        let before = booking("ann", "SCHEDULED", Some((10, 40)));
        let mut after = booking("ann", "SCHEDULED", Some((10, 30)));
        assert_eq!(written(&before, &after, &[]), [Invariant::GrantTakenAway]);
        after.spec.end_at = Some(text(30));
        assert_eq!(written(&before, &after, &[]), []);
    }

    #[test]
    fn time_granted_twice_is_found() {
        let before = booking("ann", "SCHEDULED", None);
        let after = booking("ann", "SCHEDULED", Some((10, 40)));
        let other = booking("eve", "SCHEDULED", Some((30, 35)));
        assert_eq!(written(&before, &after, std::slice::from_ref(&other)), [Invariant::GrantsOverlap]);
        let own =
            Booking { spec: BookingSpec { user_id: Some("ann".into()), ..other.spec.clone() }, ..other };
        assert_eq!(written(&before, &after, &[own]), []);
    }

    #[test]
    fn a_stop_within_a_granted_window_is_found() {
        for (minute, expected) in [(9, vec![]), (20, vec![Invariant::StoppedWhileBooked]), (41, vec![])] {
            let mut checker = checker();
            let held = booking("ann", "IN PROGRESS", Some((10, 40)));
            checker.stop_begins(A, [held].iter(), at(minute), 0);
            assert_eq!(found(&checker), expected, "{minute}");
        }
    }
}
