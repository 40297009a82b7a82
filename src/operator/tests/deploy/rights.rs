//! Compares the rights of each family's operator with its requests in the API server's audit log: no right is
//! missing, and no right is unused.

use std::{collections::BTreeSet, path::Path, time::Duration};

use bookings::{
    api::{
        Booking, BookingScheduler, BookingSchedulerSpec, BookingSpec, BookingTemplate, Resource,
        ResourceMonitor, ResourceMonitorSpec, ResourceSpec,
    },
    decide::groups::machine::TAG_APPLICATION,
};
use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use serde::Deserialize;
use testbed::{
    ec2::{AddInstances, Ec2Config, Ec2Simulator, InstanceState},
    patience::patient,
    replica::{Replica, ReplicaConfig, quick_ring},
};

use super::{
    cluster::{NAMESPACE, kubectl, operators_cluster, operators_kubeconfig},
    families::{FAMILIES, Family},
};

/// The namespace in which users book.
const TEAM: &str = "rights";
const PATIENCE: Duration = Duration::from_secs(90);

/// A right: group, resource or resource/subresource, verb, and whether it is only for the operator's own namespace.
type Right = (String, String, String, bool);

/// An entry of the audit log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    user: User,
    verb: String,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "told when a request is forbidden")]
struct Object {
    #[serde(default)]
    api_group: String,
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[tokio::test]
async fn each_operator_has_each_right_that_it_needs_and_no_other() {
    let cluster = operators_cluster().await;
    kubectl(cluster, &["create", "namespace", TEAM], None).await.unwrap();
    for family in &FAMILIES {
        // given the installed roles, and replicas with the service account's own token
        let granted = granted(cluster.client().unwrap(), family).await;
        // when everything happens that an operator reacts to
        (family.exercise)(cluster.client().unwrap(), &operators_replicas(family).await).await;
        // then none of its requests is forbidden
        let log = std::fs::read_to_string(cluster.audit_log().await.unwrap()).unwrap();
        let used = used(&log, family);
        // and each right is used
        let spare: Vec<&Right> = granted.iter().filter(|right| !is_used(right, &used)).collect();
        assert!(spare.is_empty(), "{}: never used: {spare:#?}\nused: {used:#?}", family.name);
        println!(
            "{}: {} rights, each used; {} kinds of requests, each allowed",
            family.name,
            granted.len(),
            used.len()
        );
    }
}

/// The requests of a family's operator. None of them was refused.
fn used(log: &str, family: &Family) -> BTreeSet<Right> {
    let entries = log.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap());
    let own = format!("system:serviceaccount:{NAMESPACE}:{}", family.operator);
    let mut used = BTreeSet::<Right>::new();
    for Entry { verb, object_ref, response_status, .. } in entries.filter(|entry| entry.user.username == own)
    {
        assert_ne!(
            response_status.map(|status| status.code),
            Some(403),
            "{verb} is forbidden: {object_ref:?}"
        );
        let Some(Object { api_group, resource, subresource, namespace, .. }) = object_ref else { continue };
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        used.insert((api_group, resource, verb, namespace == NAMESPACE));
    }
    used
}

#[tokio::test]
async fn the_docs_list_what_kubectl_says_that_the_operator_may() {
    // Lines without a resource are what every account may read about the API server itself. The verbs come in the
    // order of the bindings.
    let sorted = |line: &str| {
        let (start, verbs) = line.rsplit_once('[').unwrap_or((line, ""));
        let start = start.split_whitespace().collect::<Vec<_>>().join(" ");
        let verbs: BTreeSet<&str> = verbs.trim_end_matches(']').split_whitespace().collect();
        (start, verbs.into_iter().collect::<Vec<_>>().join(" "))
    };
    let lines = |text: &str| -> BTreeSet<(String, String)> {
        text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()).map(sorted).collect()
    };
    let docs = include_str!("../../../../docs/reference-rights.md");
    for family in &FAMILIES {
        // given what is printed for the service account
        let account = format!("--as=system:serviceaccount:{NAMESPACE}:{}", family.operator);
        let list = ["auth", "can-i", "--list", "-n", NAMESPACE, &account];
        let listed = kubectl(operators_cluster().await, &list, None).await.unwrap();
        println!("{listed}");
        // then the docs print the same
        let command = format!("$ kubectl {}\n", list.join(" "));
        let (_, after) = docs.split_once(&command).expect("the list in docs/reference-rights.md");
        assert_eq!(lines(after.split_once("```").unwrap().0), lines(&listed), "{}", family.name);
    }
}

/// The right to list includes what `get` shows. The operator uses `get` only if another program's write came before
/// its own.
fn is_used((group, resource, verb, own): &Right, used: &BTreeSet<Right>) -> bool {
    let with = |verb: &str| used.contains(&(group.clone(), resource.clone(), verb.to_owned(), *own));
    with(verb) || (verb == "get" && with("list"))
}

/// What the roles of the service account allow.
async fn granted(client: Client, family: &Family) -> BTreeSet<Right> {
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let mut granted = BTreeSet::new();
    let mut add = |rules: Option<Vec<PolicyRule>>, own: bool| {
        for rule in rules.into_iter().flatten() {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    granted.extend(
                        rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone(), own)),
                    );
                }
            }
        }
    };
    for name in family.cluster_roles {
        add(roles.get(name).await.unwrap().rules, false);
    }
    let own: Api<Role> = Api::namespaced(client, NAMESPACE);
    add(own.get(family.role).await.unwrap().rules, true);
    granted
}

/// A cloud on which a family's replicas are started with the service account's token.
pub struct Replicas {
    family: &'static Family,
    ec2: Ec2Simulator,
    directory: tempfile::TempDir,
}

async fn operators_replicas(family: &'static Family) -> Replicas {
    let directory = tempfile::tempdir().unwrap();
    operators_kubeconfig(operators_cluster().await, family.operator, directory.path()).await;
    Replicas { family, ec2: Ec2Simulator::start(Ec2Config::default()).await.unwrap(), directory }
}

impl Replicas {
    async fn start(&self, name: &str) -> Replica {
        let at: &Path = self.directory.path();
        // The same values as in the family's ConfigMap.
        let ring = format!("--ring-name={}", self.family.operator);
        let labels = format!("--pod-labels=app.kubernetes.io/name={}", self.family.operator);
        let families = format!("--families={}", self.family.name);
        let quick = quick_ring();
        let more = [&*ring, &labels, &families, "--poll-shortest=50ms"];
        let args: Vec<&str> = quick.iter().map(String::as_str).chain(more).collect();
        let config = ReplicaConfig {
            name,
            kubeconfig: &at.join("kubeconfig"),
            ec2_url: &self.ec2.url(),
            log: &at.join(format!("{name}.log")),
            args: &args,
        };
        Replica::start(&config).await.unwrap()
    }
}

/// A booking from its creation to its deletion, a schedule, a discovery, a deleted group, and replicas that start and
/// stop.
pub async fn lives(client: Client, replicas: &Replicas) {
    for (tag, managed) in [("web", false), ("found", true)] {
        let machines = AddInstances::count(1).tag(TAG_APPLICATION, tag).state(InstanceState::Stopped);
        let machines = if managed { machines.tag("resource-booking-managed", "true") } else { machines };
        let machines = AddInstances { region: testbed::replica::REGION.to_owned(), ..machines };
        replicas.ec2.world().add_instances(&machines).unwrap();
    }
    let (first, second) = (replicas.start("first").await, replicas.start("second").await);
    let made = PostParams::default();
    let resources: Api<Resource> = Api::namespaced(client.clone(), TEAM);
    let spec = ResourceSpec { type_: Some("ec2".into()), tag: Some("web".into()), ..ResourceSpec::default() };
    resources.create(&made, &Resource::new("ec2.web", spec)).await.unwrap();
    // Each is over at once and is deleted automatically. There are two, so that an Event is published a second time.
    let bookings: Api<Booking> = Api::namespaced(client.clone(), TEAM);
    for name in ["brief", "again"] {
        let now = Timestamp::now();
        let spec = BookingSpec {
            resource_name: Some("ec2.web".into()),
            user_id: Some("ann".into()),
            start_at: Some(now.to_string()),
            end_at: Some((now + patient(Duration::from_secs(4))).to_string()),
            ttl_minutes_after_finished: Some(0),
            ..BookingSpec::default()
        };
        let uid = bookings.create(&made, &Booking::new(name, spec)).await.unwrap().uid().unwrap();
        soon("the booking is deleted", await_condition(bookings.clone(), name, is_deleted(&uid))).await;
        let is_stopped = |it: Option<&Resource>| {
            let conditions = it.and_then(|it| it.status.as_ref()).map(|status| status.conditions.as_slice());
            conditions.unwrap_or_default().iter().any(|it| it.type_ == "Ready" && it.reason == "Stopped")
        };
        soon("the group is stopped", await_condition(resources.clone(), "ec2.web", is_stopped)).await;
    }
    let schedulers: Api<BookingScheduler> = Api::namespaced(client.clone(), TEAM);
    let spec = BookingSchedulerSpec {
        schedule: Some("* * * * *".into()),
        duration: Some(1),
        booking_template: Some(BookingTemplate {
            resource_name: Some("ec2.found".into()),
            user_id: Some("ann".into()),
            ..BookingTemplate::default()
        }),
        ..BookingSchedulerSpec::default()
    };
    schedulers.create(&made, &BookingScheduler::new("each-minute", spec)).await.unwrap();
    let monitors: Api<ResourceMonitor> = Api::namespaced(client.clone(), TEAM);
    let spec = ResourceMonitorSpec { type_: Some("ec2".into()), ..ResourceMonitorSpec::default() };
    monitors.create(&made, &ResourceMonitor::new("all", spec)).await.unwrap();
    let seen = |it: Option<&Resource>| it.is_some_and(|it| it.status.is_some());
    soon("a group is discovered", await_condition(resources.clone(), "ec2.found", seen)).await;
    let is_booked = async || {
        while !bookings
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .iter()
            .any(|it| it.name_any().starts_with("each-minute"))
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    soon("the schedule has booked", is_booked()).await;
    // A replica stops, and the other one deletes its Lease. Then the group is deleted.
    first.stop().await;
    soon("its Lease is deleted", forgotten(client, "first-")).await;
    let web = resources.get("ec2.web").await.unwrap().uid().unwrap();
    resources.delete("ec2.web", &DeleteParams::default()).await.unwrap();
    soon("the group is gone", await_condition(resources, "ec2.web", is_deleted(&web))).await;
    second.stop().await;
}

/// Waits until there is no Lease whose name begins with `begin`.
async fn forgotten(client: Client, begin: &str) -> Result<(), kube::runtime::wait::Error> {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let is_one = |it: &Lease| it.name_any().starts_with(begin);
    while leases.list(&ListParams::default()).await.unwrap().items.iter().any(is_one) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn soon<T>(what: &str, happens: impl Future<Output = Result<T, kube::runtime::wait::Error>>) {
    let happened = tokio::time::timeout(patient(PATIENCE), happens).await;
    happened.unwrap_or_else(|_| panic!("never: {what}")).unwrap();
}
