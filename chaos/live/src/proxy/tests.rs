use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{PostParams, WatchParams},
    core::WatchEvent,
};
use testbed::{
    control_plane::{ControlPlane, test_namespace},
    patience::patient,
};

use super::*;

/// How long a test looks on while nothing may happen.
const MOMENT: Duration = Duration::from_millis(700);

/// How long a test waits for anything.
fn patience() -> Duration {
    patient(Duration::from_secs(20))
}

/// The same objects, past the proxy and through it.
async fn both(control_plane: &ControlPlane) -> (Proxy, Api<ConfigMap>, Api<ConfigMap>) {
    let client = control_plane.client().unwrap();
    let namespace = test_namespace(&client, "proxy").await.unwrap();
    let proxy = Proxy::start(Upstream::of(&control_plane.client_config()).unwrap()).await.unwrap();
    let through = Client::try_from(kube::Config::new(proxy.url().parse().unwrap())).unwrap();
    (proxy, Api::namespaced(client, &namespace), Api::namespaced(through, &namespace))
}

async fn create(api: &Api<ConfigMap>, name: &str) {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    api.create(&PostParams::default(), &map).await.unwrap();
}

/// Somebody who sends it and waits for the answer.
fn sends(api: &Api<ConfigMap>, name: &'static str) -> JoinHandle<()> {
    let api = api.clone();
    tokio::spawn(async move { create(&api, name).await })
}

async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + patience();
    while !is().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn requests_that_are_held_arrive_when_the_fault_is_over_though_their_sender_gave_up() {
    // given a connection that is in use
    let control_plane = ControlPlane::shared().await.unwrap();
    let (proxy, past, through) = both(control_plane).await;
    create(&through, "before").await;
    assert!(proxy.traffic().writes.load(Ordering::Relaxed) == 1);
    // when requests are held
    proxy.set(Mode::Hold { requests: true, replies: false });
    let (taken, mut sent) = (|| proxy.traffic().taken.load(Ordering::Relaxed), sends(&through, "held"));
    eventually("sent", async || taken() == 2).await;
    assert!(timeout(MOMENT, &mut sent).await.is_err());
    sent.abort();
    assert!(past.get_opt("held").await.unwrap().is_none());
    // then it arrives afterwards
    proxy.set(Mode::Pass);
    eventually("held", async || past.get_opt("held").await.unwrap().is_some()).await;
}

#[tokio::test]
async fn requests_whose_replies_are_held_take_effect() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let (proxy, past, through) = both(control_plane).await;
    create(&through, "before").await;
    proxy.set(Mode::Hold { requests: false, replies: true });
    let sent = sends(&through, "unanswered");
    eventually("unanswered", async || past.get_opt("unanswered").await.unwrap().is_some()).await;
    assert!(timeout(MOMENT, sent).await.is_err());
}

#[tokio::test]
async fn stalled_watches_stand_still_while_writes_pass() {
    // given a watch that has shown something
    let control_plane = ControlPlane::shared().await.unwrap();
    let (proxy, past, through) = both(control_plane).await;
    let mut watch = through.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut seen = async || loop {
        match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(map) => return map.name_any(),
            WatchEvent::Bookmark(_) => {}
            other => panic!("{other:?}"),
        }
    };
    create(&past, "a").await;
    assert_eq!(timeout(patience(), seen()).await.unwrap(), "a");
    // when watches stand still
    proxy.set(Mode::StallWatches);
    timeout(patience(), create(&through, "b")).await.unwrap();
    assert!(timeout(MOMENT, seen()).await.is_err());
    // then it is shown afterwards
    proxy.set(Mode::Pass);
    assert_eq!(timeout(patience(), seen()).await.unwrap(), "b");
}

#[tokio::test]
async fn what_is_slow_arrives_late() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let (proxy, _, through) = both(control_plane).await;
    create(&through, "before").await;
    proxy.set(Mode::Slow(Duration::from_millis(300)));
    let begun = Instant::now();
    create(&through, "slow").await;
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

#[test]
fn what_a_lease_says_of_families_is_falsified_and_nothing_else() {
    let mut chunk = *br#"{"manager.kotaico.de/families":"bookings","resource":"bookings"}"#;
    falsify(&mut chunk);
    assert_eq!(&chunk, br#"{"manager.kotaico.de/families":"bookingz","resource":"bookings"}"#);
}
