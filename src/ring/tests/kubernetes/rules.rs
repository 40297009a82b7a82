//! What the API server refuses to store in a ring.

use kube::{
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use crate::common::{RING, World, world};

fn object(spec: &Value) -> DynamicObject {
    let resource = ApiResource::erase::<booking_ring::kubernetes::crd::RingCrd>(&());
    let data = if spec.is_null() { json!({}) } else { json!({ "spec": spec }) };
    DynamicObject::new(RING, &resource).data(data)
}

/// The server's refusal as 422 Invalid, of a rule that answered and did not break.
fn refusal(result: kube::Result<DynamicObject>) -> String {
    match result {
        Err(kube::Error::Api(status)) if status.is_invalid() => {
            for broken in ["evaluating rule", "no such", "cost"] {
                assert!(!status.message.contains(broken), "{}", status.message);
            }
            status.message.clone()
        }
        other => panic!("{other:?}"),
    }
}

async fn patch(world: &World, patch: Value) -> kube::Result<DynamicObject> {
    world.rings().patch(RING, &PatchParams::default(), &Patch::Merge(patch)).await
}

async fn patch_status(world: &World, status: Value) -> kube::Result<DynamicObject> {
    let patch = Patch::Merge(json!({ "status": status }));
    world.rings().patch_status(RING, &PatchParams::default(), &patch).await
}

#[tokio::test]
async fn a_ring_needs_a_possible_number_of_slots_and_a_hash() {
    let world = world("spec").await;
    for (spec, complaint) in [
        (Value::Null, "spec: Required"),
        (json!({ "hash": "h" }), "spec.slots: Required"),
        (json!({ "slots": 8 }), "spec.hash: Required"),
        (json!({ "slots": 0, "hash": "h" }), "greater than or equal to 1"),
        (json!({ "slots": 4097, "hash": "h" }), "less than or equal to 4096"),
        (json!({ "slots": 8, "hash": "" }), "at least 1 char"),
    ] {
        let message = refusal(world.rings().create(&PostParams::default(), &object(&spec)).await);
        assert!(message.contains(complaint), "{spec}: {message}");
    }
}

#[tokio::test]
async fn slots_and_hash_never_change() {
    let world = world("fixed").await;
    let spec = json!({ "slots": 8, "hash": "h" });
    world.rings().create(&PostParams::default(), &object(&spec)).await.unwrap();
    for change in [json!({ "slots": 16 }), json!({ "hash": "other" })] {
        let message = refusal(patch(&world, json!({ "spec": change })).await);
        assert!(message.contains("is immutable"), "{message}");
    }
    for gone in [json!({ "spec": null }), json!({ "spec": { "slots": null } })] {
        let message = refusal(patch(&world, gone).await);
        assert!(message.contains("Required"), "{message}");
    }
}

#[tokio::test]
async fn the_epoch_never_shrinks_and_the_status_never_vanishes() {
    let world = world("epoch").await;
    let spec = json!({ "slots": 8, "hash": "h" });
    world.rings().create(&PostParams::default(), &object(&spec)).await.unwrap();
    // A status without an epoch does not break the rules.
    patch_status(&world, json!({ "open": false })).await.unwrap();
    patch_status(&world, json!({ "open": true })).await.unwrap();
    patch_status(&world, json!({ "epoch": 5 })).await.unwrap();
    patch_status(&world, json!({ "epoch": 5, "leader": "a" })).await.unwrap();
    let message = refusal(patch_status(&world, json!({ "epoch": 4 })).await);
    assert!(message.contains("epoch may not shrink"), "{message}");
    let message = refusal(patch_status(&world, json!({ "epoch": null })).await);
    assert!(message.contains("epoch may not shrink"), "{message}");
    let message = refusal(patch_status(&world, Value::Null).await);
    assert!(message.contains("may not vanish"), "{message}");
    // What else happens to the object does not concern the rules.
    patch(&world, json!({ "metadata": { "annotations": { "note": "x" } } })).await.unwrap();
    let object = world.rings().get(RING).await.unwrap();
    assert_eq!((&object.data["status"]["epoch"], &object.data["status"]["leader"]), (&json!(5), &json!("a")));
}

#[tokio::test]
async fn a_patch_of_the_status_is_not_held_back_by_another_uid() {
    // Why a ring's status is put back whole: that is held back.
    let world = world("uid").await;
    let created =
        world.rings().create(&PostParams::default(), &object(&json!({ "slots": 8, "hash": "h" }))).await;
    let mut created = created.unwrap();
    let uid = "00000000-0000-0000-0000-000000000000";
    let version = created.metadata.resource_version.clone();
    let body = json!({ "metadata": { "uid": uid, "resourceVersion": version }, "status": { "epoch": 1 } });
    world.rings().patch_status(RING, &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
    created.metadata = world.rings().get(RING).await.unwrap().metadata;
    created.metadata.uid = Some(uid.to_owned());
    let put = world.rings().replace_status(RING, &PostParams::default(), &created).await;
    assert!(matches!(&put, Err(kube::Error::Api(status)) if status.is_conflict()), "{put:?}");
}
