//! Several replicas on one API server: they share the work, hand it over, and cost little while nothing
//! happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use booking_operator::{
    app::{Operator, Parts},
    ring_membership,
};
use booking_ring::kubernetes::{clocks, crd::RingCrd, ranges};
use booking_runtime::{clock::Clock, ownership::ring::RingMembership};
use common::{World, aws, for_ms, in_ms, state_word};
use kube::{Api, Client, client::ClientBuilder};
use testbed::{control_plane::ControlPlane, ec2::InstanceState};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

/// The product's durations, shrunk to a fifth.
const RING: [&str; 4] =
    ["--lease-duration=3s", "--renew-interval=600ms", "--permit-duration=1600ms", "--call-timeout=800ms"];
const RENEW: Duration = Duration::from_millis(600);

/// A replica in this process.
struct Replica {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    requests: Arc<Requests>,
}

/// What a replica has asked of the API server.
#[derive(Debug, Default)]
struct Requests {
    writes: AtomicUsize,
    reads: AtomicUsize,
}

impl Requests {
    fn counts(&self) -> (usize, usize) {
        (self.writes.load(Ordering::Relaxed), self.reads.load(Ordering::Relaxed))
    }
}

impl Replica {
    async fn start(world: &World, name: &str, release: &str) -> Self {
        Self::start_with(world, name, release, |share| share).await
    }

    async fn start_with(
        world: &World,
        name: &str,
        release: &str,
        change: impl FnOnce(RingMembership) -> RingMembership,
    ) -> Self {
        let requests = Arc::new(Requests::default());
        let mut config = ControlPlane::shared().await.unwrap().client_config();
        config.default_retry = false;
        let client: Client =
            ClientBuilder::try_from(config).unwrap().with_layer(&Counting(requests.clone())).build();
        let (ring, pod) = (format!("--ring-namespace={}", world.namespace), format!("--pod-name={name}"));
        let release = format!("--release={release}");
        let args = [&[ring.as_str(), &pod, &release], &RING[..]].concat();
        let config = common::config(&world.namespace, &args);
        let share =
            change(ring_membership::join(client.clone(), &config, String::new(), clocks::now()).unwrap());
        let clouds = Arc::new(aws(&world.ec2.url(), name));
        let parts = Parts { client, clouds, clock: Clock::default(), membership: share };
        let stop = CancellationToken::new();
        let stops = stop.clone();
        let task = tokio::spawn(async move { Operator::new(&config, parts).unwrap().run(stops).await });
        Self { stop, task, requests }
    }

    /// Stops it gracefully and waits for its end.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Owners of slots by Pod name.
async fn owners(world: &World) -> BTreeMap<u16, String> {
    let rings: Api<RingCrd> = Api::namespaced(world.client.clone(), &world.namespace);
    let ring = rings.get_opt("booking-operator").await.unwrap();
    let Some(ring) = ring else {
        return BTreeMap::new();
    };
    let slots = ring.spec.slots;
    let members = ring.status.unwrap_or_default().members;
    let owned = members.into_iter().flat_map(|member| {
        let slots = ranges::read(&member.owns, slots).unwrap();
        // The incarnation's random part is of no interest.
        let pod = member.name.rsplit_once('-').unwrap().0.to_owned();
        slots.into_iter().map(move |slot| (slot.0, pod.clone()))
    });
    owned.collect()
}

/// Waits until the slots are shared as wanted.
async fn shared(world: &World, what: &str, is: impl Fn(&BTreeMap<&str, usize>) -> bool) {
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    loop {
        let owners = owners(world).await;
        let mut shares = BTreeMap::new();
        for owner in owners.values() {
            *shares.entry(owner.as_str()).or_default() += 1;
        }
        if is(&shares) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "never {what}: {shares:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn shared_by(world: &World, count: usize) {
    let even = |shares: &BTreeMap<&str, usize>| {
        shares.len() == count && shares.values().all(|share| share.abs_diff(512 / count) <= 1)
    };
    shared(world, &format!("shared by {count}"), even).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_ring_costs_its_renewals_and_no_reads() {
    // given three replicas that share the work, and groups to work on
    let world = World::without_operator("ring").await;
    let mut replicas = vec![];
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(&world, name, "").await);
    }
    for number in 0..12 {
        world.machines(&format!("group-{number}"), 1, InstanceState::Stopped);
        world.resource(&format!("group-{number}"), &format!("group-{number}")).await;
    }
    shared_by(&world, 3).await;
    for number in 0..12 {
        world.resource_with_reason(&format!("group-{number}"), "Stopped").await;
    }
    tokio::time::sleep(5 * RENEW).await;
    // when nothing happens for twenty renewals
    let begun = tokio::time::Instant::now();
    let before: Vec<_> = replicas.iter().map(|replica| replica.requests.counts()).collect();
    tokio::time::sleep(20 * RENEW).await;
    let intervals = begun.elapsed().as_secs_f64() / RENEW.as_secs_f64();
    // then each writes once per renewal (0.35 per s at the default of 3 s is 1.05), the leader twice, and
    // nobody reads
    let mut writes = vec![];
    for (replica, before) in replicas.iter().zip(before) {
        let after = replica.requests.counts();
        assert_eq!(after.1 - before.1, 0, "no reads");
        #[allow(clippy::cast_precision_loss, reason = "some hundred")]
        writes.push((after.0 - before.0) as f64 / intervals);
    }
    writes.sort_by(f64::total_cmp);
    println!("writes per renewal interval: {writes:.2?}");
    assert!(writes[0] <= 1.05 && writes[1] <= 1.05 && writes[2] <= 2.1, "{writes:?}");
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_part_in_the_ring_breaks_ends() {
    // given a replica whose ring panics
    let world = World::without_operator("broken").await;
    let breaks = |share| match share {
        RingMembership::Member { handle, reference, .. } => {
            RingMembership::Member { handle, reference, run: Box::pin(async { panic!("a bug") }) }
        }
        RingMembership::None => share,
    };
    let replica = Replica::start_with(&world, "broken", "", breaks).await;
    // then nobody has to tell it to stop
    tokio::time::timeout(common::PATIENCE, replica.task).await.expect("it ends").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_group_is_handed_over_and_stopped_when_its_booking_ends() {
    // given a booking that its owner has brought to hold its group
    let world = World::without_operator("handover").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let first = Replica::start(&world, "first", "").await;
    world.resource("web", "web").await;
    let window = for_ms(25_000);
    world.book("b", "web", "ann", window).await;
    world.booking_with_reason("b", "Held").await;
    // when another replica comes and the first one goes
    let second = Replica::start(&world, "second", "").await;
    shared_by(&world, 2).await;
    first.stop().await;
    shared_by(&world, 1).await;
    assert!(in_ms(0) < window.1, "handed over before the end");
    // then the other one stops it at its end, and nobody did before
    world.booking_when("b", "finished", |booking| state_word(booking) == "FINISHED").await;
    world.settled(&ids, InstanceState::Stopped).await;
    let stops = world.calls("StopInstances");
    assert!(stops.iter().all(|call| call.arrived.wall.unix_micros() >= window.1.as_microsecond()));
    assert_eq!(world.calls("StartInstances").len(), 1, "what runs is not started again");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_moves_each_slot_once() {
    // given three replicas of one release
    let world = World::without_operator("rollout").await;
    let mut old = vec![];
    for name in ["old-a", "old-b", "old-c"] {
        old.push(Replica::start(&world, name, "old").await);
    }
    shared_by(&world, 3).await;
    let mut known = owners(&world).await;
    let mut moves: BTreeMap<u16, usize> = BTreeMap::new();
    // when each is replaced by a new one, which comes first
    let mut new = vec![];
    for (number, replica) in old.into_iter().enumerate() {
        new.push(Replica::start(&world, &format!("new-{number}"), "new").await);
        tokio::time::sleep(3 * RENEW).await;
        replica.stop().await;
        let now = owners(&world).await;
        assert_eq!(now.len(), 512, "every slot has an owner");
        for (slot, owner) in &now {
            if known.get(slot) != Some(owner) {
                *moves.entry(*slot).or_default() += 1;
            }
        }
        known = now;
    }
    // then each slot has moved once
    shared_by(&world, 3).await;
    assert!(known.values().all(|owner| owner.starts_with("new")));
    let most = moves.values().max();
    println!("moves of a slot: {most:?} at most, {} in all", moves.values().sum::<usize>());
    assert_eq!(most, Some(&1));
    for replica in new {
        replica.stop().await;
    }
}

/// Counts a client's requests, watches apart.
#[derive(Clone)]
struct Counting(Arc<Requests>);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, requests: self.0.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    requests: Arc<Requests>,
}

impl<S, B> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        if request.method() != http::Method::GET {
            self.requests.writes.fetch_add(1, Ordering::Relaxed);
        } else if !is_watch {
            self.requests.reads.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(self.inner.call(request))
    }
}
