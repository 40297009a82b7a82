//! A pass over a ResourceMonitor.
//!
//! Resources come first, then the status that says which groups had one: cut off in between, the next pass finds that
//! they exist.

use std::{collections::BTreeMap, time::Duration};

use booking_calendar::instant::after;
use booking_decision::EventType;
use bookings::{
    api::Resource,
    decide::{
        locations::Places,
        monitors::{
            Creation, MonitorDecision, MonitorWorld, Sweep, decide_monitor, is_same_group, sweep_due,
        },
        subject::{Note, Subject},
    },
};
use kube::{Resource as _, ResourceExt};

use super::{Outcome, Pass};
use crate::{
    clouds,
    controller::{
        Key,
        cache::MonitorSnapshot,
        observe::backoff,
        write::{Created, Leave, WriteError},
    },
};

/// How long until a sweep under way is asked for again.
const BUSY: Duration = Duration::from_secs(1);

impl Pass {
    /// Decides about a ResourceMonitor and carries it out; none if there is none. `failed_before` counts the sweeps
    /// in a row that failed.
    pub(super) async fn reconcile_monitor(
        &self,
        key: &Key,
        leave: &Leave,
        failed_before: &mut u32,
    ) -> Option<Outcome> {
        // To create a Resource is to stop machines, some time: a dry run does neither.
        let snapshot = self.cache.monitor_snapshot(key).filter(|_| !self.settings.dry_run)?;
        let places = self.places.borrow().clone();
        let Some(sweep) = self.sweep(&snapshot, &places, failed_before).await else {
            let wake_at = Some(after(self.clock.now(), BUSY));
            return Some(Outcome { wake_at, result: Ok(()) });
        };
        let resources: Vec<&Resource> = snapshot.resources.iter().map(AsRef::as_ref).collect();
        let decision = decide_monitor(&MonitorWorld {
            monitor: &snapshot.monitor,
            resources: &resources,
            sweep: &sweep,
            places: &places,
            now: self.clock.now(),
        });
        let wake_at = decision.wake_at;
        let mut told = vec![];
        let result = self.discover(key, &snapshot, (&places, decision), leave, &mut told).await;
        let subject = snapshot.monitor.object_ref(&());
        self.reporting.publish(told.iter().map(|note| (note, subject.clone())), leave).await;
        Some(Outcome { wake_at, result })
    }

    /// None while another monitor's sweep is under way, or the account has no place: it is not waited for here.
    async fn sweep(
        &self,
        snapshot: &MonitorSnapshot,
        places: &Places,
        failed_before: &mut u32,
    ) -> Option<Sweep> {
        let Some((due, place)) = sweep_due(&snapshot.monitor, places, self.clock.now()) else {
            return Some(Sweep::NotDue);
        };
        let _visit =
            self.clouds.enter(&clouds::key(&place, due.type_), &Key::of_monitor(&snapshot.monitor))?;
        let cloud = self.clouds.get(&place, due.type_).await;
        Some(match self.sweeps.find(&cloud, due.interval, &self.clock).await? {
            Ok((at, groups)) => {
                *failed_before = 0;
                Sweep::Found { at, groups: (*groups).clone() }
            }
            Err(error) => {
                *failed_before = failed_before.saturating_add(1);
                let wait = backoff(&error).wait(*failed_before);
                Sweep::Failed { message: error.to_string(), retry_at: after(self.clock.now(), wait) }
            }
        })
    }

    /// Fills `told` with what people are to be told of what was done.
    async fn discover(
        &self,
        key: &Key,
        snapshot: &MonitorSnapshot,
        (places, decision): (&Places, MonitorDecision),
        leave: &Leave,
        told: &mut Vec<Note>,
    ) -> Result<(), WriteError> {
        let writer = self.writer(key, leave);
        let mut creations = BTreeMap::new();
        for resource in &decision.create {
            let tag = resource.spec.tag.clone().unwrap_or_default();
            let name = resource.name_any();
            let creation = match writer.create_resource(resource).await {
                Ok(Created::New) => {
                    let message = format!("created Resource {name} for group {tag:?}");
                    told.push(note(EventType::Normal, "Discovered", message));
                    Creation::New
                }
                Ok(Created::Exists(it)) if is_same_group(&it, resource, places) => Creation::Exists,
                Ok(Created::Exists(_)) => Creation::Failed(format!("{name} stands for another group")),
                // The others are not to wait for one that a policy forbids.
                Err(WriteError::Refused(why)) => Creation::Failed(why),
                Err(error) => return Err(error),
            };
            creations.insert(tag, creation);
        }
        if let Some(status) = decision.status_after(&creations) {
            writer.monitor_status(&snapshot.monitor, &status).await?;
        }
        told.extend(decision.events);
        Ok(())
    }
}

fn note(type_: EventType, reason: &'static str, message: String) -> Note {
    Note { subject: Subject::Monitor, type_, reason, message }
}
