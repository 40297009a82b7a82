//! Databases, and accounts and regions other than the operator's own.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use booking_cloud::{Aws, Cloud, CloudError, CloudKey, Clouds, Instance, Mutation, Provider, Results, Tag};
use booking_decision::Permit;
use bookings::{
    api::{Resource, ResourceSpec, WhenIdle},
    decide::groups::machine::{TAG_APPLICATION, TAG_LOCKED_BY},
};
use testbed::{
    ec2::{AddInstances, InstanceState, SettingsPatch},
    patience::patient,
    rds::{AddDbCluster, AddDbInstance},
};
use tokio_util::sync::CancellationToken;

use crate::common::{World, aws, ec2, in_ms, soon, the_hour};

const ROLE: &str = "arn:aws:iam::222222222222:role/booking";

fn rds(tag: &str) -> ResourceSpec {
    ResourceSpec { type_: Some("rds".into()), when_idle: Some(WhenIdle::Stop), ..ec2(tag) }
}

fn status_of(world: &World, name: &str) -> String {
    world.ec2.world().db_instances().into_iter().find(|db| db.identifier == name).unwrap().status
}

#[tokio::test]
async fn databases_are_started_locked_and_stopped_as_machines_are() {
    // given a DB instance and a DB cluster of one group
    let world = World::new("databases").await;
    let add = |name: &str| AddDbInstance::new(name).tag(TAG_APPLICATION, "orders");
    world.ec2.world().add_db_instance(&add("orders")).unwrap();
    let cluster = AddDbCluster::new("web").tag(TAG_APPLICATION, "orders");
    world.ec2.world().add_db_cluster(&cluster).unwrap();
    let member = AddDbInstance { cluster: Some("web".into()), ..add("web-1") };
    world.ec2.world().add_db_instance(&member).unwrap();
    // when nobody holds it, then it is stopped, and the status names the time of RDS' restart
    world.resource_with("db", rds("orders")).await;
    let stopped = world.resource_with_reason("db", "Stopped").await.status.unwrap();
    assert_eq!((stopped.instances, stopped.running), (Some(2), Some(0)));
    assert!(stopped.automatic_restart_at.is_some());
    assert_eq!(
        (status_of(&world, "orders"), status_of(&world, "web-1")),
        ("stopped".into(), "stopped".into())
    );
    // when a user books it, then it runs and is locked
    world.book("b", "db", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    world.resource_with_reason("db", "Held").await;
    assert_eq!(status_of(&world, "web-1"), "available");
    let tags = world.ec2.world().db_clusters().remove(0).tags;
    assert_eq!(tags[TAG_LOCKED_BY], "ann");
    // when the booking is over, then it is stopped and unlocked
    world.release("b").await;
    world.resource_with_reason("db", "Stopped").await;
    assert!(!world.ec2.world().db_clusters().remove(0).tags.contains_key(TAG_LOCKED_BY));
    assert_eq!(status_of(&world, "orders"), "stopped");
}

#[tokio::test]
async fn the_restart_after_seven_days_is_undone() {
    // given a stopped database, and a cloud in which the seven days last two seconds
    let world = World::without_operator("restart").await;
    world
        .ec2
        .world()
        .change_settings(&SettingsPatch { rds_restart_ms: Some(2_000), ..SettingsPatch::default() });
    let orders = AddDbInstance::new("orders").tag(TAG_APPLICATION, "orders");
    world.ec2.world().add_db_instance(&orders).unwrap();
    world.start_operator(&[]);
    world.resource_with("db", rds("orders")).await;
    world.resource_with_reason("db", "Stopped").await;
    // when RDS starts it by itself, then it is stopped again
    world.resource_with_reason("db", "Stopping").await;
    world.resource_with_reason("db", "Stopped").await;
    assert!(world.calls("StopDBInstance").len() >= 2);
}

/// Writes the file, and returns the flag that names it.
fn allow(world: &World, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.yaml");
    std::fs::write(&path, text.replace("NAMESPACE", &world.namespace)).unwrap();
    let flag = format!("--accounts-file={}", path.display());
    (directory, flag)
}

fn abroad(tag: &str) -> ResourceSpec {
    ResourceSpec { role_arn: Some(ROLE.into()), region: Some("us-east-1".into()), ..ec2(tag) }
}

fn message(resource: &Resource) -> String {
    let conditions = &resource.status.as_ref().unwrap().conditions;
    conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().message.clone()
}

#[tokio::test]
async fn a_role_that_is_allowed_is_assumed_with_its_external_id_and_renewed() {
    // given machines of another account and region, and a role that asks for an external id
    let world = World::without_operator("accounts").await;
    world.ec2.world().trust_role(ROLE, Some("team-a")).unwrap();
    let lasts = patient(Duration::from_secs(5));
    world.ec2.world().change_settings(&SettingsPatch {
        credentials_ms: Some(lasts.as_millis().try_into().unwrap()),
        ..SettingsPatch::default()
    });
    let machines = AddInstances::count(1).tag(TAG_APPLICATION, "web").state(InstanceState::Stopped);
    let machines = AddInstances { account: "222222222222".into(), region: "us-east-1".into(), ..machines };
    let ids = world.ec2.world().add_instances(&machines).unwrap();
    let (_file, flag) = allow(
        &world,
        &format!(
            "- namespaces: [NAMESPACE]\n  role_arn: {ROLE}\n  external_id: team-a\n  regions: [us-east-1]\n"
        ),
    );
    world.start_operator(&[&flag]);
    world.resource_with("far", abroad("web")).await;
    // when they are booked, then they run
    world.book("b", "far", "ann", (in_ms(0), soon(8_000))).await;
    world.booking_with_reason("b", "Held").await;
    assert_eq!(world.state(&ids[0]), InstanceState::Running);
    // and they are stopped with new credentials
    world.resource_with_reason("far", "Stopped").await;
    assert!(world.calls("AssumeRole").len() >= 2, "{}", world.calls("AssumeRole").len());
    // and a region that is not allowed is refused, and the message says which are allowed
    let spec = ResourceSpec { region: Some("eu-west-1".into()), ..abroad("web") };
    world.resource_with("farther", spec).await;
    let refused = message(&world.resource_with_reason("farther", "NotAllowed").await);
    assert!(refused.contains("eu-west-1") && refused.contains("us-east-1"), "{refused}");
    assert!(!refused.contains("team-a"), "{refused}");
}

#[tokio::test]
async fn a_role_and_a_region_hold_for_databases_as_they_do_for_machines() {
    // given databases of one group here and in another account
    let world = World::without_operator("db-role").await;
    world.ec2.world().trust_role(ROLE, None).unwrap();
    let here = AddDbInstance::new("here").tag(TAG_APPLICATION, "orders").status("stopped");
    let far = AddDbInstance {
        account: "222222222222".into(),
        region: "us-east-1".into(),
        ..AddDbInstance::new("far").tag(TAG_APPLICATION, "orders").status("stopped")
    };
    world.ec2.world().add_db_instance(&here).unwrap();
    world.ec2.world().add_db_instance(&far).unwrap();
    let (_file, flag) =
        allow(&world, &format!("- namespaces: [NAMESPACE]\n  role_arn: {ROLE}\n  regions: [us-east-1]\n"));
    world.start_operator(&[&flag]);
    let abroad = ResourceSpec { type_: Some("rds".into()), ..abroad("orders") };
    world.resource_with("far", abroad).await;
    // when the databases in the other account are booked, then only those are started, with the role
    world.book("b", "far", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    assert_eq!((status_of(&world, "far"), status_of(&world, "here")), ("available".into(), "stopped".into()));
    let started = world.calls("StartDBInstance");
    assert!(started.iter().all(|call| call.facts.scope.account == "222222222222"), "{started:?}");
    assert!(!world.calls("AssumeRole").is_empty());
}

/// AWS in which the other accounts never answer a describe.
struct SilentAbroad {
    aws: Aws,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Clouds for SilentAbroad {
    fn region(&self) -> &str {
        self.aws.region()
    }

    async fn open(&self, cloud: &Cloud) -> Arc<dyn Provider> {
        let inner = self.aws.open(cloud).await;
        if cloud.key.account.is_empty() {
            inner
        } else {
            Arc::new(Silent { inner, asked: self.asked.clone() })
        }
    }
}

struct Silent {
    inner: Arc<dyn Provider>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Provider for Silent {
    fn key(&self) -> &CloudKey {
        self.inner.key()
    }

    async fn describe(&self, _: &[String]) -> Result<Vec<Instance>, CloudError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        pending().await
    }

    async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError> {
        self.inner.discover(mark).await
    }

    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        self.inner.mutate(permit, mutation, ids).await
    }
}

#[tokio::test]
async fn an_account_that_does_not_answer_slows_no_other() {
    // given another account that never answers, with many more groups than passes that may work on it at once
    let world = World::without_operator("bad-account").await;
    let (_file, flag) =
        allow(&world, &format!("- namespaces: [NAMESPACE]\n  role_arn: {ROLE}\n  regions: [us-east-1]\n"));
    world.machines("web", 1, InstanceState::Stopped);
    for n in 0..40 {
        world.resource_with(&format!("far-{n}"), abroad(&format!("far-{n}"))).await;
    }
    let (asked, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let clouds = SilentAbroad { aws: aws(&world.ec2.url(), "operator"), asked: asked.clone() };
    world.run_operator(world.client.clone(), Arc::new(clouds), &[&flag], stop.clone());
    world.eventually("the other account is asked", || asked.load(Ordering::Relaxed) > 0).await;
    // when a group of our own account is created and booked meanwhile, then it is served, although none of the others
    // ever is
    world.resource("web", "web").await;
    world.resource_with_reason("web", "Stopped").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    stop.cancel();
}
