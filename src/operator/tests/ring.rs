//! Several replicas on one API server: they share the work, hand it over, and send few requests while nothing
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
use common::{World, arrived, aws, eventually, soon, state_word, the_hour};
use kube::{Api, Client, client::ClientBuilder};
use serde_json::json;
use testbed::{control_plane::ControlPlane, ec2::InstanceState, patience::patient};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

/// The product's durations divided by five. They are longer on a busy machine, because a permit would lapse there.
fn ring_flags() -> [String; 4] {
    let flags = [
        ("lease-duration", 3_000),
        ("renew-interval", 600),
        ("permit-duration", 1_600),
        ("call-timeout", 800),
    ];
    flags.map(|(flag, ms)| format!("--{flag}={}ms", patient(Duration::from_millis(ms)).as_millis()))
}

/// Time between two renewals.
fn renewal() -> Duration {
    patient(Duration::from_millis(600))
}

/// A replica in this process.
struct Replica {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    requests: Arc<Requests>,
}

/// How many requests a replica has sent to the API server.
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
        let flags = [ring_flags().to_vec(), vec![ring, pod, format!("--release={release}")]].concat();
        let args: Vec<&str> = flags.iter().map(String::as_str).collect();
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

    /// Stops it in order and waits for its end.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// The slots of each member, by Pod name.
async fn members(world: &World) -> BTreeMap<String, Vec<u16>> {
    let rings: Api<RingCrd> = Api::namespaced(world.client.clone(), &world.namespace);
    let Some(ring) = rings.get_opt("booking-operator").await.unwrap() else {
        return BTreeMap::new();
    };
    let slots = ring.spec.slots;
    let members = ring.status.unwrap_or_default().members;
    let owned = members.into_iter().map(|member| {
        let owned = ranges::read(&member.owns, slots).unwrap().into_iter().map(|slot| slot.0);
        // The random part of the incarnation does not matter.
        (member.name.rsplit_once('-').unwrap().0.to_owned(), owned.collect())
    });
    owned.collect()
}

/// Owners of slots by Pod name.
async fn owners(world: &World) -> BTreeMap<u16, String> {
    let members = members(world).await.into_iter();
    members.flat_map(|(pod, slots)| slots.into_iter().map(move |slot| (slot, pod.clone()))).collect()
}

/// Waits until the slots are distributed as wanted.
async fn shared(world: &World, what: &str, is: impl Fn(&BTreeMap<&str, usize>) -> bool) {
    let deadline = tokio::time::Instant::now() + common::patience();
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
async fn a_settled_ring_costs_its_renewals_and_a_list_of_neighbours_a_minute() {
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
    tokio::time::sleep(5 * renewal()).await;
    // when nothing happens for twenty renewals. Everything that is counted happens within the measured time.
    let counts = || replicas.iter().map(|replica| replica.requests.counts()).collect::<Vec<_>>();
    let (begun, before) = (tokio::time::Instant::now(), counts());
    tokio::time::sleep(20 * renewal()).await;
    let after = counts();
    let intervals = begun.elapsed().as_secs_f64() / renewal().as_secs_f64();
    // then each replica writes once per renewal (0.35 per s at the default of 3 s is 1.05), the leader twice. The
    // only reads are lists of other rings, once a minute.
    let lists = begun.elapsed().as_secs() / 60 + 1;
    let mut writes = vec![];
    for (before, after) in before.into_iter().zip(after) {
        let reads = after.1 - before.1;
        assert!(reads as u64 <= lists, "{reads} reads in {:?}", begun.elapsed());
        #[allow(clippy::cast_precision_loss, reason = "some hundred")]
        writes.push((after.0 - before.0) as f64 / intervals);
    }
    writes.sort_by(f64::total_cmp);
    println!("writes per renewal interval: {writes:.2?}");
    // One more each may fall into the time that is measured.
    assert!(writes[0] <= 1.1 && writes[1] <= 1.1 && writes[2] <= 2.2, "{writes:?}");
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
    // then it ends without being told to stop
    tokio::time::timeout(common::patience(), replica.task).await.expect("it ends").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_group_is_handed_over_and_stopped_when_its_booking_ends() {
    // given a booking whose owner has brought its group into the hold
    let world = World::without_operator("handover").await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    let first = Replica::start(&world, "first", "").await;
    world.resource("web", "web").await;
    world.book("b", "web", "ann", the_hour()).await;
    world.booking_with_reason("b", "Held").await;
    // when another replica starts and the first one stops
    let second = Replica::start(&world, "second", "").await;
    shared_by(&world, 2).await;
    first.stop().await;
    shared_by(&world, 1).await;
    assert!(world.calls("StopInstances").is_empty(), "nobody stopped what was handed over");
    // then the other replica stops the group at the booking's end, and not before
    let end = soon(1_500);
    world.edit_booking("b", json!({ "end_at": end.to_string() })).await;
    world.booking_when("b", "finished", |booking| state_word(booking) == "FINISHED").await;
    world.settled(&ids, InstanceState::Stopped).await;
    let stops = world.calls("StopInstances");
    assert!(stops.iter().all(|call| arrived(call) >= end), "{end}: {stops:?}");
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
    // when each is replaced by a new one, which starts first
    let mut new = vec![];
    for (number, replica) in old.into_iter().enumerate() {
        let name = format!("new-{number}");
        new.push(Replica::start(&world, &name, "new").await);
        eventually("it is a member", async || members(&world).await.contains_key(&name)).await;
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

/// Counts a client's requests. Watches are counted separately.
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
