//! The controller of groups. A key stands for a Resource, which may not exist, and all Bookings that name it.
//!
//! | module | step | touches |
//! |---|---|---|
//! | `gather` | what the store has for the key | store |
//! | [`observe`] | what the cloud says about the group | cloud |
//! | [`decide`](crate::decide::groups) | what to do | - |
//! | `write` | statuses, finalizer, spec | API server |
//! | `call` | starts, stops, locks | cloud |
//! | `report` | Events | API server |
//!
//! A pass may be cut off between any two of its effects, so their order matters:
//!
//! 1. the finalizer, if it is added
//! 2. starts that rest on stored objects
//! 3. statuses that other passes rely on (they hold the grants and the holder)
//! 4. the spec
//! 5. all other calls
//! 6. statuses that only tell something
//! 7. Events
//! 8. the finalizer, if it is removed
//!
//! A lock tag is never written before the status says that the lock is ours.

mod call;
mod gather;
mod report;
mod write;

use std::{sync::Arc, time::Duration};

use booking_budget::FORESEEN;
use booking_calendar::instant::{after, elapsed};
use booking_cloud::{Dispatcher, Haste};
use booking_runtime::{
    Key,
    controller::{Context, Controller, Outcome},
    outbox::Outbox,
    watch::Watches,
    write::WriteError,
};
use tokio::time::Instant;

#[cfg(test)]
pub(in crate::run) use self::gather::claim_of;
use self::{gather::Snapshot, write::Refused};
use super::{
    account_limit::{AccountLimits, LONGEST_WAIT},
    clouds::{self, OpenClouds},
    objects::{GROUP, Objects},
    observations::{Observations, Seen},
    observe,
};
use crate::{
    api::FINALIZER,
    decide::{
        groups::{
            attempts::Attempts,
            booking::ReadBooking,
            decide,
            freshness::{may_start_first, must_observe},
            group::Group,
            input::{GroupInput, Observation},
            notices::Notice,
            output::{Call, Decision, Finalizer},
        },
        settings::Settings,
    },
};

/// How long until notices are offered again for which the outbox had no room.
const OUTBOX_FULL: Duration = Duration::from_secs(5);

/// The controller of groups.
pub struct GroupController {
    /// The family's objects.
    pub objects: Arc<Objects>,
    /// The clouds.
    pub clouds: Arc<OpenClouds>,
    /// The account slots.
    pub accounts: AccountLimits,
    /// The last observation of each group.
    pub observations: Arc<Observations>,
    /// The operator's settings. Their locations are those at the start of the process.
    pub settings: Settings,
    /// Where notices are sent from.
    pub outbox: Outbox<Notice>,
}

/// What the last observation is young enough for.
enum Freshness {
    /// For the whole decision.
    Enough(Observation, Decision),
    /// For starts only.
    EnoughToStart(Observation, Decision),
    /// For nothing.
    TooOld(Haste),
}

/// What a pass works with.
#[derive(Clone, Copy)]
struct Work<'a> {
    cx: &'a Context<'a>,
    key: &'a Key,
    snapshot: &'a Snapshot,
    /// The operator's settings, unchanged during this pass.
    settings: &'a Settings,
    /// The cloud of the group, if it is to be observed.
    cloud: Option<&'a Arc<Dispatcher>>,
}

impl Controller for GroupController {
    const KIND: &'static str = GROUP;
    type Memory = Attempts;

    fn register(&self, watches: &mut Watches) {
        watches.kind(&self.objects.resources).kind(&self.objects.bookings);
    }

    async fn pass(&self, cx: &Context<'_>, key: &Key, attempts: &mut Attempts) -> Outcome {
        let snapshot = Snapshot::gather(&self.objects, key, cx.now());
        if snapshot.is_empty() {
            return Outcome::Nothing;
        }
        // The snapshot's claims were decided with the same locations.
        let settings = Settings { locations: snapshot.locations.clone(), ..self.settings.clone() };
        let work = Work { cx, key, snapshot: &snapshot, settings: &settings, cloud: None };
        let Some(group) = snapshot.group() else {
            self.observations.forget(key);
            let observation = Observation::NotNeeded;
            let decision = self.decide(work, (&observation, attempts));
            return self.finish(work, &observation, decision, attempts).await;
        };
        let cloud = self.clouds.get(&group.location, &group.key.type_).await;
        Box::pin(self.pass_at(Work { cloud: Some(&cloud), ..work }, (&cloud, group), attempts)).await
    }

    fn forget(&self, key: &Key) {
        self.outbox.forget(key);
        self.observations.forget(key);
    }
}

/// The steps of a pass.
impl GroupController {
    /// A pass over a group that is in a cloud.
    async fn pass_at(
        &self,
        work: Work<'_>,
        (cloud, group): (&Arc<Dispatcher>, &Group),
        attempts: &mut Attempts,
    ) -> Outcome {
        // If the group was never observed, or machines are to be started or stopped, the pass waits for the
        // observation.
        let haste = match self.by_what_was_seen(work, (cloud, &group.key.tag), attempts) {
            Freshness::Enough(observation, decision) => {
                return self.finish(work, &observation, decision, attempts).await;
            }
            Freshness::EnoughToStart(observation, decision) => {
                let starts: Vec<&Call> = decision.calls.iter().filter(|call| is_start(call)).collect();
                // A start that cannot be sent is decided again below.
                let sent = self.send(work, &starts, (&decision, &observation), attempts).await;
                if let Err(error) = sent {
                    return Outcome::CutShort { error, wake_at: decision.wake_at };
                }
                Haste::Patient
            }
            Freshness::TooOld(haste) => haste,
        };
        let slot = self.accounts.take(&clouds::key(&group.location, &group.key.type_), work.key);
        if slot.is_none() {
            return Outcome::Done { wake_at: Some(after(work.cx.now(), LONGEST_WAIT)) };
        }
        let observation = self.observe(work, (cloud, &group.key.tag), haste, attempts).await;
        let decision = self.decide(work, (&observation, attempts));
        self.finish(work, &observation, decision, attempts).await
    }

    /// Decides from the last observation, as far as that is young enough.
    fn by_what_was_seen(
        &self,
        work: Work<'_>,
        (cloud, tag): (&Dispatcher, &str),
        attempts: &mut Attempts,
    ) -> Freshness {
        let Some(seen) = self.observations.get(work.key, cloud.key(), tag) else {
            return Freshness::TooOld(Haste::Due);
        };
        let now = work.cx.now();
        // A poll after the last call also shows the effect of that call.
        if attempts.last().is_some_and(|last| last < seen.at) {
            attempts.observed(&seen.instances, now);
        }
        let observation = Observation::Seen(seen.instances.to_vec());
        let decision = self.decide(work, (&observation, attempts));
        let known = (seen.instances.as_slice(), seen.at);
        if !must_observe(&decision, known, attempts, work.settings, now) {
            Freshness::Enough(observation, decision)
        } else if may_start_first(&decision, seen.at, attempts, now) {
            Freshness::EnoughToStart(observation, decision)
        } else {
            let is_power = |call: &Call| matches!(call, Call::Start(_) | Call::Stop(_));
            let hurries = decision.calls.iter().any(is_power);
            Freshness::TooOld(if hurries { Haste::Due } else { Haste::Patient })
        }
    }

    async fn observe(
        &self,
        work: Work<'_>,
        (cloud, tag): (&Dispatcher, &str),
        haste: Haste,
        attempts: &mut Attempts,
    ) -> Observation {
        let (at, asked) = (work.cx.now(), Instant::now());
        let answer = observe::describe(cloud, tag, haste).await;
        if let Ok(instances) = &answer {
            let seen = Seen { instances: Arc::new(instances.clone()), at };
            self.observations.put(work.key, (cloud.key(), tag), seen, asked);
        }
        observe::observed(answer, attempts, work.cx.now())
    }

    fn decide(&self, work: Work<'_>, (observation, attempts): (&Observation, &Attempts)) -> Decision {
        let Work { cx, key, snapshot, settings, cloud } = work;
        let read = snapshot.bookings.iter().map(|booking| ReadBooking::known(booking, booking.parsed()));
        let bookings: Vec<ReadBooking<'_>> = read.collect();
        let input = GroupInput {
            resource: snapshot.resource.as_deref().map(|resource| &**resource),
            standing: snapshot.standing.as_ref(),
            bookings: &bookings,
            observation,
            attempts,
            deliveries: &self.outbox.deliveries(key),
            prelocks: cloud.is_some_and(|cloud| cloud.expects_many_locks()),
            now: cx.now(),
        };
        decide(&input, settings)
    }

    async fn finish(
        &self,
        work: Work<'_>,
        observation: &Observation,
        decision: Decision,
        attempts: &mut Attempts,
    ) -> Outcome {
        tell_dispatcher(work, &decision);
        let notices = decision.notices.clone();
        let result = self.carry_out(work, observation, &decision, attempts).await;
        // A group with remembered attempts is observed by its own passes. All others are observed by polls.
        let observe_by = decision.observe_by.filter(|_| work.cloud.is_none() || !attempts.is_empty());
        let mut wake_at = decision.wake_at.into_iter().chain(observe_by).min();
        if result.is_ok() && !self.outbox.offer(work.key, notices) {
            let again = after(work.cx.now(), OUTBOX_FULL);
            wake_at = Some(wake_at.map_or(again, |wake_at| wake_at.min(again)));
        }
        Outcome::of(result, wake_at)
    }

    async fn carry_out(
        &self,
        work: Work<'_>,
        observation: &Observation,
        decision: &Decision,
        attempts: &mut Attempts,
    ) -> Result<(), WriteError> {
        let Work { cx, snapshot, .. } = work;
        let (resources, bookings) = (cx.writer(&self.objects.resources), cx.writer(&self.objects.bookings));
        let mut resource = snapshot.resource.as_deref().map(|resource| (**resource).clone());
        if let (Finalizer::Add, Some(known)) = (decision.finalizer, &resource) {
            resource = Some(resources.add_finalizer(known, FINALIZER).await?);
        }
        let (starts, calls): (Vec<&Call>, Vec<&Call>) =
            decision.calls.iter().partition(|call| decision.hints.starts_first && is_start(call));
        self.send(work, &starts, (decision, observation), attempts).await?;
        let (first, later) = write::by_weight(snapshot, decision);
        let mut refused = Refused::default();
        refused.write(&bookings, &first).await?;
        if let (Some(status), Some(known)) = (&decision.resource_status, &resource) {
            resource = Some(resources.status("resource_status", known, status).await?);
        }
        if let (Some(trace), Some(known)) = (&decision.clear_trace, &resource) {
            resource = Some(write::clear_trace(&resources, known, trace).await?);
        }
        self.send(work, &calls, (decision, observation), attempts).await?;
        refused.write(&bookings, &later).await?;
        write::delete_expired(&bookings, snapshot, decision).await?;
        report::report(cx, snapshot, decision, &refused).await;
        if let (Finalizer::Remove, Some(known)) = (decision.finalizer, &resource) {
            resources.remove_finalizer(known, FINALIZER).await?;
        }
        refused.into_result()
    }

    /// Sends calls, one after the other.
    async fn send(
        &self,
        work: Work<'_>,
        calls: &[&Call],
        (decision, observation): (&Decision, &Observation),
        attempts: &mut Attempts,
    ) -> Result<(), WriteError> {
        // A group that was not observed gets no calls.
        let Some(cloud) = work.cloud else { return Ok(()) };
        for call in calls {
            let is_power = matches!(call, Call::Start(_) | Call::Stop(_));
            if is_power && !self.still_decided(work, call, observation, attempts) {
                return Err(WriteError::Conflict);
            }
            let sent = call::send(cloud, work.key, work.cx.permit(), (call, &decision.hints.priority)).await;
            sent.record(work.key, attempts, &decision.hints.priority, work.cx.now());
        }
        Ok(())
    }

    /// Whether the same call would be decided again with what the store knows now. Since the pass began, a user may
    /// have booked the group. If the API server is slow, a Booking may also have ended.
    fn still_decided(
        &self,
        work: Work<'_>,
        call: &Call,
        observation: &Observation,
        attempts: &Attempts,
    ) -> bool {
        let snapshot = Snapshot::gather(&self.objects, work.key, work.cx.now());
        self.decide(Work { snapshot: &snapshot, ..work }, (observation, attempts)).calls.contains(call)
    }
}

fn is_start(call: &Call) -> bool {
    matches!(call, Call::Start(_))
}

/// Tells the dispatcher what this key will need, or that it needs nothing any more.
fn tell_dispatcher(work: Work<'_>, decision: &Decision) {
    let Some(cloud) = work.cloud else { return };
    let asker: Arc<str> = work.key.to_string().into();
    if decision.hints.starts_soon > 0 {
        cloud.expect(&asker, decision.hints.starts_soon, FORESEEN);
    } else if !decision.calls.iter().any(|call| matches!(call, Call::Start(_) | Call::Stop(_)))
        && !decision.hints.waits_for_budget
    {
        cloud.withdraw(&asker);
    }
    if let Some((lock, at)) = &decision.hints.locks_soon {
        cloud.expect_lock(&asker, &call::tags(lock), elapsed(work.cx.now(), *at));
    } else {
        cloud.unexpect_lock(&asker);
    }
}
