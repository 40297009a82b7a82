//! The decision about one ResourceMonitor.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::api::{
    DISCOVERED_BY, DismissedGroup, Resource, ResourceMonitor, ResourceMonitorStatus, ResourceSpec,
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    Groups, Scan,
    name::resource_name,
    spec::{self, ValidMonitor},
};
use crate::decide::{
    groups::{events::ready_warning, group, progress::reason},
    locations::{Location, Locations},
    subject::{Note, Subject},
};
use booking_calendar::instant;
use booking_decision::{
    EventType, InvalidSpec,
    condition::{Draft, list, settle},
    names,
};

/// The most groups of which the monitor remembers that they had a Resource. The API has the same limit.
const KNOWN_MAX: usize = 20_000;
/// The most groups of which the monitor remembers that a user deleted their Resource.
const DISMISSED_MAX: usize = 1000;

/// The shortest time between two discovery scans.
const SOONEST: Duration = Duration::from_secs(1);

/// The result of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was created.
    New,
    /// It existed already, but the store did not show it yet.
    Exists,
    /// The API server refused it, or its name is taken.
    Failed(String),
}

impl MonitorDecision {
    /// The status to write after the results of the creations are known, by tag.
    #[must_use]
    pub fn status_after(&self, creations: &BTreeMap<String, Creation>) -> Option<ResourceMonitorStatus> {
        let mut status = self.status.clone()?;
        let is_there = |creation: &Creation| !matches!(creation, Creation::Failed(_));
        status.known.extend(creations.iter().filter(|(_, it)| is_there(it)).map(|(tag, _)| tag.clone()));
        status.known.sort();
        status.known.truncate(KNOWN_MAX);
        let new = creations.values().filter(|creation| **creation == Creation::New).count();
        let new = i64::try_from(new).unwrap_or(i64::MAX);
        status.created = Some(status.created.unwrap_or_default().saturating_add(new));
        let failed: Vec<String> = creations
            .iter()
            .filter_map(|(tag, creation)| match creation {
                Creation::Failed(why) => Some(format!("{tag:?}: {why}")),
                _ => None,
            })
            .collect();
        if !failed.is_empty() {
            for ready in status.conditions.iter_mut().filter(|condition| condition.type_ == "Ready") {
                ready.message =
                    format!("{}; without a Resource: {}", ready.message, list(failed.iter().cloned()));
            }
        }
        Some(status)
    }
}

/// Whether two Resources stand for the same machines.
pub fn is_same_group(one: &Resource, two: &Resource, locations: &Locations) -> bool {
    let key = |resource| group::validate(resource, locations).ok().map(|group| group.key);
    key(one).is_some() && key(one) == key(two)
}

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct MonitorInput<'a> {
    /// The ResourceMonitor.
    pub monitor: &'a ResourceMonitor,
    /// All Resources of its namespace.
    pub resources: &'a [&'a Resource],
    /// The result of the discovery scan, if one was due.
    pub scan: &'a Scan,
    /// The accounts and regions that namespaces may use.
    pub locations: &'a Locations,
    /// The time.
    pub now: Timestamp,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitorDecision {
    /// Resources to create. If one exists already, that is as good.
    pub create: Vec<Resource>,
    /// The status to write after these exist, if it changes.
    pub status: Option<ResourceMonitorStatus>,
    /// Events to publish.
    pub events: Vec<Note>,
    /// When to decide again, if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

/// Which machines to scan for now, and where. None if no scan is due.
pub fn scan_due<'a>(
    monitor: &'a ResourceMonitor,
    locations: &Locations,
    now: Timestamp,
) -> Option<(ValidMonitor<'a>, Location)> {
    let valid = spec::validate(monitor).ok()?;
    let location = spec::location(monitor, locations).ok()?;
    let is_going = monitor.metadata.deletion_timestamp.is_some();
    let seen = monitor.status.as_ref().and_then(|status| status.observed_generation);
    // If the spec was repaired, the conditions are updated at once.
    let is_due = seen != monitor.metadata.generation || next_scan(monitor, valid.interval, now) <= now;
    (!is_going && is_due).then_some((valid, location))
}

/// When the next scan is due. A `last_sweep` that is invalid or in the future is ignored.
fn next_scan(monitor: &ResourceMonitor, interval: Duration, now: Timestamp) -> Timestamp {
    let last = monitor.status.as_ref().and_then(|status| instant::parse(status.last_sweep.as_deref()?).ok());
    last.filter(|last| *last <= now).map_or(now, |last| instant::after(last, interval))
}

/// Decides about a ResourceMonitor.
pub fn decide_monitor(input: &MonitorInput<'_>) -> MonitorDecision {
    if input.monitor.metadata.deletion_timestamp.is_some() {
        return MonitorDecision::default();
    }
    let valid = match spec::validate(input.monitor) {
        Ok(valid) => valid,
        Err(error) => return refuse(input, &error),
    };
    let location = match spec::location(input.monitor, input.locations) {
        Ok(location) => location,
        Err(error) => return stall(input, reason::NOT_ALLOWED, &error.to_string()),
    };
    match input.scan {
        Scan::NotDue => MonitorDecision {
            wake_at: Some(next_scan(input.monitor, valid.interval, input.now)),
            ..MonitorDecision::default()
        },
        Scan::Failed { message, retry_at } => {
            let draft = Draft::new("Ready", false, reason::CLOUD_ERROR, message.clone());
            let old = input.monitor.status.clone().unwrap_or_default();
            MonitorDecision { wake_at: Some(*retry_at), ..publish(input, old, vec![draft]) }
        }
        Scan::Found { at, groups } => take_in(input, &valid, &location, (*at, groups)),
    }
}

fn refuse(input: &MonitorInput<'_>, error: &InvalidSpec) -> MonitorDecision {
    stall(input, reason::INVALID, &error.to_string())
}

fn stall(input: &MonitorInput<'_>, why: &'static str, message: &str) -> MonitorDecision {
    let drafts = vec![Draft::new("Ready", false, why, message), Draft::new("Stalled", true, why, message)];
    publish(input, input.monitor.status.clone().unwrap_or_default(), drafts)
}

fn take_in(
    input: &MonitorInput<'_>,
    valid: &ValidMonitor<'_>,
    location: &Location,
    (at, groups): (Timestamp, &Groups),
) -> MonitorDecision {
    let mut old = input.monitor.status.clone().unwrap_or_default();
    if old.type_.as_deref().is_some_and(|type_| type_ != valid.type_) {
        // Groups of other machines are other groups.
        old = ResourceMonitorStatus { conditions: old.conditions, ..ResourceMonitorStatus::default() };
    }
    let there = resources_by_tag(input, valid.type_, location);
    let mut dismissed = still_dismissed(&old.dismissed, groups, &there);
    let was_known: BTreeSet<&String> = old.known.iter().collect();
    let (mut create, mut events) = (vec![], vec![]);
    for (tag, machines) in groups.iter().filter(|(tag, _)| !there.contains_key(tag.as_str())) {
        if dismissed.iter().any(|entry| entry.tag == *tag) {
            continue;
        }
        // The group is known, nobody dismissed it, and its machines are the same: a person has deleted its Resource.
        if was_known.contains(tag) {
            let since = instant::seconds(input.now);
            dismissed.push(DismissedGroup { tag: tag.clone(), machines: digest(machines), since });
            events.push(told_of_dismissal(tag));
        } else {
            create.push(resource(input, valid.type_, tag, location));
        }
    }
    drop_surplus(&mut dismissed, groups);
    let known = groups.keys().filter(|tag| there.contains_key(tag.as_str())).take(KNOWN_MAX).cloned();
    let vanished =
        there.iter().filter(|(tag, resource)| !groups.contains_key(**tag) && is_discovered(resource));
    let vanished: Vec<&Resource> = vanished.map(|(_, resource)| *resource).collect();
    let status = ResourceMonitorStatus {
        type_: Some(valid.type_.to_owned()),
        last_sweep: Some(instant::seconds(at)),
        found: Some(count(groups.len())),
        created: Some(old.created.unwrap_or_default()),
        vanished: Some(count(vanished.len())),
        known: known.collect(),
        dismissed,
        ..old
    };
    let mut decision = publish(input, status, vec![found(groups, &vanished)]);
    decision.events.extend(events);
    decision.create = create;
    // A scan that others made may be older; never at once, because the same one would serve again.
    decision.wake_at = Some(instant::after(at, valid.interval).max(instant::after(input.now, SOONEST)));
    decision
}

/// The groups that stay dismissed: they have no Resource, and their machines are the same. A group whose machines
/// changed is another group.
fn still_dismissed(
    dismissed: &[DismissedGroup],
    groups: &Groups,
    there: &BTreeMap<&str, &Resource>,
) -> Vec<DismissedGroup> {
    let is_same = |entry: &&DismissedGroup| {
        let as_it_was = groups.get(&entry.tag).is_none_or(|machines| digest(machines) == entry.machines);
        as_it_was && !there.contains_key(entry.tag.as_str())
    };
    dismissed.iter().filter(is_same).cloned().collect()
}

/// Keeps at most [`DISMISSED_MAX`] entries. Entries of groups that have vanished go first: if such a group came back
/// with other machines, it would be discovered anew anyway.
fn drop_surplus(dismissed: &mut Vec<DismissedGroup>, groups: &Groups) {
    let mut surplus = dismissed.len().saturating_sub(DISMISSED_MAX);
    dismissed.retain(|entry| {
        let goes = surplus > 0 && !groups.contains_key(&entry.tag);
        surplus -= usize::from(goes);
        !goes
    });
    dismissed.drain(..surplus);
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn found(groups: &Groups, vanished: &[&Resource]) -> Draft {
    let message = match groups.len() {
        0 => "no machine carries resource-booking-managed=true and resource-booking-application".to_owned(),
        1 => "found one group".to_owned(),
        many => format!("found {many} groups"),
    };
    if vanished.is_empty() {
        return Draft::new("Ready", true, "Swept", message);
    }
    let names = list(vanished.iter().map(|resource| resource.name_any()));
    Draft::new("Ready", true, "Swept", format!("{message}; the machines of {names} are gone"))
}

fn told_of_dismissal(tag: &str) -> Note {
    let message = format!(
        "the Resource of group {tag:?} was deleted, and is not created again before its machines change; remove \
         the entry from status.dismissed to have it back"
    );
    Note { subject: Subject::Monitor, type_: EventType::Normal, reason: "Dismissed", message }
}

/// The Resources for machines of a type in a location, by tag.
fn resources_by_tag<'a>(
    input: &MonitorInput<'a>,
    type_: &str,
    location: &Location,
) -> BTreeMap<&'a str, &'a Resource> {
    let resources = input.resources.iter().copied().filter(|resource| {
        group::validate(resource, input.locations).is_ok_and(|group| {
            group.key.type_ == type_
                && group.key.region == location.region
                && group.key.account == location.account
        })
    });
    resources.filter_map(|resource| Some((resource.spec.tag.as_deref()?, resource))).collect()
}

fn is_discovered(resource: &Resource) -> bool {
    resource.annotations().contains_key(DISCOVERED_BY)
}

fn digest(machines: &BTreeSet<String>) -> String {
    names::digest(&machines.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
}

fn resource(input: &MonitorInput<'_>, type_: &str, tag: &str, location: &Location) -> Resource {
    let monitor = input.monitor;
    let spec = ResourceSpec {
        type_: Some(type_.to_owned()),
        tag: Some(tag.to_owned()),
        region: monitor.spec.region.clone(),
        role_arn: monitor.spec.role_arn.clone(),
        ..ResourceSpec::default()
    };
    let abroad = Some(location).filter(|location| !input.locations.is_own(location));
    let mut resource = Resource::new(&resource_name(type_, tag, abroad), spec);
    resource.metadata.namespace = monitor.namespace();
    resource.annotations_mut().insert(DISCOVERED_BY.to_owned(), monitor.name_any());
    resource
}

fn publish(input: &MonitorInput<'_>, status: ResourceMonitorStatus, drafts: Vec<Draft>) -> MonitorDecision {
    let generation = input.monitor.metadata.generation;
    let old = input.monitor.status.as_ref();
    let known = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let conditions = settle(known, drafts, generation, input.now);
    let status = ResourceMonitorStatus { observed_generation: generation, conditions, ..status };
    let mut decision = MonitorDecision::default();
    if old == Some(&status) {
        return decision;
    }
    let reported = [reason::INVALID, reason::NOT_ALLOWED, reason::CLOUD_ERROR];
    decision.events.extend(ready_warning(Subject::Monitor, known, &status.conditions, &reported));
    decision.status = Some(status);
    decision
}
