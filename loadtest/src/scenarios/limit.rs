//! Ten thousand machines in groups of ten are all due at once, in virtual time, because EC2's own refill is the limit
//! and takes hours. The scenario runs the operator's real dispatchers, of one replica and of several. Each has its own
//! groups and a share of the budget by its demand. They use the simulated cloud's buckets without a network.
//!
//! The physical limit: a thousand machines at once, then two a second.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use booking_budget::{Action, Priority, Rank, plenty, share::part};
use booking_cloud::{
    CloudError, CloudKey, Dispatcher, ErrorClass, Instance, Mutation, Provider, Request, Results, Tag,
    dispatch::BudgetLevel,
};
use booking_decision::permit::{Permit, Unlimited};
use serde_json::json;
use testbed::ec2::{
    AddInstances, Ec2Config, Ec2Simulator, Ec2World, GROUP_TAG, InstanceState, Scope, TokenBuckets,
};
use tokio::time::Instant;

use crate::{
    Failure,
    args::Args,
    calls::Calls,
    report::{Figure, Outcome},
};

const GROUP: usize = 10;
/// The buckets of `StartInstances`: the machines of a full bucket, and the machines per second.
const BURST: f64 = 1000.0;
const REFILL: f64 = 2.0;
/// The time from a call to its answer.
const ROUND_TRIP: Duration = Duration::from_millis(80);
/// The time after which a replica learns the others' demand again, and the age of that demand then.
const RENEWAL: Duration = Duration::from_secs(3);
const ACCOUNT: &str = "000000000000";

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    // Virtual time costs nothing, so `--quick` has the same number.
    let machines = args.due.map_or(10_000, |due| due * GROUP);
    let mut outcome = Outcome::default();
    #[allow(clippy::cast_precision_loss, reason = "some thousand machines")]
    let limit = ((machines as f64 - BURST) / REFILL).max(0.0);
    for (replicas, names) in [
        (1, ["one_replica_of_limit", "one_replica_throttled_percent"]),
        (3, ["three_replicas_of_limit", "three_replicas_throttled_percent"]),
    ] {
        // Paused time needs a runtime of its own with one thread.
        let done = std::thread::spawn(move || -> Result<_, String> {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(start_all(machines, replicas)).map_err(|error| error.to_string())
        });
        let (seconds, throttled) = done.join().map_err(|_| "the simulation panicked")??;
        println!("   {replicas} replicas: {seconds:.0} s of virtual time, the limit is {limit:.0} s");
        let [of_limit, percent] = names;
        outcome.figures.push(Figure::at_most(of_limit, seconds / limit, 1.05));
        outcome.figures.push(Figure::at_most(percent, throttled, 1.0));
    }
    outcome.details.insert("machines".into(), json!(machines));
    outcome.details.insert("limit_s".into(), json!(limit));
    outcome.details.insert("time".into(), json!("virtual"));
    Ok(outcome)
}

/// The seconds until the last machine was started, and the part of calls that were throttled, in percent.
async fn start_all(machines: usize, replicas: usize) -> Result<(f64, f64), Failure> {
    let config = Ec2Config { admission: Arc::new(TokenBuckets::default()), ..Ec2Config::default() };
    let simulator = Ec2Simulator::start(config.virtual_clock()).await?;
    let world = simulator.world().clone();
    let lockstep = Arc::new(Lockstep { world: world.clone(), last: Mutex::new(Instant::now()) });
    let begun = world.clock().now;
    let clouds: Vec<Arc<Dispatcher>> = (0..replicas)
        .map(|number| Arc::new(Dispatcher::new(Arc::new(InProcess::new(&lockstep, number)), GROUP_TAG)))
        .collect();
    // While no replica has reported any demand, all have the same part.
    share(&clouds);
    let sharing = tokio::spawn({
        let clouds = clouds.clone();
        async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                share(&clouds);
            }
        }
    });
    let mut groups = tokio::task::JoinSet::new();
    for number in 0..machines / GROUP {
        let name = format!("group-{number:05}");
        let add = AddInstances::count(GROUP).tag(GROUP_TAG, &name).state(InstanceState::Stopped);
        let ids = world.add_instances(&add)?;
        // Groups are distributed by hash, as keys are, so not evenly.
        let owner = fnv(&name) % replicas;
        if let Some(cloud) = clouds.get(owner).cloned() {
            groups.spawn(async move { start_group(&cloud, name, ids).await });
        }
    }
    while groups.join_next().await.transpose()?.is_some() {}
    sharing.abort();
    let (calls, _) = Calls::since(&world, 0);
    let started = |call: &&testbed::ec2::CallRecord| call.took_effect;
    let last = calls.0.iter().filter(started).map(|call| call.arrived.sim.unix_micros()).max();
    #[allow(clippy::cast_precision_loss, reason = "microseconds of some hours")]
    let seconds = (last.unwrap_or_default() - begun.unix_micros()) as f64 / 1e6;
    #[allow(clippy::cast_precision_loss, reason = "some thousand calls")]
    let throttled = calls.throttled().values().sum::<usize>() as f64 / calls.0.len() as f64 * 100.0;
    Ok((seconds, throttled))
}

/// Does what a pass does: it sends, and it comes again when it is told to.
async fn start_group(cloud: &Dispatcher, name: String, mut ids: Vec<String>) {
    let asker: Arc<str> = name.into();
    while !ids.is_empty() {
        let priority = Priority { rank: Rank::Due, due: SystemTime::UNIX_EPOCH, user: asker.clone() };
        let request = Request {
            mutation: Mutation::Start,
            ids: ids.clone(),
            asker: asker.clone(),
            priority,
            permit: Arc::new(Unlimited),
        };
        let results: Results = cloud.mutate(request).await;
        let errors: HashMap<&String, &CloudError> =
            results.iter().filter_map(|(id, result)| Some((id, result.as_ref().err()?))).collect();
        let wait = errors.values().map(|error| match error.class {
            ErrorClass::Queued => error.retry_after.unwrap_or_default(),
            class => class.backoff().0,
        });
        let wait = wait.min().unwrap_or_default();
        ids.retain(|id| errors.contains_key(id));
        tokio::time::sleep(wait).await;
    }
}

fn share(clouds: &[Arc<Dispatcher>]) {
    let standings: Vec<_> = clouds.iter().map(|cloud| cloud.standing(Action::Start)).collect();
    for (number, cloud) in clouds.iter().enumerate() {
        let others = || standings.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, it)| it);
        let demand = |standing: &BudgetLevel| u64::try_from(standing.demand).unwrap_or_default();
        let demands: Vec<u64> = others().map(demand).collect();
        let own = standings.get(number).map(demand).unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "a few replicas")]
        let fill = others().map(|standing| standing.fill).sum::<f64>() / demands.len().max(1) as f64;
        let own_fill = standings.get(number).map_or(0.0, |standing| standing.fill);
        let fill = fill.min(own_fill);
        let plenty = plenty(&cloud.key().service, Action::Start, fill);
        cloud.set_share(Action::Start, part(own, &demands, plenty), fill);
    }
}

fn fnv(text: &str) -> usize {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 8).unwrap_or_default()
}

/// Moves the cloud's clock with tokio's.
struct Lockstep {
    world: Ec2World,
    last: Mutex<Instant>,
}

impl Lockstep {
    fn catch_up(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // The world's clock is virtual, so it can be moved.
        let _ = self.world.advance(now - *last);
        *last = now;
    }
}

/// The cloud without a network. It has only starts.
struct InProcess {
    key: CloudKey,
    scope: Scope,
    caller: String,
    lockstep: Arc<Lockstep>,
}

impl InProcess {
    fn new(lockstep: &Arc<Lockstep>, number: usize) -> Self {
        let region = testbed::ec2::DEFAULT_REGION.to_owned();
        Self {
            key: CloudKey { account: String::new(), region: region.clone(), service: "ec2".into() },
            scope: Scope { account: ACCOUNT.to_owned(), region },
            caller: format!("replica-{number}"),
            lockstep: lockstep.clone(),
        }
    }
}

#[async_trait]
impl Provider for InProcess {
    fn key(&self) -> &CloudKey {
        &self.key
    }

    async fn describe(&self, _: &[String]) -> Result<Vec<Instance>, CloudError> {
        Ok(Vec::new())
    }

    async fn discover(&self, _: &Tag) -> Result<Vec<Instance>, CloudError> {
        Ok(Vec::new())
    }

    async fn mutate(&self, _: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        if *mutation != Mutation::Start {
            return Results::new();
        }
        tokio::time::sleep(ROUND_TRIP / 2).await;
        self.lockstep.catch_up();
        let answer = self.lockstep.world.start_call(&self.caller, &self.scope, ids);
        tokio::time::sleep(ROUND_TRIP / 2).await;
        let answer =
            answer.map_err(|error| CloudError::from_code(&error.code, &error.message, Some(error.status)));
        ids.iter().map(|id| (id.clone(), answer.clone())).collect()
    }
}
