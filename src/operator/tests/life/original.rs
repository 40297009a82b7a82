//! Beside the original operator.

use std::time::Duration;

use booking_operator::original::LEASE;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use testbed::ec2::InstanceState;

use crate::common::{World, the_hour};

/// Renews the original's Lease so many times, as its leader does.
async fn renew(world: &World, times: usize) {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..times {
        ticks.tick().await;
        let spec = LeaseSpec {
            holder_identity: Some("original-5d4_1".into()),
            lease_duration_seconds: Some(2),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        leases.patch(LEASE, &PatchParams::apply("original").force(), &Patch::Apply(&lease)).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_done_while_the_original_operator_renews_its_lease_and_everything_when_it_does_no_more() {
    // given machines that run for nobody, and the original at work
    let world = World::without_operator("original").await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource("web", "web").await;
    renew(&world, 1).await;
    world.start_operator(&[]);
    renew(&world, 15).await;
    assert!(world.resources().get("web").await.unwrap().status.is_none());
    assert_eq!(world.calls("DescribeInstances").len(), 0);
    // when it renews no more, then its work is taken over
    world.settled(&ids, InstanceState::Stopped).await;
    // when it comes back, then it is left alone again
    renew(&world, 1).await;
    world.book("b", "web", "ann", the_hour()).await;
    renew(&world, 15).await;
    assert!(world.bookings().get("b").await.unwrap().status.is_none());
    world.booking_with_reason("b", "Held").await;
}

#[tokio::test]
async fn a_flag_has_the_original_ignored() {
    let world = World::without_operator("original-ignored").await;
    let ids = world.machines("web", 1, InstanceState::Running);
    world.resource("web", "web").await;
    renew(&world, 1).await;
    world.start_operator(&["--ignore-original"]);
    tokio::join!(renew(&world, 10), world.settled(&ids, InstanceState::Stopped));
}
