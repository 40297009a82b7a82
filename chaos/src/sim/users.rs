//! The acts of users: they create Resources and Bookings, and they move and delete Bookings.

use std::sync::Arc;

use bookings::api::{Booking, BookingSpec, Resource, ResourceSpec, WhenIdle};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    clock::wall,
    event::Event,
    plan::{Act, Idle},
    store::{Kind, Object, Value},
    world::World,
};
use crate::{Micros, SECOND};

impl World {
    /// Creates the Resources of all groups, before anything else.
    pub fn create_resources(&mut self) {
        let plan = self.plan.clone();
        for (name, group) in self.groups.clone().into_iter().zip(&plan.groups) {
            let when_idle = match group.idle {
                Idle::Stop => Some(WhenIdle::Stop),
                Idle::Keep => Some(WhenIdle::Keep),
                Idle::Unsaid => None,
            };
            let spec = ResourceSpec {
                type_: Some("ec2".into()),
                tag: Some(name.to_string()),
                when_idle,
                ..ResourceSpec::default()
            };
            let mut resource = Resource::new(&name, spec);
            resource.metadata.uid = Some(format!("resource-{name}"));
            resource.metadata.generation = Some(1);
            resource.metadata.creation_timestamp = Some(Time(wall(0)));
            // The store is empty and nobody watches, so nothing refuses the write.
            let _ = self.store.create(&name, Value::Resource(Arc::new(resource)));
        }
    }

    /// Carries out the act with this number, or plans it for later if the API server is away.
    pub fn act(&mut self, number: usize) {
        if self.now < self.server.down {
            let wait = self.server.down - self.now + SECOND;
            self.after(wait, Event::Act(number));
            return;
        }
        let plan = self.plan.clone();
        match plan.acts.get(number) {
            Some((_, Act::Book { booking, group, user, from, until })) => {
                self.book(*booking, *group, *user, *from, *until);
            }
            Some((_, Act::MoveEnd { booking, until })) => self.move_end(*booking, *until),
            Some((_, Act::Cancel { booking })) => {
                self.note(|| format!("user deletes {}", name_of(*booking)));
                self.audit_windows(*booking, None);
                if let Ok(change) = self.store.delete(Kind::Booking, &name_of(*booking), None) {
                    self.changed(&change);
                }
            }
            None => {}
        }
    }

    fn book(&mut self, number: usize, group: usize, user: u64, from: Micros, until: Micros) {
        let name = name_of(number);
        let spec = BookingSpec {
            resource_name: self.groups.get(group).map(ToString::to_string),
            start_at: Some(wall(from).to_string()),
            end_at: Some(wall(until).to_string()),
            user_id: Some(format!("user-{user}")),
            ..BookingSpec::default()
        };
        let mut booking = Booking::new(&name, spec);
        booking.metadata.uid = Some(format!("booking-{number}"));
        booking.metadata.generation = Some(1);
        booking.metadata.creation_timestamp = Some(Time(wall(self.now)));
        self.note(|| format!("user-{user} books {name} on g{group} from {} to {}", wall(from), wall(until)));
        self.stats.bookings += 1;
        self.audit_booked(number, group, from, until);
        if let Ok(change) = self.store.create(&name, Value::Booking(Arc::new(booking))) {
            self.changed(&change);
        }
    }

    fn move_end(&mut self, number: usize, until: Micros) {
        let name = name_of(number);
        let present = self.store.get(Kind::Booking, &name).and_then(Object::booking).cloned();
        let Some(mut booking) = present else { return };
        booking.spec.end_at = Some(wall(until).to_string());
        booking.metadata.generation = booking.metadata.generation.map(|generation| generation + 1);
        self.note(|| format!("user moves the end of {name} to {}", wall(until)));
        self.audit_windows(number, Some(until));
        if let Ok(change) = self.store.update(&name, None, Value::Booking(Arc::new(booking))) {
            self.changed(&change);
        }
    }
}

/// The name of a Booking.
fn name_of(number: usize) -> Arc<str> {
    Arc::from(format!("b{number:02}"))
}
