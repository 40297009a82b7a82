//! A pass over a ResourceMonitor.
//!
//! Resources come first, then the status that says which groups had one: cut off in between, the next pass finds that
//! they exist.

use booking_api::Resource;
use booking_core::{
    EventType, MonitorDecision, MonitorWorld, Note, Subject, decide_monitor,
    instant::after,
    monitor::{Sweep, sweep_due},
};
use kube::{Resource as _, ResourceExt};

use super::{Outcome, Pass};
use crate::controller::{
    Key,
    cache::MonitorSnapshot,
    observe::backoff,
    write::{Created, Leave, WriteError},
};

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
        let sweep = self.sweep(&snapshot, failed_before).await;
        let resources: Vec<&Resource> = snapshot.resources.iter().map(AsRef::as_ref).collect();
        let decision = decide_monitor(&MonitorWorld {
            monitor: &snapshot.monitor,
            resources: &resources,
            sweep: &sweep,
            region: &self.settings.region,
            supported: &[&self.provider.key().service],
            now: self.clock.now(),
        });
        let wake_at = decision.wake_at;
        let mut told = vec![];
        let result = self.discover(key, &snapshot, decision, leave, &mut told).await;
        let subject = snapshot.monitor.object_ref(&());
        self.reporting.publish(told.iter().map(|note| (note, subject.clone())), leave).await;
        Some(Outcome { wake_at, result })
    }

    async fn sweep(&self, snapshot: &MonitorSnapshot, failed_before: &mut u32) -> Sweep {
        let now = self.clock.now();
        let Some(due) = sweep_due(&snapshot.monitor, &[&self.provider.key().service], now) else {
            return Sweep::NotDue;
        };
        match self.sweeps.find(self.provider.as_ref(), due.interval, now).await {
            Ok((at, groups)) => {
                *failed_before = 0;
                Sweep::Found { at, groups: (*groups).clone() }
            }
            Err(error) => {
                *failed_before = failed_before.saturating_add(1);
                let wait = backoff(&error).wait(*failed_before);
                Sweep::Failed { message: error.to_string(), retry_at: after(self.clock.now(), wait) }
            }
        }
    }

    /// Fills `told` with what people are to be told of what was done.
    async fn discover(
        &self,
        key: &Key,
        snapshot: &MonitorSnapshot,
        decision: MonitorDecision,
        leave: &Leave,
        told: &mut Vec<Note>,
    ) -> Result<(), WriteError> {
        let writer = self.writer(key, leave);
        for resource in &decision.create {
            let tag = resource.spec.tag.clone().unwrap_or_default();
            let name = resource.name_any();
            match writer.create_resource(resource).await? {
                Created::New => {
                    told.push(note(
                        EventType::Normal,
                        "Discovered",
                        format!("created Resource {name} for {tag:?}"),
                    ));
                }
                Created::Exists(existing) if existing.spec.tag == resource.spec.tag => {}
                Created::Exists(_) => {
                    let message =
                        format!("group {tag:?} has no Resource: one {name} is there for another group");
                    told.push(note(EventType::Warning, "NameTaken", message));
                }
            }
        }
        if let Some(status) = &decision.status {
            writer.monitor_status(&snapshot.monitor, status).await?;
        }
        told.extend(decision.events);
        Ok(())
    }
}

fn note(type_: EventType, reason: &'static str, message: String) -> Note {
    Note { subject: Subject::Monitor, type_, reason, message }
}
