//! No input makes the decision panic, and a decision that was carried out is not repeated.

use bookings::{
    api::{
        Booking, BookingSpec, BookingStatus, FINALIZER, Lock, Notification, OnDelete, Resource,
        ResourceHolder, ResourceSpec, ResourceStatus, WhenIdle,
    },
    decide::groups::{
        attempts::{Action, Attempts},
        booking::ReadBooking,
        claim::Claim,
        decide,
        group::standing,
        input::{GroupInput, Observation},
        machine::{Machine, MachineState, TAG_LOCKED_BY, TAG_LOCKED_UNTIL},
        notices::Deliveries,
        output::Decision,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::build::{later, settings};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec![
            "", "ann", "bob", "web", "ec2", "rds", "email", "\0", "\u{202E}x",
            "SCHEDULED", "IN PROGRESS", "FINISHED",
        ]).prop_map(str::to_owned),
        1 => ".{0,12}",
        1 => Just("x".repeat(5_000)),
    ]
}

fn times() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_i64..20).prop_map(|step| Timestamp::from_second(1_800_000_000 + step * 60).unwrap().to_string()),
        2 => select(vec![
            "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z",
            "9999-12-30T22:00:00.999999999Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59",
            "2027-01-15T08:01:60Z", "2027-02-30T00:00:00Z",
            "2027-01-15T08:00:00+01:00", "2027-01-15T09:02:00.5+01:00", "later", "",
        ]).prop_map(str::to_owned),
        1 => ".{0,30}",
    ]
}

fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (0_i64..1_200_000).prop_map(|ms| Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()),
        1 => select(vec![Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH]),
    ]
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let types = select(vec!["Ready", "Accepted", "Stalled", "IdleStopPending", "Unmanageable", "Odd"]);
    let one = (types, select(vec!["True", "False", "Unknown"]), texts(), instants()).prop_map(
        |(type_, status, text, time)| Condition {
            type_: type_.into(),
            status: status.into(),
            reason: text.clone(),
            message: text,
            last_transition_time: Time(time),
            observed_generation: None,
        },
    );
    vec(one, 0..4)
}

prop_compose! {
    fn bookings()(
        (resource_name, user_id) in
            (option::weighted(0.9, texts()), option::weighted(0.9, select(vec!["ann", "bob", ""]))),
        (start_at, end_at) in (option::weighted(0.95, times()), option::weighted(0.95, times())),
        kind in option::of(option::of(texts())),
        ttl in option::weighted(0.3, select(vec![0, 1, 30, 527_040, -1, i64::MAX])),
        status in option::of((
            option::of(texts()), option::of(times()), option::of(times()), conditions(), option::of(1_i64..3),
        )),
        (uid, created, deleted, generation) in (
            select(vec!["a", "b", "c"]), option::of(instants()),
            option::weighted(0.1, instants()), option::of(1_i64..3),
        ),
    ) -> Booking {
        let notifications = kind.map(|type_| vec![Notification {
            type_: type_.clone(), recipient: type_, on: None, notify_before_minutes: None,
        }]);
        let resource_name = resource_name.map(|name| if name.is_empty() { "web".into() } else { name });
        let spec = BookingSpec {
            resource_name: resource_name.clone(), start_at, end_at, user_id: user_id.map(Into::into), notifications,
            ttl_minutes_after_finished: ttl, time_zone: None,
        };
        let mut booking = Booking::new("booking", spec);
        booking.status = status.map(|(word, from, until, conditions, seen)| BookingStatus {
            status: word, granted_resource: resource_name, granted_from: from, granted_until: until, conditions,
            observed_generation: seen, ..Default::default()
        });
        // The API server stores no object without one.
        booking.metadata.uid = Some(uid.into());
        booking.metadata.creation_timestamp = created.map(Time);
        booking.metadata.deletion_timestamp = deleted.map(Time);
        booking.metadata.generation = generation;
        booking
    }
}

fn locks() -> impl Strategy<Value = Lock> {
    (select(vec!["ann", "bob", "eve", ""]), times())
        .prop_map(|(user, until)| Lock { user: user.into(), until })
}

prop_compose! {
    fn resources()(
        (type_, tag, region) in (
            option::weighted(0.95, select(vec!["ec2", "ec2", "ec2", "ec2", "rds", "?"])),
            option::weighted(0.95, texts()), option::weighted(0.1, texts()),
        ),
        (when_idle, on_delete) in (
            option::of(select(vec![WhenIdle::Stop, WhenIdle::Keep])),
            option::of(select(vec![OnDelete::Stop, OnDelete::Release])),
        ),
        (by, until) in (option::of(texts()), option::of(times())),
        status in option::of((
            option::of(locks()), vec(locks(), 0..20), option::of(times()), option::of(times()), conditions(),
        )),
        (finalizer, deleted) in (any::<bool>(), option::weighted(0.2, instants())),
    ) -> Resource {
        let spec = ResourceSpec {
            type_: type_.map(Into::into), tag, region, when_idle, on_delete,
            booked_by: by, booked_until: until, role_arn: None,
        };
        let mut resource = Resource::new("web", spec);
        resource.metadata.finalizers = finalizer.then(|| vec![FINALIZER.to_owned()]);
        resource.metadata.deletion_timestamp = deleted.map(Time);
        resource.status = status.map(|(holder, released_locks, first_seen_at, idle_since, conditions)| ResourceStatus {
            holder: holder.map(|lock| ResourceHolder { user: lock.user, until: lock.until, ..Default::default() }),
            released_locks, first_seen_at, idle_since, conditions, ..Default::default()
        });
        resource
    }
}

prop_compose! {
    fn instances()(
        number in 0_u8..6,
        state in select(vec![
            MachineState::Pending, MachineState::Running, MachineState::Stopping, MachineState::Stopped,
            MachineState::Terminated,
        ]),
        (by, until) in (option::of(select(vec!["ann", "bob", "eve", ""])), option::of(times())),
        owner in option::weighted(0.1, texts()),
    ) -> Machine {
        let tags = by.map(|by| (TAG_LOCKED_BY.to_owned(), by.to_owned())).into_iter()
            .chain(until.map(|until| (TAG_LOCKED_UNTIL.to_owned(), until))).collect();
        let lock = bookings::decide::groups::machine::LockTag::read(&tags);
        Machine {
            id: format!("i-{number}"), state, state_reason: None, lock, owner, unstoppable: None, restarts_at: None,
        }
    }
}

fn observations() -> impl Strategy<Value = Observation> {
    prop_oneof![
        6 => vec(instances(), 0..5).prop_map(Observation::Seen),
        1 => Just(Observation::NotNeeded),
        1 => (texts(), instants()).prop_map(|(message, retry_at)| Observation::Failed { message, retry_at }),
    ]
}

fn memories() -> impl Strategy<Value = Attempts> {
    let action = prop_oneof![
        Just(Action::Start),
        Just(Action::Stop),
        locks().prop_map(Action::Lock),
        locks().prop_map(Action::Unlock)
    ];
    vec((0_u8..6, action, instants(), any::<bool>()), 0..6).prop_map(|sent| {
        let mut attempts = Attempts::default();
        for (number, action, at, ok) in sent {
            let id = format!("i-{number}");
            let backoff = booking_decision::Backoff {
                base: std::time::Duration::from_secs(1),
                cap: std::time::Duration::MAX,
            };
            if ok {
                attempts.succeeded(&id, action, at);
            } else {
                attempts.failed(&id, action, at, "refused".into(), backoff);
            }
        }
        attempts
    })
}

/// Applies the status writes of a decision. Nothing else changes.
fn written(resource: &mut Option<Resource>, bookings: &mut [Booking], decision: &Decision) {
    if let (Some(resource), Some(status)) = (resource, &decision.resource_status) {
        resource.status = Some(status.clone());
    }
    for booking in bookings {
        let uid = booking.metadata.uid.clone().unwrap_or_default();
        if let Some((_, status)) = decision.booking_statuses.iter().find(|(of, _)| *of == uid) {
            booking.status = Some(status.clone());
        }
    }
}

/// Whether a machine shows a lock of the recorded holder whose end differs from the recorded one.
fn shows_another_end(resource: Option<&Resource>, observation: &Observation) -> bool {
    let holder = resource.and_then(|it| it.status.as_ref()?.holder.as_ref());
    let (Some(holder), Observation::Seen(instances)) = (holder, observation) else { return false };
    instances.iter().any(|instance| {
        matches!(
            &instance.lock,
            bookings::decide::groups::machine::LockTag::Held { raw, .. }
                if raw.user == holder.user && raw.until != holder.until
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1024)) })]

    #[test]
    fn any_input_is_decided_upon_and_once_written_is_written_no_more(
        resource in option::weighted(0.9, resources()),
        bookings in vec(bookings(), 0..5),
        observation in observations(),
        mut attempts in memories(),
        (now, claim, dry_run, prelocks) in
            (instants(), select(vec![Claim::Ours, Claim::Ours, Claim::Other]), any::<bool>(), any::<bool>()),
    ) {
        // given any input in which the uids of the Bookings differ
        let (mut resource, mut bookings) = (resource, bookings);
        let mut seen = std::collections::BTreeSet::new();
        bookings.retain(|booking| seen.insert(booking.metadata.uid.clone().unwrap_or_default()));
        let mut settings = settings();
        settings.dry_run = dry_run;
        if let Observation::Seen(instances) = &observation {
            attempts.observed(instances, now);
        }
        let ask = |resource: &Option<Resource>, bookings: &[Booking], now| {
            let bookings: Vec<ReadBooking<'_>> = bookings.iter().map(ReadBooking::new).collect();
            let standing = resource.as_ref().map(|resource| standing(resource, claim, &settings.locations));
            let world = GroupInput {
                resource: resource.as_ref(),
                standing: standing.as_ref(),
                bookings: &bookings,
                observation: &observation,
                attempts: &attempts,
                deliveries: &Deliveries::new(),
                prelocks,
                now,
            };
            decide(&world, &settings)
        };
        // when a decision is made and its statuses are written
        let first = ask(&resource, &bookings, now);
        prop_assert!(first.next().is_none_or(|wake_at| wake_at > now));
        written(&mut resource, &mut bookings, &first);
        // then the next decision has the same calls and no writes. If a machine shows the holder's lock with another
        // end, the lock is respected when the hold begins and repaired at the next pass, so this takes one more
        // decision.
        let first = if shows_another_end(resource.as_ref(), &observation) {
            let standing = ask(&resource, &bookings, now);
            written(&mut resource, &mut bookings, &standing);
            standing
        } else {
            first
        };
        let second = ask(&resource, &bookings, now);
        prop_assert_eq!(&second.booking_statuses, &vec![]);
        prop_assert_eq!(&second.resource_status, &None);
        prop_assert_eq!(&second.calls, &first.calls);
        // A Booking whose status says that it is finished may be deleted now.
        if !bookings.iter().any(|booking| booking.spec.ttl_minutes_after_finished.is_some()) {
            prop_assert_eq!(second.next(), first.next());
        }
        if dry_run {
            prop_assert_eq!(&first.calls, &vec![]);
            prop_assert_eq!(&first.clear_trace, &None);
            prop_assert_eq!(first.finalizer, bookings::decide::groups::output::Finalizer::Keep);
        }
        // and no later instant panics
        let _ = ask(&resource, &bookings, later(now, 100));
    }
}
