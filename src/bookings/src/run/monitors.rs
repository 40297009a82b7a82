//! The controller of ResourceMonitors.
//!
//! A pass creates the Resources first. Then it writes the status that says which groups had one. If the process dies
//! in between, the next pass finds that the Resources exist.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use booking_calendar::instant::after;
use booking_decision::EventType;
use booking_runtime::{
    Key,
    controller::{Context, Controller, Outcome},
    store::{Name, Opened},
    watch::Watches,
    write::{Created, WriteError},
};
use kube::{Resource as _, ResourceExt};

use super::{
    account_limit::AccountLimits,
    clouds::{self, OpenClouds},
    discovery::Discovery,
    objects::{MONITOR, Objects},
    observe::backoff,
};
use crate::{
    api::{Resource, ResourceMonitor},
    decide::{
        locations::Locations,
        monitors::{Creation, MonitorDecision, MonitorInput, Scan, decide_monitor, is_same_group, scan_due},
        subject::{Note, Subject},
    },
};

/// If a scan is under way, a pass asks again after this time.
const BUSY: Duration = Duration::from_secs(1);

/// Creates the Resources that ResourceMonitors ask for.
pub struct MonitorController {
    /// The family's objects.
    pub objects: Arc<Objects>,
    /// The clouds.
    pub clouds: Arc<OpenClouds>,
    /// The account slots.
    pub accounts: AccountLimits,
    /// The results of discovery scans.
    pub discovery: Discovery,
    /// Whether to create nothing. A new Resource would sooner or later stop machines, and a dry run must not.
    pub dry_run: bool,
}

/// The snapshot that a pass works on.
struct Snapshot {
    monitor: Arc<Opened<ResourceMonitor>>,
    /// All Resources of its namespace.
    resources: Vec<Arc<Opened<Resource>>>,
    locations: Arc<Locations>,
}

/// What the process remembers of a monitor: how many scans in a row failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FailedScans(u32);

impl Controller for MonitorController {
    const KIND: &'static str = MONITOR;
    type Memory = FailedScans;

    fn register(&self, watches: &mut Watches) {
        watches.kind(&self.objects.monitors).kind(&self.objects.resources);
    }

    async fn pass(&self, cx: &Context<'_>, key: &Key, failed: &mut FailedScans) -> Outcome {
        let Some(snapshot) = self.gather(key).filter(|_| !self.dry_run) else { return Outcome::Nothing };
        let Some(scan) = self.scan(cx, key, &snapshot, failed).await else {
            return Outcome::Done { wake_at: Some(after(cx.now(), BUSY)) };
        };
        let resources: Vec<&Resource> = snapshot.resources.iter().map(|resource| &***resource).collect();
        let decision = decide_monitor(&MonitorInput {
            monitor: &snapshot.monitor,
            resources: &resources,
            scan: &scan,
            locations: &snapshot.locations,
            now: cx.now(),
        });
        let wake_at = decision.wake_at;
        let mut told = vec![];
        let result = self.follow(cx, &snapshot, decision, &mut told).await;
        let subject = snapshot.monitor.object_ref(&());
        cx.publish(told.iter().map(|note| (note, subject.clone()))).await;
        Outcome::of(result, wake_at)
    }
}

impl MonitorController {
    fn gather(&self, key: &Key) -> Option<Snapshot> {
        let monitor = self.objects.monitors.get(&Name::new(&key.namespace, &key.name))?;
        let resources = self.objects.resources.in_namespace(&key.namespace);
        Some(Snapshot { monitor, resources, locations: self.objects.groups.now().locations.clone() })
    }

    /// Scans the cloud. None if another monitor's scan is under way or the account has no slot: the pass does not
    /// wait for either.
    async fn scan(
        &self,
        cx: &Context<'_>,
        key: &Key,
        snapshot: &Snapshot,
        failed: &mut FailedScans,
    ) -> Option<Scan> {
        let Some((due, location)) = scan_due(&snapshot.monitor, &snapshot.locations, cx.now()) else {
            return Some(Scan::NotDue);
        };
        let _slot = self.accounts.take(&clouds::key(&location, due.type_), key)?;
        let cloud = self.clouds.get(&location, due.type_).await;
        Some(match self.discovery.find(&cloud, due.interval, cx.clock()).await? {
            Ok((at, groups)) => {
                failed.0 = 0;
                Scan::Found { at, groups: (*groups).clone() }
            }
            Err(error) => {
                failed.0 = failed.0.saturating_add(1);
                let wait = backoff(&error).wait(failed.0);
                Scan::Failed { message: error.to_string(), retry_at: after(cx.now(), wait) }
            }
        })
    }

    /// Carries out a decision. Adds to `told` the Events about what was done.
    async fn follow(
        &self,
        cx: &Context<'_>,
        snapshot: &Snapshot,
        decision: MonitorDecision,
        told: &mut Vec<Note>,
    ) -> Result<(), WriteError> {
        let resources = cx.writer(&self.objects.resources);
        let mut creations = BTreeMap::new();
        for resource in &decision.create {
            let tag = resource.spec.tag.clone().unwrap_or_default();
            let name = resource.name_any();
            let creation = match resources.create("resource_create", resource).await {
                Ok(Created::New) => {
                    let message = format!("created Resource {name} for group {tag:?}");
                    told.push(note(EventType::Normal, "Discovered", message));
                    Creation::New
                }
                Ok(Created::Exists(it)) if is_same_group(&it, resource, &snapshot.locations) => {
                    Creation::Exists
                }
                Ok(Created::Exists(_)) => Creation::Failed(format!("{name} stands for another group")),
                // If a policy forbids one Resource, the others are created all the same.
                Err(WriteError::Refused(why)) => Creation::Failed(why),
                Err(error) => return Err(error),
            };
            creations.insert(tag, creation);
        }
        if let Some(status) = decision.status_after(&creations) {
            cx.writer(&self.objects.monitors).status("monitor_status", &snapshot.monitor, &status).await?;
        }
        told.extend(decision.events);
        Ok(())
    }
}

fn note(type_: EventType, reason: &'static str, message: String) -> Note {
    Note { subject: Subject::Monitor, type_, reason, message }
}
