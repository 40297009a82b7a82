//! Monitors on a cloud whose groups come and go.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Resource, ResourceMonitor, ResourceMonitorSpec, ResourceMonitorStatus, ResourceSpec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::decide::locations::Locations;

fn locations() -> Locations {
    Locations::new("", "eu-central-1", vec![])
}

struct World {
    monitor: ResourceMonitor,
    resources: BTreeMap<String, Resource>,
    groups: Groups,
    now: Timestamp,
    told: Vec<&'static str>,
    /// Groups whose Resources the API server refuses.
    refused: BTreeSet<&'static str>,
}

impl World {
    fn new() -> Self {
        let spec = ResourceMonitorSpec { type_: Some("ec2".into()), ..Default::default() };
        let mut monitor = ResourceMonitor::new("all", spec);
        monitor.metadata.namespace = Some("team".into());
        monitor.metadata.generation = Some(1);
        let now = "2027-03-01T08:00:00Z".parse().unwrap();
        Self {
            monitor,
            resources: BTreeMap::new(),
            groups: Groups::new(),
            now,
            told: vec![],
            refused: BTreeSet::new(),
        }
    }

    fn machines(&mut self, tag: &str, ids: &[&str]) {
        let ids: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            self.groups.remove(tag)
        } else {
            self.groups.insert(tag.into(), ids)
        };
    }

    fn decide(&self, scan: &Scan) -> MonitorDecision {
        let resources: Vec<&Resource> = self.resources.values().collect();
        decide_monitor(&MonitorInput {
            monitor: &self.monitor,
            resources: &resources,
            scan,
            locations: &locations(),
            now: self.now,
        })
    }

    /// Runs a pass that is cut off after `most` writes. Returns the names of the Resources that it created.
    fn pass_until(&mut self, most: usize) -> Vec<String> {
        let found = || Scan::Found { at: self.now, groups: self.groups.clone() };
        let scan = scan_due(&self.monitor, &locations(), self.now).map_or(Scan::NotDue, |_| found());
        let mut decision = self.decide(&scan);
        let (mut created, mut creations) = (vec![], BTreeMap::new());
        for resource in std::mem::take(&mut decision.create) {
            if created.len() == most {
                return created;
            }
            let name = resource.metadata.name.clone().unwrap();
            let tag = resource.spec.tag.clone().unwrap();
            if self.refused.contains(tag.as_str()) {
                creations.insert(tag, Creation::Failed("no".into()));
                continue;
            }
            creations.insert(tag, Creation::New);
            created.push(name.clone());
            self.resources.insert(name, resource);
        }
        if created.len() < most
            && let Some(status) = decision.status_after(&creations)
        {
            self.monitor.status = Some(status);
            self.told.extend(decision.events.into_iter().map(|note| note.reason));
        }
        created
    }

    /// Lets a minute pass, then runs a pass.
    fn scan(&mut self) -> Vec<String> {
        self.now += SignedDuration::from_mins(1);
        self.pass_until(usize::MAX)
    }

    fn status(&self) -> &ResourceMonitorStatus {
        self.monitor.status.as_ref().unwrap()
    }

    fn ready(&self) -> (&str, &str) {
        let ready = &self.status().conditions[0];
        (&ready.reason, &ready.message)
    }
}

#[test]
fn each_group_gets_one_resource_that_belongs_to_nobody_and_says_who_found_it() {
    let mut world = World::new();
    world.machines("analytics", &["i-1", "i-2"]);
    world.machines("Web *", &["i-3"]);
    assert_eq!(world.scan(), ["ec2.web-xc288d14b595f", "ec2.analytics"]);
    let resource = &world.resources["ec2.analytics"];
    let expected =
        ResourceSpec { type_: Some("ec2".into()), tag: Some("analytics".into()), ..Default::default() };
    assert_eq!(resource.spec, expected);
    assert_eq!(resource.metadata.owner_references, None);
    assert_eq!(resource.metadata.annotations.as_ref().unwrap()[crate::api::DISCOVERED_BY], "all");
    assert_eq!(world.resources["ec2.web-xc288d14b595f"].spec.tag.as_deref(), Some("Web *"));
    assert_eq!(world.ready(), ("Swept", "found 2 groups"));
    let status = world.status();
    assert_eq!((status.found, status.created, status.vanished), (Some(2), Some(2), Some(0)));
    assert_eq!(status.last_sweep.as_deref(), Some("2027-03-01T08:01:00Z"));
    // and the next scan finds nothing to do
    assert!(world.scan().is_empty());
    assert_eq!(world.status().created, Some(2));
}

#[test]
fn a_group_that_has_a_resource_of_whatever_name_gets_no_other() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    let spec =
        ResourceSpec { type_: Some("ec2".into()), tag: Some("analytics".into()), ..Default::default() };
    world.resources.insert("mine".into(), Resource::new("mine", spec.clone()));
    assert!(world.scan().is_empty());
    // but a Resource of another region or type is another group's
    for other in [
        ResourceSpec { region: Some("eu-west-1".into()), ..spec.clone() },
        ResourceSpec { type_: Some("rds".into()), ..spec.clone() },
        ResourceSpec { role_arn: Some("arn:aws:iam::123456789012:role/x".into()), ..spec.clone() },
    ] {
        let mut world = World::new();
        world.machines("analytics", &["i-1"]);
        world.resources.insert("other".into(), Resource::new("other", other));
        assert_eq!(world.scan(), ["ec2.analytics"]);
    }
}

#[test]
fn a_deleted_resource_stays_deleted_until_its_machines_change() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.scan();
    world.resources.clear();
    for _ in 0..3 {
        assert!(world.scan().is_empty());
    }
    assert_eq!(world.status().dismissed[0].tag, "analytics");
    assert_eq!(world.told, ["Dismissed"]);
    // when the group vanishes and comes back unchanged, then its Resource stays deleted
    world.machines("analytics", &[]);
    world.scan();
    world.machines("analytics", &["i-1"]);
    assert!(world.scan().is_empty());
    // when a machine is added, then the Resource is created again
    world.machines("analytics", &["i-1", "i-2"]);
    assert_eq!(world.scan(), ["ec2.analytics"]);
    assert!(world.status().dismissed.is_empty());
    assert!(world.scan().is_empty());
}

#[test]
fn a_deleted_resource_comes_back_when_its_entry_is_removed_or_somebody_creates_it() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.scan();
    let made = world.resources.remove("ec2.analytics").unwrap();
    world.scan();
    world.monitor.status.as_mut().unwrap().dismissed.clear();
    assert_eq!(world.scan(), ["ec2.analytics"]);
    // given it is deleted once more, when a user creates it, then it is known again
    world.resources.clear();
    world.scan();
    world.resources.insert("ec2.analytics".into(), made);
    world.scan();
    assert!(world.status().dismissed.is_empty());
    assert_eq!(world.status().known, ["analytics"]);
}

#[test]
fn a_group_that_vanishes_is_said_to_and_its_resource_left() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.scan();
    world.machines("analytics", &[]);
    for _ in 0..2 {
        assert!(world.scan().is_empty());
        assert!(world.ready().1.ends_with("the machines of ec2.analytics are gone"), "{}", world.ready().1);
    }
    assert_eq!((world.status().found, world.status().vanished), (Some(0), Some(1)));
    // when its Resource is deleted now, then nothing is remembered, and a new group of the tag is found
    world.resources.clear();
    world.scan();
    world.machines("analytics", &["i-9"]);
    assert_eq!(world.scan(), ["ec2.analytics"]);
}

#[test]
fn a_sweep_that_is_cut_off_after_any_write_is_made_up_for_by_the_next() {
    for most in 0..4 {
        let mut world = World::new();
        for tag in ["a", "b", "c"] {
            world.machines(tag, &["i-1"]);
        }
        world.pass_until(most);
        world.scan();
        assert_eq!(world.resources.len(), 3, "cut off after {most}");
        assert!(world.status().dismissed.is_empty());
        assert_eq!(world.status().known, ["a", "b", "c"]);
    }
}

#[test]
fn sweeps_come_once_per_interval_also_after_an_odd_time() {
    let mut world = World::new();
    world.monitor.spec.interval_seconds = Some(300);
    assert!(scan_due(&world.monitor, &locations(), world.now).is_some());
    world.pass_until(9);
    world.now += SignedDuration::from_secs(299);
    assert!(scan_due(&world.monitor, &locations(), world.now).is_none());
    let decision = world.decide(&Scan::NotDue);
    assert_eq!((decision.wake_at, decision.status), (Some("2027-03-01T08:05:00Z".parse().unwrap()), None));
    world.now += SignedDuration::from_secs(1);
    assert!(scan_due(&world.monitor, &locations(), world.now).is_some());
    for odd in ["soon", "2999-01-01T00:00:00Z"] {
        world.monitor.status.as_mut().unwrap().last_sweep = Some(odd.into());
        assert!(scan_due(&world.monitor, &locations(), world.now).is_some(), "{odd}");
    }
}

#[test]
fn a_cloud_that_refuses_is_told_of_and_changes_nothing_else() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.scan();
    let retry_at = world.now + SignedDuration::from_secs(7);
    let decision = world.decide(&Scan::Failed { message: "UnauthorizedOperation: no".into(), retry_at });
    assert_eq!((decision.wake_at, decision.create), (Some(retry_at), vec![]));
    let status = decision.status.unwrap();
    assert_eq!((status.conditions[0].reason.as_str(), &status.known), ("CloudError", &world.status().known));
    assert_eq!(decision.events[0].reason, "CloudError");
}

#[test]
fn a_spec_that_makes_no_sense_or_is_not_set_up_sweeps_nothing_and_says_so() {
    type Edit = fn(&mut ResourceMonitorSpec);
    let edits: [(Edit, &str, &str); 4] = [
        (|spec| spec.type_ = None, "Invalid", "spec.type: \"\" is unknown; known: ec2, rds"),
        (|spec| spec.type_ = Some("gcp".into()), "Invalid", "spec.type: \"gcp\" is unknown"),
        (|spec| spec.interval_seconds = Some(9), "Invalid", "spec.interval_seconds: 9 is not allowed"),
        (
            |spec| spec.region = Some("us-east-1".into()),
            "NotAllowed",
            "spec.region: \"us-east-1\" is not allowed for namespace \"team\" with this role; allowed: eu-central-1",
        ),
    ];
    for (edit, reason, says) in edits {
        let mut world = World::new();
        edit(&mut world.monitor.spec);
        world.machines("analytics", &["i-1"]);
        assert!(world.scan().is_empty());
        assert_eq!(world.ready().0, reason);
        assert!(world.ready().1.starts_with(says), "{}", world.ready().1);
        assert_eq!(world.told, [reason]);
        assert_eq!(world.decide(&Scan::NotDue).wake_at, None);
    }
}

#[test]
fn a_group_whose_resource_is_refused_is_named_and_neither_forgotten_nor_taken_for_deleted() {
    let mut world = World::new();
    for tag in ["a", "b", "c"] {
        world.machines(tag, &["i-1"]);
    }
    world.refused.insert("b");
    for round in 0..3 {
        world.scan();
        assert_eq!(world.ready(), ("Swept", "found 3 groups; without a Resource: \"b\": no"), "{round}");
        assert_eq!((world.status().created, world.status().dismissed.len()), (Some(2), 0));
    }
    world.refused.clear();
    assert_eq!(world.scan(), ["ec2.b"]);
    assert_eq!(world.ready().1, "found 3 groups");
}

#[test]
fn what_is_remembered_of_one_kind_of_machines_does_not_count_for_another() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.scan();
    world.resources.clear();
    world.monitor.status.as_mut().unwrap().type_ = Some("rds".into());
    assert_eq!(world.scan(), ["ec2.analytics"]);
    assert_eq!(world.status().type_.as_deref(), Some("ec2"));
}

#[test]
fn a_spec_that_was_mended_is_swept_for_at_once() {
    let mut world = World::new();
    world.monitor.spec.interval_seconds = Some(86_400);
    world.scan();
    world.monitor.metadata.generation = Some(2);
    assert!(scan_due(&world.monitor, &locations(), world.now).is_some());
    world.pass_until(9);
    assert!(scan_due(&world.monitor, &locations(), world.now).is_none());
}

#[test]
fn one_that_is_being_deleted_does_nothing() {
    let mut world = World::new();
    world.machines("analytics", &["i-1"]);
    world.monitor.metadata.deletion_timestamp = Some(Time(world.now));
    assert!(scan_due(&world.monitor, &locations(), world.now).is_none());
    assert_eq!(
        world.decide(&Scan::Found { at: world.now, groups: world.groups.clone() }),
        MonitorDecision::default()
    );
}

#[test]
fn of_very_many_dismissed_groups_the_newest_are_remembered() {
    let mut world = World::new();
    for number in 0..1100 {
        world.machines(&format!("g{number:04}"), &["i-1"]);
    }
    world.scan();
    world.resources.clear();
    world.scan();
    assert_eq!(world.status().dismissed.len(), 1000);
    assert_eq!(world.status().dismissed.last().unwrap().tag, "g1099");
    // Those that have vanished make room first.
    world.groups.retain(|tag, _| tag.as_str() != "g0999");
    world.machines("g2000", &["i-1"]);
    world.scan();
    world.resources.clear();
    world.scan();
    assert!(world.status().dismissed.iter().all(|entry| entry.tag != "g0999"));
}
