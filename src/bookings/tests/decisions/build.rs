//! Builders, so that a story says only what matters to it.

use std::{sync::Arc, time::Duration};

use booking_calendar::instant::{self, after};
use bookings::{
    api::{Booking, BookingSpec, Lock, Resource, ResourceSpec, WhenIdle},
    decide::{
        groups::machine::{LockTag, Machine, MachineState},
        locations::Locations,
        settings::Settings,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// `10:00` or `10:00:05` on the day on which all stories happen, as a spec has it.
pub fn text(clock: &str) -> String {
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    format!("2027-03-01T{clock}{seconds}Z")
}

/// The same as an instant.
pub fn at(clock: &str) -> Timestamp {
    instant::parse(&text(clock)).unwrap()
}

pub fn later(start: Timestamp, seconds: u64) -> Timestamp {
    after(start, Duration::from_secs(seconds))
}

pub fn settings() -> Settings {
    Settings {
        locations: Arc::new(Locations::new("", "eu-central-1", vec![])),
        adoption_grace: Duration::from_mins(30),
        dry_run: false,
        poll_shortest: Duration::from_secs(1),
        poll_longest: Duration::from_secs(10),
        observe_interval: Duration::from_mins(5),
        release_timeout: Duration::from_mins(10),
    }
}

/// A Resource whose machines are stopped if nobody holds them.
pub fn resource() -> Resource {
    let spec = ResourceSpec {
        type_: Some("ec2".into()),
        tag: Some("web".into()),
        when_idle: Some(WhenIdle::Stop),
        ..ResourceSpec::default()
    };
    let mut resource = Resource::new("web", spec);
    resource.metadata.uid = Some("resource".into());
    resource.metadata.generation = Some(1);
    resource.metadata.creation_timestamp = Some(Time(at("00:00")));
    resource
}

/// A Booking of the Resource. Its name is also its uid.
pub fn booking(name: &str, user: &str, from: &str, until: &str) -> Booking {
    let spec = BookingSpec {
        resource_name: Some("web".into()),
        start_at: Some(text(from)),
        end_at: Some(text(until)),
        user_id: Some(user.into()),
        ..BookingSpec::default()
    };
    let mut booking = Booking::new(name, spec);
    booking.metadata.uid = Some(name.into());
    booking.metadata.generation = Some(1);
    booking
}

pub fn lock(user: &str, until: &str) -> Lock {
    Lock { user: user.into(), until: text(until) }
}

pub fn tag(lock: &Lock) -> LockTag {
    instant::parse(&lock.until).map_or_else(
        |_| LockTag::Malformed { by: Some(lock.user.clone()), until: Some(lock.until.clone()) },
        |until| LockTag::Held { raw: lock.clone(), until },
    )
}

pub fn machine(id: &str, state: MachineState) -> Machine {
    Machine::new(id, state)
}

pub fn locked(mut machine: Machine, lock: &Lock) -> Machine {
    machine.lock = tag(lock);
    machine
}

pub fn owned(mut machine: Machine, owner: &str) -> Machine {
    machine.owner = Some(owner.into());
    machine
}

pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}
