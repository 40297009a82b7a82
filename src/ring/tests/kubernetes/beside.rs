//! Rings beside each other, on a real API server.

use std::time::{Duration, Instant};

use booking_ring::{
    claim::{Claim, RingName},
    kubernetes::{RingConfig, at_work, requests},
    protocol::{Answer, End, Op},
};
use k8s_openapi::api::{
    coordination::v1::Lease,
    rbac::v1::{PolicyRule, Role, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::{
    common::{RING, World, eventually, in_time, quick, world},
    live::{Replica, SLOTS, config},
};

/// A ring whose family no other test knows: it may work for all namespaces.
fn of_ring(world: &World, ring: &str, family: &World) -> RingConfig {
    RingConfig {
        name: ring.to_owned(),
        families: [family.namespace.clone()].into(),
        scope: None,
        ..config(world, ring)
    }
}

fn begin(world: &World, config: RingConfig) -> Replica {
    Replica::begin(world.control_plane.client_config(), config)
}

async fn says(replica: &Replica, what: &str) {
    eventually(|| async {
        let said = replica.handle.conflict().ok_or("nothing")?;
        said.contains(what).then_some(()).ok_or(said)
    })
    .await;
    assert!(!replica.handle.is_in_ring() && replica.handle.owned().is_empty());
}

async fn leases(world: &World, ring: &str) -> Vec<Lease> {
    let of_ring = ListParams::default().labels(&format!("manager.kotaico.de/ring={ring}"));
    world.leases().list(&of_ring).await.unwrap().items
}

fn all() -> usize {
    usize::from(SLOTS)
}

#[tokio::test]
async fn a_replica_waits_beside_another_ring_with_its_family_and_joins_when_that_has_gone() {
    // given a ring at work
    let world = world("beside").await;
    let mut first = begin(&world, of_ring(&world, "first", &world));
    first.owns(all()).await;
    // when replicas of two other rings start, of which one has another family
    let mut second = begin(&world, of_ring(&world, "second", &world));
    let other = RingConfig {
        families: [format!("{}-other", world.namespace)].into(),
        ..of_ring(&world, "third", &world)
    };
    let mut third = begin(&world, other);
    third.owns(all()).await;
    // then the one with the same family is no member of its ring, and says why
    let namespace = &world.namespace;
    let text = format!("of ring {namespace}/first works on family {namespace} for all namespaces");
    says(&second, &text).await;
    assert!(leases(&world, "second").await.is_empty());
    assert!(first.handle.is_in_ring() && first.handle.conflict().is_none());
    // when the first one has gone, then the second one takes part
    first.handle.stop();
    second.owns(all()).await;
    assert_eq!(in_time("the end", first.handle.wait_ended()).await, Some(End::Left));
    assert!(second.handle.is_in_ring() && second.handle.conflict().is_none());
}

#[tokio::test]
async fn of_two_rings_that_start_together_one_works_and_the_other_one_when_that_is_killed() {
    let world = world("together").await;
    let mut rings = ["a", "b"].map(|ring| begin(&world, of_ring(&world, ring, &world)));
    let working = eventually(|| async {
        let in_ring: Vec<usize> = (0..2).filter(|ring| rings[*ring].handle.owned().len() == all()).collect();
        in_ring.first().copied().ok_or("none works".to_owned())
    })
    .await;
    let waiting = 1 - working;
    says(&rings[waiting], "works on family").await;
    rings[working].kill();
    let killed = Instant::now();
    rings[waiting].owns(all()).await;
    assert!(
        killed.elapsed() >= quick().lease().saturating_sub(quick().renew() * 2),
        "{:?}",
        killed.elapsed()
    );
}

#[tokio::test]
async fn a_ring_in_another_namespace_is_seen_and_one_of_another_scope_is_in_nobodys_way() {
    // given a ring that works for one namespace
    let (here, there) = (world("here").await, world("there").await);
    let scoped = |world: &World, namespace: &str| RingConfig {
        scope: Some(namespace.to_owned()),
        ..of_ring(world, RING, &here)
    };
    let mut first = begin(&here, scoped(&here, "one"));
    first.owns(all()).await;
    // when rings of its name begin elsewhere, then that for another namespace works, and that for all does not
    let mut second = begin(&there, scoped(&there, "two"));
    second.owns(all()).await;
    let third = begin(&there, of_ring(&there, "third", &here));
    says(&third, "for namespace ").await;
    // and people can see what each works on
    let lease =
        leases(&here, RING).await.into_iter().find(|lease| lease.name_any() != "booking-operator-leader");
    let annotations = lease.unwrap().metadata.annotations.unwrap();
    let annotation = |key: &str| annotations.get(&format!("manager.kotaico.de/{key}")).map(String::as_str);
    assert_eq!(annotation("families"), Some(&*here.namespace));
    assert_eq!((annotation("scope"), annotation("dry-run")), (Some("one"), None));
    assert_eq!(annotation("sees-all-namespaces"), Some("true"));
}

/// A user with the rights on Leases of one namespace that the operator has in its ring's.
async fn narrow(world: &World) -> kube::Config {
    let user = format!("narrow-{}", world.namespace);
    let verbs = ["get", "list", "watch", "create", "patch", "delete"].map(ToOwned::to_owned).to_vec();
    let leases = PolicyRule {
        api_groups: Some(vec!["coordination.k8s.io".to_owned()]),
        resources: Some(vec!["leases".to_owned()]),
        verbs,
        ..PolicyRule::default()
    };
    let role: Role = serde_json::from_value(json!({ "metadata": { "name": "ring" } })).unwrap();
    let role = Role { rules: Some(vec![leases]), ..role };
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "ring" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ring" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    }))
    .unwrap();
    let post = PostParams::default();
    Api::<Role>::namespaced(world.client.clone(), &world.namespace).create(&post, &role).await.unwrap();
    Api::namespaced(world.client.clone(), &world.namespace).create(&post, &binding).await.unwrap();
    let mut config = world.control_plane.client_config();
    config.auth_info.impersonate = Some(user);
    config
}

#[tokio::test]
async fn one_that_may_not_list_leases_elsewhere_sees_those_of_its_namespace() {
    // given rings in two namespaces, and a user who may list Leases in one of them
    let (here, there) = (world("narrow").await, world("wide").await);
    let mut near = begin(&here, of_ring(&here, "near", &here));
    let mut far = begin(&there, of_ring(&there, "far", &there));
    near.owns(all()).await;
    far.owns(all()).await;
    let requests = {
        let client = requests::client(narrow(&here).await, &quick()).unwrap();
        let names = booking_ring::kubernetes::names::Names::new("mine").unwrap();
        requests::Requests::new(client, &here.namespace, names, &quick())
    };
    // when neighbours are listed, then only the near one is there, each time
    for _ in 0..2 {
        let (members, sees_all) = eventually(|| async {
            match requests.carry_out(Op::ListNeighbours).await {
                Answer::Neighbours { members, sees_all } => Ok((members, sees_all)),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let rings: Vec<&str> = members.iter().map(|member| &*member.ring.name).collect();
        assert_eq!((rings, sees_all), (vec!["near"], false));
    }
    // and somebody who may sees both, but not those of the own ring
    let client = requests::client(here.control_plane.client_config(), &quick()).unwrap();
    let names = booking_ring::kubernetes::names::Names::new("near").unwrap();
    let requests = requests::Requests::new(client, &here.namespace, names, &quick());
    let Answer::Neighbours { members, sees_all } = requests.carry_out(Op::ListNeighbours).await else {
        panic!()
    };
    let mut namespaces = members.iter().map(|member| &*member.ring.namespace);
    assert!(sees_all && namespaces.any(|namespace| namespace == there.namespace));
    assert!(!members.iter().any(|member| *member.ring.namespace == *here.namespace));
}

async fn finds(client: &Client, config: &RingConfig) -> Option<String> {
    let ring = RingName { namespace: config.namespace.as_str().into(), name: config.name.as_str().into() };
    let claim = Claim::new(&config.families, config.scope.as_deref(), true);
    in_time("whether others are at work", at_work(client.clone(), &ring, claim, &config.timing))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_dry_run_is_in_nobodys_way_and_finds_out_whether_workers_are_there() {
    let world = world("dry-run").await;
    let worker = || of_ring(&world, RING, &world);
    let dry = || RingConfig { dry_run: true, ..of_ring(&world, "booking-operator-dry-run", &world) };
    // given nobody but a dry run
    assert_eq!(finds(&world.client, &worker()).await, None);
    let mut trying = begin(&world, dry());
    trying.owns(all()).await;
    assert_eq!(finds(&world.client, &worker()).await, None);
    // when a worker starts, then it works, and is found
    let mut working = begin(&world, worker());
    working.owns(all()).await;
    let found = finds(&world.client, &worker()).await.unwrap();
    assert!(found.contains(&format!("of ring {}/{RING} works on family", world.namespace)), "{found}");
    // and another dry run does not begin beside it
    let late = begin(&world, RingConfig { name: "late-dry-run".to_owned(), ..dry() });
    says(&late, "works on family").await;
    // when it was killed, then it is found until its Lease has been unchanged for long enough
    working.kill();
    let asked = Instant::now();
    assert_eq!(finds(&world.client, &worker()).await, None);
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
}
