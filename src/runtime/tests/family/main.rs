//! A family of three kinds on the real API server, two replicas in a ring.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::doc_markdown,
    reason = "tests fail by panicking, their helpers too"
)]

mod family;
mod site;

use std::collections::BTreeSet;

use booking_runtime::Key;
use family::{FINALIZER, KINDS};
use site::{Site, eventually};

/// The keys that a replica worked on, beginning with an entry of the log.
fn worked_on(site: &Site, replica: &str, since: usize) -> BTreeSet<Key> {
    let log = site.log.lock().unwrap();
    log[since..].iter().filter(|(by, _)| *by == replica).map(|(_, key)| key.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_of_three_kinds_is_worked_on_by_one_replica_and_handed_over_to_the_other() {
    // given objects of a namespaced kind, of a cluster-scoped one and of one known only at run time, and two replicas
    let site = Site::new("family").await;
    let keys = site.objects(6).await;
    assert!(KINDS.iter().all(|kind| keys.iter().any(|key| key.kind == *kind)));
    let (first, second) = (site.replica("first").await, site.replica("second").await);
    let all = |since: usize| {
        worked_on(&site, "first", since)
            .union(&worked_on(&site, "second", since))
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    eventually("both replicas share the keys", || {
        all(0) == keys && !worked_on(&site, "second", 0).is_empty()
    })
    .await;
    site.settled().await;
    // when every object changes, then exactly one replica works on each key
    let since = site.log.lock().unwrap().len();
    site.change_all().await;
    eventually("every change is worked on", || all(since) == keys).await;
    let (one, other) = (worked_on(&site, "first", since), worked_on(&site, "second", since));
    assert!(one.is_disjoint(&other), "{one:?} and {other:?}");
    assert!(!one.is_empty() && !other.is_empty(), "{one:?} and {other:?}");
    // when the first replica stops, then the other one works on all keys that it hands over
    let since = site.log.lock().unwrap().len();
    first.stop().await;
    eventually("what was handed over is worked on", || one.is_subset(&worked_on(&site, "second", since)))
        .await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_of_others_survive_when_ours_is_added_and_when_it_is_removed() {
    // given an object with somebody else's finalizer, to which another one is added all the time
    let site = Site::new("finalizers").await;
    site.note("a", &["tests.example.com/theirs"]).await;
    let replica = site.replica("first").await;
    site.add_finalizers_of_others("a", 20).await;
    // when our finalizer has been added
    let ours = async || site.finalizers("a").await.iter().any(|name| name == FINALIZER);
    site::eventually_async("our finalizer is there", ours).await;
    // then all finalizers of others are there, too
    let all = site.finalizers("a").await;
    assert_eq!(all.iter().filter(|name| *name != FINALIZER).count(), 21, "{all:?}");
    // and when the object is deleted, then ours goes and theirs stay
    site.delete("a").await;
    let gone = async || site.finalizers("a").await.iter().all(|name| name != FINALIZER);
    site::eventually_async("our finalizer is gone", gone).await;
    assert_eq!(site.finalizers("a").await.len(), 21);
    replica.stop().await;
}
