//! A stage on which a story happens: the objects in the API server, a cloud, a clock, and one operator that runs
//! passes as the controller does.

use std::{collections::VecDeque, time::Duration};

use booking_decision::Backoff;
use bookings::{
    api::{Booking, BookingSpec, BookingStatus, FINALIZER, Resource, ResourceSpec, ResourceStatus},
    decide::{
        groups::{
            attempts::Attempts,
            booking::ReadBooking,
            claim::Claim,
            decide,
            group::{Blocked, Group, standing},
            input::{GroupInput, Observation},
            machine::{Machine, MachineState},
            notices::{Deliveries, Delivery, Notice},
            output::{Call, Decision, Finalizer},
        },
        settings::Settings,
        subject::Note,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    build::{at, condition, later, machine, resource, settings},
    cloud::Cloud,
};

/// A fault that happens to one effect of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It fails and has no effect.
    Fails,
    /// It has its effect, but the answer is lost.
    AnswerLost,
    /// The process dies before the effect.
    CrashBefore,
    /// The process dies after the effect.
    CrashAfter,
}

/// A pass was cut off.
#[derive(Debug)]
pub struct Cut;

#[derive(Clone, Debug)]
pub struct Stage {
    pub resource: Option<Resource>,
    pub bookings: Vec<Booking>,
    pub cloud: Cloud,
    pub attempts: Attempts,
    pub claim: Claim,
    /// Whether many groups will be locked soon.
    pub prelocks: bool,
    pub settings: Settings,
    pub now: Timestamp,
    /// While set, describes fail.
    pub blind: bool,
    pub faults: VecDeque<Fault>,
    pub calls: Vec<(Timestamp, Call)>,
    pub events: Vec<Note>,
    pub writes: usize,
    /// The deliveries of notices. Recipients in `unreachable` get none.
    pub deliveries: Deliveries,
    pub told: Vec<(Timestamp, Notice)>,
    pub unreachable: Vec<String>,
    created: u64,
}

const BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_mins(1) };

impl Stage {
    /// A stage at 08:00 with stopped machines of these ids.
    pub fn new(ids: &[&str]) -> Self {
        Self::with(ids.iter().map(|id| machine(id, MachineState::Stopped)))
    }

    /// A stage at 08:00 with these machines.
    pub fn with(machines: impl IntoIterator<Item = Machine>) -> Self {
        let mut cloud = Cloud { turn: Duration::from_secs(20), ..Cloud::default() };
        machines.into_iter().for_each(|machine| cloud.add(machine));
        Self {
            resource: Some(resource()),
            bookings: Vec::new(),
            cloud,
            attempts: Attempts::default(),
            claim: Claim::Ours,
            prelocks: false,
            settings: settings(),
            now: at("08:00"),
            blind: false,
            faults: VecDeque::new(),
            calls: Vec::new(),
            events: Vec::new(),
            writes: 0,
            deliveries: Deliveries::new(),
            told: Vec::new(),
            unreachable: Vec::new(),
            created: 0,
        }
    }

    /// Creates a Booking that is younger than all earlier ones.
    pub fn book(&mut self, mut booking: Booking) {
        self.created += 1;
        booking.metadata.creation_timestamp = Some(Time(later(at("00:00"), self.created)));
        self.bookings.push(booking);
    }

    pub fn delete(&mut self, name: &str) {
        self.bookings.retain(|booking| booking.metadata.name.as_deref() != Some(name));
    }

    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut BookingSpec)) {
        let booking =
            self.bookings.iter_mut().find(|booking| booking.metadata.name.as_deref() == Some(name)).unwrap();
        change(&mut booking.spec);
        booking.metadata.generation = booking.metadata.generation.map(|generation| generation + 1);
    }

    pub fn configure(&mut self, change: impl FnOnce(&mut ResourceSpec)) {
        let resource = self.resource.as_mut().unwrap();
        change(&mut resource.spec);
        resource.metadata.generation = resource.metadata.generation.map(|generation| generation + 1);
    }

    pub fn configure_if_there(&mut self, change: impl FnOnce(&mut ResourceSpec)) {
        if self.resource.is_some() {
            self.configure(change);
        }
    }

    /// Sets `booked_by` and `booked_until`.
    pub fn hold(&mut self, by: Option<String>, until: Option<String>) {
        self.configure_if_there(|spec| (spec.booked_by, spec.booked_until) = (by, until));
    }

    /// Asks for the deletion of the Resource.
    pub fn delete_resource(&mut self) {
        if let Some(resource) = &mut self.resource {
            resource.metadata.deletion_timestamp.get_or_insert(Time(self.now));
        }
        self.collect();
    }

    pub fn status(&self, name: &str) -> BookingStatus {
        let booking =
            self.bookings.iter().find(|booking| booking.metadata.name.as_deref() == Some(name)).unwrap();
        booking.status.clone().unwrap_or_default()
    }

    pub fn state(&self, name: &str) -> String {
        self.status(name).status.unwrap_or_default()
    }

    /// The begin and the end of a grant.
    pub fn granted(&self, name: &str) -> Option<(Timestamp, Timestamp)> {
        let status = self.status(name);
        Some((status.granted_from?.parse().unwrap(), status.granted_until?.parse().unwrap()))
    }

    /// The status and the reason of a Booking's condition, such as `True Held`.
    pub fn says(&self, name: &str, type_: &str) -> String {
        let status = self.status(name);
        condition(&status.conditions, type_)
            .map_or_else(String::new, |c| format!("{} {}", c.status, c.reason))
    }

    /// The message of a Booking's condition.
    pub fn message(&self, name: &str, type_: &str) -> String {
        let status = self.status(name);
        condition(&status.conditions, type_).map_or_else(String::new, |c| c.message.clone())
    }

    pub fn resource_status(&self) -> ResourceStatus {
        self.resource.as_ref().and_then(|resource| resource.status.clone()).unwrap_or_default()
    }

    /// The status and the reason of a condition of the Resource.
    pub fn resource_says(&self, type_: &str) -> String {
        let status = self.resource_status();
        condition(&status.conditions, type_)
            .map_or_else(String::new, |c| format!("{} {}", c.status, c.reason))
    }

    pub fn resource_message(&self, type_: &str) -> String {
        let status = self.resource_status();
        condition(&status.conditions, type_).map_or_else(String::new, |c| c.message.clone())
    }

    pub fn holder(&self) -> Option<String> {
        self.resource_status().holder.map(|holder| holder.user)
    }

    pub fn machine(&self, id: &str) -> Machine {
        self.cloud.truth(self.now).into_iter().find(|machine| machine.id == id).unwrap()
    }

    /// The calls that were sent at an instant or later.
    pub fn calls_since(&self, from: Timestamp) -> Vec<Call> {
        self.calls.iter().filter(|(sent, _)| *sent >= from).map(|(_, call)| call.clone()).collect()
    }

    pub fn stops(&self) -> usize {
        self.calls.iter().filter(|(_, call)| matches!(call, Call::Stop(_))).count()
    }

    pub fn event_reasons(&self) -> Vec<&'static str> {
        self.events.iter().map(|note| note.reason).collect()
    }

    fn standing(&self) -> Option<Result<Group, Blocked>> {
        self.resource.as_ref().map(|resource| standing(resource, self.claim, &self.settings.locations))
    }

    pub fn observe(&self, now: Timestamp) -> Observation {
        let observed = self.standing().and_then(Result::ok);
        match observed {
            None => Observation::NotNeeded,
            Some(_) if self.blind => {
                Observation::Failed { message: "RequestLimitExceeded".into(), retry_at: later(self.now, 7) }
            }
            Some(_) => Observation::Seen(self.cloud.describe(now)),
        }
    }

    /// The decision at an instant, made from an observation.
    pub fn decide_on(&self, observation: &Observation, now: Timestamp) -> Decision {
        let name = "web";
        let named = self.bookings.iter().filter(|b| b.spec.resource_name.as_deref() == Some(name));
        let bookings: Vec<ReadBooking<'_>> = named.map(ReadBooking::new).collect();
        let standing = self.standing();
        let world = GroupInput {
            resource: self.resource.as_ref(),
            standing: standing.as_ref(),
            bookings: &bookings,
            observation,
            attempts: &self.attempts,
            deliveries: &self.deliveries,
            prelocks: self.prelocks,
            now,
        };
        decide(&world, &self.settings)
    }

    /// The decision now.
    pub fn decide(&self) -> Decision {
        self.decide_on(&self.observe(self.now), self.now)
    }

    /// Runs one pass: observes, decides, and carries the decision out as the controller does.
    pub fn pass(&mut self) -> Result<Decision, Cut> {
        let observation = self.observe(self.now);
        if let Observation::Seen(instances) = &observation {
            self.attempts.observed(instances, self.now);
        }
        let decision = self.decide_on(&observation, self.now);
        self.carry_out(&decision)?;
        if self.deliver(&decision.notices) { self.pass() } else { Ok(decision) }
    }

    /// Sends the notices that were not sent before. Returns whether there were any.
    fn deliver(&mut self, notices: &[Notice]) -> bool {
        let before = self.deliveries.len();
        for notice in notices {
            let problem =
                self.unreachable.contains(&notice.id.recipient).then(|| "550 no such user".to_owned());
            if problem.is_none() && !self.deliveries.contains_key(&notice.id) {
                self.told.push((self.now, notice.clone()));
            }
            self.deliveries.entry(notice.id.clone()).or_insert(Delivery { at: self.now, problem });
        }
        self.deliveries.len() > before
    }

    fn carry_out(&mut self, decision: &Decision) -> Result<(), Cut> {
        if decision.finalizer == Finalizer::Add {
            self.write(|stage| {
                stage.resource.as_mut().unwrap().metadata.finalizers = Some(vec![FINALIZER.into()]);
            })?;
        }
        let (first, rest): (Vec<&Call>, Vec<&Call>) = decision
            .calls
            .iter()
            .partition(|call| decision.hints.starts_first && matches!(call, Call::Start(_)));
        for call in first {
            self.send(call)?;
        }
        for (uid, status) in &decision.booking_statuses {
            self.write(|stage| {
                let booking = stage.bookings.iter_mut().find(|b| b.metadata.uid.as_ref() == Some(uid));
                booking.unwrap().status = Some(status.clone());
            })?;
        }
        if let Some(status) = &decision.resource_status {
            self.write(|stage| stage.resource.as_mut().unwrap().status = Some(status.clone()))?;
        }
        if let Some(trace) = &decision.clear_trace {
            self.write(|stage| {
                let resource = stage.resource.as_mut().unwrap();
                assert_eq!(resource.spec.booked_by.as_ref(), Some(&trace.user));
                assert_eq!(resource.spec.booked_until.as_ref(), Some(&trace.until));
                resource.spec.booked_by = Some(String::new());
                resource.spec.booked_until = Some(String::new());
                resource.metadata.generation = resource.metadata.generation.map(|g| g + 1);
            })?;
        }
        for call in rest {
            self.send(call)?;
        }
        for uid in &decision.expired {
            self.write(|stage| stage.bookings.retain(|booking| booking.metadata.uid.as_ref() != Some(uid)))?;
        }
        self.events.extend(decision.events.iter().cloned());
        if decision.finalizer == Finalizer::Remove {
            self.write(|stage| {
                stage.resource.as_mut().unwrap().metadata.finalizers = None;
                stage.collect();
            })?;
        }
        Ok(())
    }

    /// Removes a Resource that is deleted and has no finalizers.
    fn collect(&mut self) {
        self.resource.take_if(|resource| {
            let meta = &resource.metadata;
            meta.deletion_timestamp.is_some() && meta.finalizers.iter().flatten().next().is_none()
        });
    }

    fn write(&mut self, effect: impl FnOnce(&mut Self)) -> Result<(), Cut> {
        self.writes += 1;
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        if !matches!(fault, Fault::Fails | Fault::CrashBefore) {
            effect(self);
        }
        if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
            self.attempts = Attempts::default();
        }
        if fault == Fault::None { Ok(()) } else { Err(Cut) }
    }

    fn send(&mut self, call: &Call) -> Result<(), Cut> {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::CrashBefore {
            self.attempts = Attempts::default();
            return Err(Cut);
        }
        self.calls.push((self.now, call.clone()));
        for id in call.ids() {
            let action = call.action();
            let result = match fault {
                Fault::Fails => Err("no answer".to_owned()),
                Fault::AnswerLost => self.cloud.call(call, id, self.now).and(Err("no answer".to_owned())),
                _ => self.cloud.call(call, id, self.now),
            };
            match result {
                Ok(()) => self.attempts.succeeded(id, action, self.now),
                Err(error) => self.attempts.failed(id, action, self.now, error, BACKOFF),
            }
        }
        if fault == Fault::CrashAfter {
            self.attempts = Attempts::default();
            return Err(Cut);
        }
        Ok(())
    }

    /// Lets time pass until `end`, with a pass whenever one is due, the first one now. `watch` is called for each
    /// pass with the stage before and after it.
    pub fn live_until(&mut self, end: Timestamp, mut watch: impl FnMut(&Self, &Self)) {
        for _ in 0..20_000 {
            let before = self.clone();
            let due = match self.pass() {
                // The watch does not start a pass for the pass's own writes.
                Ok(decision) => decision.next(),
                Err(Cut) => Some(later(self.now, 1)),
            };
            watch(&before, self);
            match due {
                Some(due) if due <= end => self.now = due,
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("a pass is due without end");
    }

    /// Like [`Self::live_until`], but until a clock time, including the passes that are due then.
    pub fn until(&mut self, clock: &str) {
        self.live_until(at(clock), |_, _| ());
    }
}
