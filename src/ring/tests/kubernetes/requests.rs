//! What each request answers.

use std::{sync::Arc, time::Duration};

use booking_ring::{
    kubernetes::requests::Requests,
    protocol::{Answer, Op},
    record::{Incarnation, LeaderLease, MemberLease, Move, Ring, Standing, Stored},
    slot::Slot,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::common::{RING, leader, member, ring, world};

fn lease(name: &str) -> MemberLease {
    MemberLease {
        incarnation: Incarnation::new(name),
        ring: "ring-uid".into(),
        duration: Duration::from_millis(1500),
        call: Some(Duration::from_millis(400)),
        counter: 1,
        applied: 0,
        acked: 0,
        draining: [Slot(3), Slot(4)].into(),
        standing: Standing::Active,
        told_to_leave: false,
        container: Some("pod-uid/operator".into()),
        protocol: 1,
        release: "1.0.0".into(),
        created: 0,
        payload: "demand: 3".into(),
        claim: None,
    }
}

fn update(stored: &Stored<MemberLease>, change: impl FnOnce(&mut MemberLease)) -> Op {
    let mut lease = MemberLease::clone(&stored.value);
    change(&mut lease);
    Op::UpdateMember { uid: stored.uid.clone(), version: stored.version, lease }
}

fn update_ring(stored: &Stored<Ring>, change: impl FnOnce(&mut Ring)) -> Op {
    let mut ring = Ring::clone(&stored.value);
    ring.epoch += 1;
    change(&mut ring);
    Op::UpdateRing { uid: stored.uid.clone(), version: stored.version, ring }
}

/// The operation with another uid.
fn of_another_uid(op: Op) -> Op {
    let uid: Arc<str> = "00000000-0000-0000-0000-000000000000".into();
    match op {
        Op::UpdateMember { version, lease, .. } => Op::UpdateMember { uid, version, lease },
        Op::UpdateLeader { version, lease, .. } => Op::UpdateLeader { uid, version, lease },
        Op::UpdateRing { version, ring, .. } => Op::UpdateRing { uid, version, ring },
        Op::DeleteMember { incarnation, version, .. } => Op::DeleteMember { incarnation, uid, version },
        other => panic!("{other:?}"),
    }
}

async fn refused(requests: &Requests, op: Op, expected: &str) {
    let what = format!("{op:?}");
    let answer = requests.carry_out(op).await;
    assert_eq!(format!("{answer:?}"), expected, "{what}");
}

#[tokio::test]
async fn a_member_lease_is_swapped_only_for_the_very_version_it_was_made_from() {
    let requests = world("swap").await.requests();
    let created = member(requests.carry_out(Op::CreateMember(lease("a"))).await);
    assert!(created.value.created > 0);
    assert_eq!(*created.value, MemberLease { created: created.value.created, ..lease("a") });
    refused(&requests, Op::CreateMember(lease("a")), "Exists").await;

    let renewed = member(requests.carry_out(update(&created, |lease| lease.counter = 2)).await);
    assert!(renewed.version > created.version && renewed.uid == created.uid);
    assert_eq!(renewed.value.counter, 2);
    // A seal made from what was seen before the renewal fails, and so does one of another Lease.
    let seal = |stored: &Stored<MemberLease>| update(stored, |lease| lease.standing = Standing::Sealed);
    refused(&requests, seal(&created), "Conflict").await;
    refused(&requests, of_another_uid(seal(&renewed)), "Conflict").await;
    let sealed = member(requests.carry_out(seal(&renewed)).await);
    assert_eq!((sealed.value.standing, sealed.value.counter), (Standing::Sealed, 2));
    // And from then on no renewal succeeds that does not know of the seal.
    refused(&requests, update(&renewed, |lease| lease.counter = 3), "Conflict").await;
    let read = member(requests.carry_out(Op::ReadMember(Incarnation::new("a"))).await);
    assert_eq!(read, sealed);
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_not_found() {
    let requests = world("gone").await.requests();
    let missing = Incarnation::new("missing");
    let stored = Stored { uid: "u".into(), version: 1, value: Arc::new(lease("missing")) };
    for op in [
        Op::ReadMember(missing.clone()),
        Op::MarkToLeave(missing.clone()),
        update(&stored, |lease| lease.counter = 2),
        Op::DeleteMember { incarnation: missing, uid: "u".into(), version: 1 },
        Op::ReadLeader,
        Op::ReadRing,
    ] {
        refused(&requests, op, "NotFound").await;
    }
}

#[tokio::test]
async fn the_mark_to_leave_needs_no_version_and_changes_nothing_else() {
    let requests = world("mark").await.requests();
    let created = member(requests.carry_out(Op::CreateMember(lease("a"))).await);
    let marked = member(requests.carry_out(Op::MarkToLeave(Incarnation::new("a"))).await);
    let expected = MemberLease { told_to_leave: true, ..MemberLease::clone(&created.value) };
    assert_eq!(*marked.value, expected);
    // A renewal that does not know of it fails.
    refused(&requests, update(&created, |lease| lease.counter = 2), "Conflict").await;
}

#[tokio::test]
async fn a_lease_is_deleted_only_in_the_very_version_that_was_seen() {
    let requests = world("delete").await.requests();
    let created = member(requests.carry_out(Op::CreateMember(lease("a"))).await);
    let renewed = member(requests.carry_out(update(&created, |lease| lease.counter = 2)).await);
    let delete = |stored: &Stored<MemberLease>| Op::DeleteMember {
        incarnation: stored.value.incarnation.clone(),
        uid: stored.uid.clone(),
        version: stored.version,
    };
    refused(&requests, delete(&created), "Conflict").await;
    refused(&requests, of_another_uid(delete(&renewed)), "Conflict").await;
    refused(&requests, delete(&renewed), "Deleted").await;
    refused(&requests, delete(&renewed), "NotFound").await;
}

#[tokio::test]
async fn a_list_has_every_member_of_this_ring_whatever_its_lease_says() {
    let world = world("list").await;
    let requests = world.requests();
    for name in ["a", "b"] {
        member(requests.carry_out(Op::CreateMember(lease(name))).await);
    }
    let leading =
        LeaderLease { holder: Some(Incarnation::new("a")), duration: Duration::from_secs(1), counter: 1 };
    leader(requests.carry_out(Op::CreateLeader(leading)).await);
    let leases = Api::<Lease>::namespaced(world.client.clone(), &world.namespace);
    let bare = |name: &str, ring: &str| {
        let labels = json!({ "manager.kotaico.de/ring": ring, "manager.kotaico.de/role": "member" });
        serde_json::from_value::<Lease>(json!({ "metadata": { "name": name, "labels": labels } })).unwrap()
    };
    for lease in [bare("hand-made", RING), bare("other", "another-ring")] {
        leases.create(&PostParams::default(), &lease).await.unwrap();
    }
    let Answer::Members(members) = requests.carry_out(Op::ListMembers).await else { panic!() };
    let names: Vec<&str> = members.iter().map(|lease| lease.value.incarnation.as_str()).collect();
    assert_eq!(names, ["a", "b", "hand-made"]);
    assert!(!members[2].value.standing.is_over());
    assert_eq!((&*members[2].value.ring, members[2].value.counter), ("", 0));
}

#[tokio::test]
async fn the_leader_lease_is_swapped_and_given_up() {
    let requests = world("leader").await.requests();
    let [a, b] = ["a", "b"].map(|name| Some(Incarnation::new(name)));
    let new = |holder: &Option<Incarnation>, counter| LeaderLease {
        holder: holder.clone(),
        duration: Duration::from_secs(15),
        counter,
    };
    let created = leader(requests.carry_out(Op::CreateLeader(new(&a, 1))).await);
    refused(&requests, Op::CreateLeader(new(&b, 1)), "Exists").await;
    let update = |stored: &Stored<LeaderLease>, lease| Op::UpdateLeader {
        uid: stored.uid.clone(),
        version: stored.version,
        lease,
    };
    let renewed = leader(requests.carry_out(update(&created, new(&a, 2))).await);
    refused(&requests, update(&created, new(&b, 1)), "Conflict").await;
    refused(&requests, of_another_uid(update(&renewed, new(&b, 1))), "Conflict").await;
    let given_up = leader(requests.carry_out(update(&renewed, new(&None, 3))).await);
    assert_eq!((given_up.value.holder.clone(), given_up.value.counter), (None, 3));
    assert_eq!(leader(requests.carry_out(Op::ReadLeader).await), given_up);
    let taken = leader(requests.carry_out(update(&given_up, new(&b, 4))).await);
    assert_eq!(taken.value.holder, b);
}

#[tokio::test]
async fn a_ring_is_created_without_status_and_swapped() {
    let requests = world("ring").await.requests();
    let created = ring(requests.carry_out(Op::CreateRing(Ring::new(64))).await);
    assert_eq!(*created.value, Ring::new(64));
    refused(&requests, Op::CreateRing(Ring::new(64)), "Exists").await;
    let [a, b] = ["a", "b"].map(Incarnation::new);
    let change = |ring: &mut Ring| {
        ring.open = true;
        ring.leader = Some(a.clone());
        ring.members = [(a.clone(), "1".into()), (b.clone(), "2".into())].into();
        ring.owners = ring.all_slots().map(|slot| (slot, a.clone())).collect();
        ring.moves = [(Slot(3), Move { to: b.clone(), since: 1 })].into();
    };
    let written = ring(requests.carry_out(update_ring(&created, change)).await);
    assert!(written.version > created.version && written.uid == created.uid);
    assert_eq!((written.value.epoch, written.value.owners.len()), (1, 64));
    assert_eq!(ring(requests.carry_out(Op::ReadRing).await), written);
    refused(&requests, update_ring(&created, change), "Conflict").await;
    refused(&requests, of_another_uid(update_ring(&written, change)), "Conflict").await;
    // What was removed is gone.
    let cleared = ring(requests.carry_out(update_ring(&written, |ring| ring.leader = None)).await);
    assert_eq!((cleared.value.leader.clone(), cleared.value.epoch), (None, 2));
}

#[tokio::test]
async fn a_write_to_a_ring_that_was_never_read_reads_it_first_and_finds_conflicts() {
    let world = world("unread").await;
    let created = ring(world.requests().carry_out(Op::CreateRing(Ring::new(8))).await);
    let open = |stored: &Stored<Ring>| update_ring(stored, |ring| ring.open = true);
    let written = ring(world.requests().carry_out(open(&created)).await);
    assert!(written.value.open);
    refused(&world.requests(), open(&created), "Conflict").await;
    refused(&world.requests(), of_another_uid(open(&written)), "Conflict").await;
}

#[tokio::test]
async fn fields_of_a_newer_release_survive_a_write() {
    let world = world("newer").await;
    let requests = world.requests();
    let created = ring(requests.carry_out(Op::CreateRing(Ring::new(8))).await);
    let a = Incarnation::new("a");
    let members = |ring: &mut Ring| {
        ring.members = [(a.clone(), "1".into())].into();
        ring.owners = [(Slot(1), a.clone())].into();
        ring.moves = [(Slot(1), Move { to: a.clone(), since: 1 })].into();
    };
    ring(requests.carry_out(update_ring(&created, members)).await);
    // given a newer release that has added fields of its own
    let mut object = world.rings().get(RING).await.unwrap();
    object.data["status"]["newer"] = json!("kept");
    object.data["status"]["members"][0]["zone"] = json!("b");
    object.data["status"]["moves"][0]["why"] = json!("balance");
    world.rings().replace_status(RING, &PostParams::default(), &object).await.unwrap();
    // when this release writes
    let read = ring(requests.carry_out(Op::ReadRing).await);
    let more = |ring: &mut Ring| {
        ring.owners.insert(Slot(2), a.clone());
    };
    ring(requests.carry_out(update_ring(&read, more)).await);
    // then they are still there
    let status = world.rings().get(RING).await.unwrap().data["status"].take();
    assert_eq!(status["newer"], "kept");
    assert_eq!(
        status["members"],
        json!([{ "name": "a", "release": "1", "slots": 2, "owns": "1-2", "zone": "b" }])
    );
    assert_eq!(status["moves"][0]["why"], "balance");
    assert_eq!(status["epoch"], 2);
}

#[tokio::test]
async fn labels_and_annotations_that_others_added_survive_a_renewal() {
    let world = world("others").await;
    let requests = world.requests();
    member(requests.carry_out(Op::CreateMember(lease("a"))).await);
    let leases = Api::<Lease>::namespaced(world.client.clone(), &world.namespace);
    let added: Value = json!({ "metadata": { "labels": { "team": "x" }, "annotations": { "note": "y" } } });
    leases.patch("a", &PatchParams::default(), &Patch::Merge(added)).await.unwrap();
    let read = member(requests.carry_out(Op::ReadMember(Incarnation::new("a"))).await);
    member(requests.carry_out(update(&read, |lease| lease.counter = 2)).await);
    let object = leases.get("a").await.unwrap();
    assert_eq!(object.metadata.labels.unwrap()["team"], "x");
    assert_eq!(object.metadata.annotations.unwrap()["note"], "y");
    let spec = object.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some("a"), Some(2)));
    assert!(spec.renew_time.is_some());
}
