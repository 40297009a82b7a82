//! The whole decision: a total, pure function of what is known.

use std::time::Duration;

use booking_api::{Booking, BookingStatus, FINALIZER, Lock, OnDelete, Resource, ResourceStatus, WhenIdle};
use jiff::Timestamp;

use crate::{
    attempts::Attempts,
    booking::{self, InvalidSpec, ValidBooking},
    claim::Claim,
    condition::Draft,
    drive::{Drive, Goal, Tally, drive},
    events::{self, EventType, Note, Subject},
    grant::{Grant, grant},
    group::{self, Group, GroupKey},
    hold::{Hold, Ledger, ManualHold, hold_now, manual_hold},
    instance::Instance,
    instant::{self, after, elapsed},
    progress::{self, Progress, progress, reason},
    release::{Release, release},
    status::{ResourceFacts, Standing, booking_status, is_finished, resource_status},
    wake::{Wake, poll_interval},
};

/// What the operator is set to. Durations of the pass, not of a Booking.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own region.
    pub region: String,
    /// How long what runs unbooked when a Resource is first seen is left running.
    pub adoption_grace: Duration,
    /// Decide and report, but send nothing to the cloud and leave specs and finalizers alone.
    pub dry_run: bool,
    /// Shortest time between two looks at machines on their way.
    pub poll_shortest: Duration,
    /// Longest time between two looks at machines on their way.
    pub poll_longest: Duration,
    /// Time between two looks at a group that is as it should be.
    pub observe_interval: Duration,
    /// How long the deletion of a Resource waits for the cloud.
    pub release_timeout: Duration,
}

/// What was observed of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// There was no need to look.
    NotNeeded,
    /// The cloud did not say.
    Failed {
        /// Why, without anything that changes from try to try.
        message: String,
        /// When to look again.
        retry_at: Timestamp,
    },
    /// All machines of the group.
    Seen(Vec<Instance>),
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The Resource, if it exists.
    pub resource: Option<&'a Resource>,
    /// All Bookings that name it.
    pub bookings: &'a [&'a Booking],
    /// What was observed of its group.
    pub observation: &'a Observation,
    /// What this process sent lately.
    pub attempts: &'a Attempts,
    /// Whether this Resource is the one that acts on its group.
    pub claim: Claim,
    /// The time.
    pub now: Timestamp,
}

/// A call to the cloud for some machines of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Start them.
    Start(Vec<String>),
    /// Stop them.
    Stop(Vec<String>),
    /// Write these lock tags.
    Lock(Lock, Vec<String>),
    /// Remove lock tags that hold exactly this.
    Unlock(Lock, Vec<String>),
}

/// What happens to the finalizer of the Resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finalizer {
    /// Nothing.
    #[default]
    Keep,
    /// It is added, before anything is sent to the cloud.
    Add,
    /// It is removed, after everything else.
    Remove,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The finalizer; `Remove` comes last instead.
    pub finalizer: Finalizer,
    /// New statuses of Bookings, by uid; unchanged ones are left out.
    pub booking_statuses: Vec<(String, BookingStatus)>,
    /// New status of the Resource, unless unchanged.
    pub resource_status: Option<ResourceStatus>,
    /// `booked_by` and `booked_until` are cleared, if they still say this.
    pub clear_trace: Option<Lock>,
    /// Calls to the cloud.
    pub calls: Vec<Call>,
    /// Events, once the statuses stand.
    pub events: Vec<Note>,
    /// When to decide again, whatever happens.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// Whether nothing is to be done but wait.
    pub fn is_empty(&self) -> bool {
        Self { wake_at: None, ..self.clone() } == Self::default()
    }
}

/// The group that must be observed before a decision, if any.
///
/// Only machines of type ec2 in the operator's own account and region are in reach yet.
pub fn group_to_observe(resource: &Resource, claim: Claim, settings: &Settings) -> Option<GroupKey> {
    match standing(resource, claim, settings) {
        Ok(group) => Some(group.key),
        Err(_) => None,
    }
}

/// Why a Resource acts on nothing.
enum Blocked {
    Invalid(InvalidSpec),
    Unsupported(String),
    Claimed,
}

fn standing(resource: &Resource, claim: Claim, settings: &Settings) -> Result<Group, Blocked> {
    let group = group::validate(resource, &settings.region).map_err(Blocked::Invalid)?;
    let key = &group.key;
    if key.type_ != "ec2" {
        return Err(Blocked::Unsupported(format!(
            "spec.type: {} is not supported yet; supported: ec2",
            key.type_
        )));
    }
    if !key.role_arn.is_empty() {
        return Err(Blocked::Unsupported("spec.role_arn: this operator assumes no roles".into()));
    }
    if key.region != settings.region {
        let problem =
            format!("spec.region: {} is not this operator's region {}", key.region, settings.region);
        return Err(Blocked::Unsupported(problem));
    }
    if claim == Claim::Other { Err(Blocked::Claimed) } else { Ok(group) }
}

/// Decides what to do. Total: any input has an answer.
pub fn decide(world: &World<'_>, settings: &Settings) -> Decision {
    let mut pass = Pass::new(*world, settings);
    match world.resource {
        None => {
            let message = "no Resource of this name exists in the namespace";
            pass.block_bookings(&Progress::new(false, reason::RESOURCE_NOT_FOUND, message));
        }
        Some(resource) => match standing(resource, world.claim, settings) {
            Ok(group) if resource.metadata.deletion_timestamp.is_some() => pass.let_go(resource, &group),
            Ok(group) => pass.act(resource, &group),
            Err(blocked) => pass.stand_by(resource, &blocked),
        },
    }
    pass.decision.wake_at = pass.wake.earliest();
    pass.decision
}

/// A decision in the making.
struct Pass<'a> {
    world: World<'a>,
    settings: &'a Settings,
    /// Bookings that make sense and are not over, in the order given.
    live: Vec<ValidBooking>,
    decision: Decision,
    wake: Wake,
}

impl<'a> Pass<'a> {
    fn new(world: World<'a>, settings: &'a Settings) -> Self {
        let live: Vec<ValidBooking> = world
            .bookings
            .iter()
            .filter(|booking| booking.metadata.deletion_timestamp.is_none())
            .filter_map(|booking| Some((booking, booking::validate(booking).ok()?)))
            .filter(|(booking, valid)| !is_finished(booking, valid, world.now))
            .map(|(_, valid)| valid)
            .collect();
        let mut wake = Wake::new(world.now);
        for booking in &live {
            wake.at(booking.window.from);
            wake.at(booking.window.until);
        }
        Self { world, settings, live, decision: Decision::default(), wake }
    }

    /// A Resource that acts on its group.
    fn act(&mut self, resource: &Resource, group: &Group) {
        let now = self.world.now;
        let old = resource.status.clone().unwrap_or_default();
        let manual = manual_hold(resource, self.world.bookings, now);
        let first = match &manual {
            ManualHold::Trace(trace) => Some(trace.booking_uid.as_str()),
            _ => None,
        };
        let grants = grant(&self.live, first, now);
        let hold = hold_now(&manual, &self.live, &grants, old.holder.as_ref(), now);
        let ledger = Ledger::next(&old, hold.as_ref(), &manual, now);
        self.wake_for_windows(&grants, &manual);
        let (goal, grace_end) = self.goal(&old, group, hold.as_ref(), &manual, &ledger);
        let (drive, progress) = self.drive(group, &goal, &ledger);
        let mut more =
            drive.as_ref().map(|drive| self.more_conditions(&drive.tally, grace_end)).unwrap_or_default();
        let progress = match &manual {
            ManualHold::Malformed(problem) => {
                Progress::new(false, reason::MANUAL_HOLD_MALFORMED, problem.clone())
            }
            _ => progress,
        };
        if self.settings.dry_run {
            let calls = drive.as_ref().map_or(0, |drive| calls(drive.clone(), &goal).len());
            more.push(Draft::new(
                "DryRun",
                true,
                "DryRun",
                format!("decided, but not sent: calls of {calls} kinds"),
            ));
        }
        self.publish_bookings(
            &grants,
            hold.as_ref(),
            &self.booking_progress(&progress, &manual, &drive, group, &goal),
        );
        self.publish_resource(resource, &progress, drive.as_ref().map(|drive| &drive.tally), &ledger, more);
        self.take_over(&manual);
        if let Some(drive) = drive {
            self.send(resource, drive, &goal);
        }
        self.wake.after(self.settings.observe_interval);
    }

    /// A malformed manual hold is the Resource's trouble; Bookings see how far the group is.
    fn booking_progress(
        &self,
        shown: &Progress,
        manual: &ManualHold,
        drive: &Option<Drive>,
        group: &Group,
        goal: &Goal,
    ) -> Progress {
        match (manual, drive) {
            (ManualHold::Malformed(_), Some(drive)) => progress(&group.key, &drive.tally, goal),
            _ => shown.clone(),
        }
    }

    /// A Resource that is being deleted.
    fn let_go(&mut self, resource: &Resource, group: &Group) {
        let now = self.world.now;
        let old = resource.status.clone().unwrap_or_default();
        let manual = manual_hold(resource, self.world.bookings, now);
        let ledger = Ledger::next(&old, None, &manual, now);
        let goal = Goal::Idle { stop: group.on_delete == OnDelete::Stop };
        let (drive, _) = self.drive(group, &goal, &ledger);
        let gone = Progress::new(false, reason::RESOURCE_NOT_FOUND, "the Resource is being deleted");
        self.block_bookings(&gone);
        let progress = Progress::new(false, reason::DELETING, "lock tags are being removed");
        self.publish_resource(resource, &progress, drive.as_ref().map(|drive| &drive.tally), &ledger, vec![]);
        if let Some(drive) = drive {
            self.send(resource, drive, &goal);
        }
        if !has_finalizer(resource) {
            return;
        }
        match release(resource, group.on_delete, self.world.observation, &ledger, self.settings, now) {
            Release::NotYet(deadline) => self.wake.at(deadline),
            Release::Done { running } => {
                self.remove_finalizer(
                    EventType::Normal,
                    format!("locks are removed; {running} machines run on"),
                );
            }
            Release::GivenUp => {
                let text = "the cloud did not answer in time: lock tags may be left on the machines, which may run on";
                self.remove_finalizer(EventType::Warning, text.to_owned());
            }
        }
        self.wake.after(self.settings.observe_interval);
    }

    /// A Resource that acts on nothing.
    fn stand_by(&mut self, resource: &Resource, blocked: &Blocked) {
        let (progress, on_bookings) = match blocked {
            Blocked::Invalid(error) => {
                (Progress::new(false, reason::INVALID, error.to_string()), reason::RESOURCE_INVALID)
            }
            Blocked::Unsupported(why) => {
                (Progress::new(false, reason::UNSUPPORTED, why.clone()), reason::RESOURCE_INVALID)
            }
            Blocked::Claimed => {
                // Names nothing: the other Resource may live in a namespace that the reader may not see.
                let message = "another Resource acts on the same group of machines";
                (Progress::new(false, reason::GROUP_CLAIMED, message), reason::GROUP_CLAIMED)
            }
        };
        self.block_bookings(&Progress { reason: on_bookings, ..progress.clone() });
        let mut more = Vec::new();
        if progress.reason != reason::GROUP_CLAIMED {
            more.push(Draft::new("Stalled", true, progress.reason, progress.message.clone()));
        }
        let old = resource.status.clone().unwrap_or_default();
        let ledger = Ledger { holder: old.holder, released: old.released_locks, idle_since: old.idle_since };
        self.publish_resource(resource, &progress, None, &ledger, more);
        if resource.metadata.deletion_timestamp.is_some() && has_finalizer(resource) {
            self.remove_finalizer(EventType::Normal, "it acted on no machine".to_owned());
        }
    }

    /// What the group should be, and when that changes because the adoption grace ends.
    fn goal(
        &self,
        old: &ResourceStatus,
        group: &Group,
        hold: Option<&Hold>,
        manual: &ManualHold,
        ledger: &Ledger,
    ) -> (Goal, Option<Timestamp>) {
        if let Some(hold) = hold {
            return (Goal::Held(hold.lock()), None);
        }
        let stop = |stop| (Goal::Idle { stop }, None);
        match (manual, group.when_idle) {
            (ManualHold::Malformed(_), _) | (_, Some(WhenIdle::Keep)) => stop(false),
            (_, Some(WhenIdle::Stop)) => stop(true),
            // The end of a hold never waits for the grace.
            (_, None) if ledger.idle_since.is_some() => stop(true),
            (_, None) => {
                let seen = old.first_seen_at.as_deref().and_then(|text| instant::parse(text).ok());
                let grace_end = after(seen.unwrap_or(self.world.now), self.settings.adoption_grace);
                if self.world.now < grace_end {
                    (Goal::Idle { stop: false }, Some(grace_end))
                } else {
                    stop(true)
                }
            }
        }
    }

    /// What each machine needs; nothing where the group could not be observed.
    fn drive(&mut self, group: &Group, goal: &Goal, ledger: &Ledger) -> (Option<Drive>, Progress) {
        match self.world.observation {
            Observation::Seen(instances) => {
                let drive = drive(instances, goal, ledger, self.world.attempts, self.world.now);
                let progress = progress(&group.key, &drive.tally, goal);
                self.wake_for_machines(instances, &drive);
                (Some(drive), progress)
            }
            Observation::Failed { message, retry_at } => {
                self.wake.at(*retry_at);
                (None, Progress::new(false, reason::CLOUD_ERROR, message.clone()))
            }
            Observation::NotNeeded => {
                (None, Progress::new(false, reason::CLOUD_ERROR, "the group has not been observed"))
            }
        }
    }

    fn wake_for_windows(&mut self, grants: &[Grant], manual: &ManualHold) {
        for window in grants.iter().filter_map(|grant| grant.window) {
            self.wake.at(window.from);
            self.wake.at(window.until);
        }
        if let ManualHold::Held(hold) = manual {
            self.wake.at(hold.until);
        }
    }

    fn wake_for_machines(&mut self, instances: &[Instance], drive: &Drive) {
        self.wake.at_some(drive.tally.retry_at);
        self.wake.at_some(drive.tally.foreign_until);
        let last = self.world.attempts.last_unseen(instances);
        let sends = !drive.is_empty() && !self.settings.dry_run;
        if drive.tally.moving > 0 || last.is_some() || sends {
            let since = last.filter(|_| !sends).map(|last| elapsed(last, self.world.now));
            self.wake.after(poll_interval(since, self.settings.poll_shortest, self.settings.poll_longest));
        }
    }

    fn more_conditions(&mut self, tally: &Tally, grace_end: Option<Timestamp>) -> Vec<Draft> {
        let mut more = Vec::new();
        if let Some(end) = grace_end.filter(|_| tally.managed > 0 && tally.running > 0) {
            self.wake.at(end);
            let message = format!(
                "runs unbooked; stopped at {} unless booked, or when_idle is Keep",
                crate::hold::seconds(end)
            );
            more.push(Draft::new("IdleStopPending", true, "AdoptionGrace", message));
        }
        if !tally.owned.is_empty() {
            more.push(Draft::new("Unmanageable", true, "OwnedByOthers", progress::owned(tally)));
        }
        if !tally.malformed.is_empty() {
            more.push(Draft::new("LockMalformed", true, "LockMalformed", progress::malformed(tally)));
        }
        more
    }

    /// The trace of the original operator is cleared once status holds what it said.
    fn take_over(&mut self, manual: &ManualHold) {
        if let (ManualHold::Trace(trace), false) = (manual, self.settings.dry_run) {
            self.decision.clear_trace = Some(trace.lock.clone());
            self.note(
                EventType::Normal,
                "TakenOver",
                format!("the hold of {} until {} is kept in status now", trace.lock.user, trace.lock.until),
            );
        }
    }

    fn publish_bookings(&mut self, grants: &[Grant], hold: Option<&Hold>, progress: &Progress) {
        for booking in self.world.bookings {
            let found = self
                .live
                .iter()
                .zip(grants)
                .find(|(live, _)| Some(&live.uid) == booking.metadata.uid.as_ref());
            let (grant, standing) = match found {
                None => (None, Standing::Blocked(Progress::new(false, reason::SCHEDULED, ""))),
                Some((live, grant)) => {
                    let due = grant.window.is_some_and(|window| window.contains(self.world.now));
                    let holds = due && hold.is_some_and(|hold| hold.user == live.user);
                    let standing = if holds {
                        Standing::Holding(progress)
                    } else {
                        Standing::NotHolding { grant, holder: hold }
                    };
                    (Some(grant), standing)
                }
            };
            let status = self.status_of(booking, grant, &standing);
            push_booking(&mut self.decision, booking, status);
        }
    }

    /// Every Booking is told why its Resource does nothing for it.
    fn block_bookings(&mut self, why: &Progress) {
        for booking in self.world.bookings {
            let status = self.status_of(booking, None, &Standing::Blocked(why.clone()));
            push_booking(&mut self.decision, booking, status);
        }
    }

    fn status_of(&self, booking: &Booking, grant: Option<&Grant>, standing: &Standing<'_>) -> BookingStatus {
        match booking::validate(booking) {
            Ok(valid) => booking_status(booking, Some(&valid), grant, standing, self.world.now),
            Err(error) => booking_status(booking, None, None, &Standing::Invalid(&error), self.world.now),
        }
    }

    fn publish_resource(
        &mut self,
        resource: &Resource,
        progress: &Progress,
        tally: Option<&Tally>,
        ledger: &Ledger,
        more: Vec<Draft>,
    ) {
        let facts = ResourceFacts { progress, tally, ledger, more };
        let status = resource_status(resource, facts, self.world.now);
        if resource.status.as_ref() != Some(&status) {
            self.decision.events.extend(events::resource_events(resource.status.as_ref(), &status));
            self.decision.resource_status = Some(status);
        }
    }

    /// Sends the calls, unless this is a dry run. The finalizer comes before the first lock.
    fn send(&mut self, resource: &Resource, drive: Drive, goal: &Goal) {
        if self.settings.dry_run {
            return;
        }
        self.decision.calls = calls(drive, goal);
        if !has_finalizer(resource) && resource.metadata.deletion_timestamp.is_none() {
            self.decision.finalizer = Finalizer::Add;
        }
    }

    fn remove_finalizer(&mut self, type_: EventType, message: String) {
        self.decision.finalizer = Finalizer::Remove;
        self.note(type_, "Released", message);
    }

    fn note(&mut self, type_: EventType, reason: &'static str, message: String) {
        self.decision.events.push(Note { subject: Subject::Resource, type_, reason, message });
    }
}

fn push_booking(decision: &mut Decision, booking: &Booking, status: BookingStatus) {
    if booking.status.as_ref() == Some(&status) {
        return;
    }
    let uid = booking.metadata.uid.clone().unwrap_or_default();
    decision.events.extend(events::booking_events(&uid, booking.status.as_ref(), &status));
    decision.booking_statuses.push((uid, status));
}

fn has_finalizer(resource: &Resource) -> bool {
    resource.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Starts and stops first: a tag may wait, a machine that is due may not.
fn calls(drive: Drive, goal: &Goal) -> Vec<Call> {
    let mut calls = vec![Call::Start(drive.start), Call::Stop(drive.stop)];
    if let Goal::Held(lock) = goal {
        calls.push(Call::Lock(lock.clone(), drive.lock));
    }
    calls.extend(drive.unlock.into_iter().map(|(lock, ids)| Call::Unlock(lock, ids)));
    calls.retain(|call| !call.ids().is_empty());
    calls
}

impl Call {
    /// The machines it is for.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Start(ids) | Self::Stop(ids) | Self::Lock(_, ids) | Self::Unlock(_, ids) => ids,
        }
    }
}
