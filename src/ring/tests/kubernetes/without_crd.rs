//! A replica that starts before its CRD is installed waits for it.

use booking_ring::{
    kubernetes::{
        RingConfig,
        names::Names,
        requests::{self, Requests},
    },
    protocol::{Answer, Op},
    timing::Timing,
};
use testbed::control_plane::{ControlPlane, test_namespace};

use crate::{
    common::{RING, install, quick},
    live::Replica,
};

#[tokio::test]
async fn without_the_crd_a_replica_waits_and_then_joins() {
    // given an API server that does not know rings
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    let namespace = test_namespace(&client, "without-crd").await.unwrap();
    let timing = Timing::default();
    let only = requests::client(control_plane.client_config(), &timing).unwrap();
    let requests = Requests::new(only, &namespace, Names::new(RING).unwrap(), &timing);
    // then a ring that cannot be had is not one that is gone
    let answer = requests.carry_out(Op::ReadRing).await;
    assert!(matches!(answer, Answer::Failed), "{answer:?}");
    // when a replica starts, and the CRD is installed later
    let config = RingConfig {
        name: RING.to_owned(),
        namespace,
        timing: quick(),
        slots: 8,
        pod: "operator-a".to_owned(),
        container: None,
        started: booking_ring::kubernetes::clocks::now(),
        release: "1".to_owned(),
        pod_labels: None,
        termination_log: None,
    };
    let mut replica = Replica::begin(control_plane.client_config(), config);
    let change = tokio::time::timeout(quick().renew() * 2, replica.changes.next()).await;
    assert!(change.is_err() && !replica.handle.has_joined(), "{change:?}");
    install(&client).await;
    // then it joins
    replica.owns(8).await;
    control_plane.stop().await;
}
