//! Rings are not deleted by mistake.

use std::fmt::Debug;

use booking_ring::{
    kubernetes::crd::{self, ALLOW_DELETION, RingCrd},
    protocol::Op,
    record::Ring,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use testbed::control_plane::{finalize_namespace, terminate_namespace};

use crate::common::{RING, World, eventually, ring, world};

async fn apply<K>(client: &Client, object: &K)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    K: Resource<Scope = kube::core::ClusterResourceScope>,
{
    let name = object.meta().name.clone().unwrap();
    let params = PatchParams::apply("ring-tests").force();
    Api::<K>::all(client.clone()).patch(&name, &params, &Patch::Apply(object)).await.unwrap();
}

async fn delete(world: &World) -> kube::Result<()> {
    world.rings().delete(RING, &DeleteParams::default()).await.map(drop)
}

fn is_refused<T>(result: kube::Result<T>) -> Result<(), String> {
    match result {
        Err(kube::Error::Api(status)) if status.message.contains(ALLOW_DELETION) => {
            assert!(status.is_forbidden(), "{status:?}");
            Ok(())
        }
        Ok(_) => Err("was deleted".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A namespace with a ring, and the policy in force.
async fn guarded(prefix: &str) -> World {
    let world = world(prefix).await;
    let (policy, binding) = crd::deletion_policy();
    apply(&world.client, &policy).await;
    apply(&world.client, &binding).await;
    // The server takes a moment to act by a policy: until then the deletion succeeds.
    eventually(|| async {
        let _ = world.requests().carry_out(Op::CreateRing(Ring::new(8))).await;
        is_refused(delete(&world).await)
    })
    .await;
    world
}

#[tokio::test]
async fn a_ring_is_deleted_only_if_it_says_that_it_may_be() {
    let world = guarded("deletion").await;
    let all = world.rings().delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    is_refused(all).unwrap();
    for (value, allowed) in [("yes", false), ("true", true)] {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { ALLOW_DELETION: value } } }));
        world.rings().patch(RING, &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(is_refused(delete(&world).await).is_err(), allowed, "{value}");
    }
    assert!(world.rings().get_opt(RING).await.unwrap().is_none());
}

#[tokio::test]
async fn a_ring_goes_with_its_namespace() {
    let world = guarded("namespace").await;
    ring(world.requests().carry_out(Op::ReadRing).await);
    terminate_namespace(&world.client, &world.namespace).await.unwrap();
    // The policy sees the namespace a moment later.
    eventually(|| async { delete(&world).await.map_err(|error| error.to_string()) }).await;
    let kinds = [ApiResource::erase::<RingCrd>(&())];
    finalize_namespace(&world.client, &world.namespace, &kinds).await.unwrap();
}
