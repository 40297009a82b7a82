//! Which calls reach the cloud, and when, if many requests come at the same time.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use booking_budget::{Priority, Rank};
use futures::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::{error::ErrorClass, provider::InstanceState};
use booking_decision::permit::{Permit, PermitLapsed, RunningCall, Unlimited};

const GROUP: &str = "group";

/// A cloud that has every machine, records all calls, and fails if the test says so.
struct Fake {
    key: CloudKey,
    calls: Mutex<Vec<(&'static str, Vec<String>)>>,
    fails: Mutex<Option<CloudError>>,
    begun: Instant,
}

impl Fake {
    fn new() -> Arc<Self> {
        let key = CloudKey { account: String::new(), region: "here-1".into(), service: "ec2".into() };
        let (calls, fails) = (Mutex::default(), Mutex::default());
        Arc::new(Self { key, calls, fails, begun: Instant::now() })
    }

    fn fail(&self, code: &str) {
        *self.fails.lock().unwrap() = Some(CloudError::from_code(code, "no", Some(503)));
    }

    fn called(&self, what: &'static str, ids: &[String]) -> Result<(), CloudError> {
        self.calls.lock().unwrap().push((what, ids.to_vec()));
        self.fails.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// How many machines or groups each call named.
    fn sizes(&self, what: &str) -> Vec<usize> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(of, _)| *of == what).map(|(_, ids)| ids.len()).collect()
    }
}

#[async_trait]
impl Provider for Fake {
    fn key(&self) -> &CloudKey {
        &self.key
    }

    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError> {
        self.called("describe", groups)?;
        let machine = |group: &String| Instance {
            id: format!("i-{group}"),
            state: InstanceState::Stopped,
            tags: BTreeMap::from([(GROUP.to_owned(), group.clone())]),
            ..Instance::default()
        };
        Ok(groups.iter().map(machine).collect())
    }

    async fn discover(&self, _: &Tag) -> Result<Vec<Instance>, CloudError> {
        self.called("discover", &[]).map(|()| Vec::new())
    }

    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        let answer = match permit.begin() {
            Ok(call) => {
                call.replied();
                self.called(mutation.action().as_str(), ids)
            }
            Err(lapsed) => Err(lapsed.into()),
        };
        ids.iter().map(|id| (id.clone(), answer.clone())).collect()
    }
}

/// A permit that can run out.
#[derive(Default)]
struct Revocable(AtomicBool);

impl Permit for Revocable {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        if self.0.load(Ordering::Relaxed) { Err(PermitLapsed) } else { Unlimited.begin() }
    }

    fn call_timeout(&self) -> Duration {
        Unlimited.call_timeout()
    }
}

fn wants(mutation: Mutation, asker: &str, machines: usize) -> Request {
    let priority = Priority { rank: Rank::Due, due: SystemTime::UNIX_EPOCH, user: "ann".into() };
    let ids = (0..machines).map(|number| format!("{asker}-{number}")).collect();
    Request { mutation, ids, asker: asker.into(), priority, permit: Arc::new(Unlimited) }
}

fn locks(user: &str) -> Mutation {
    Mutation::Tag(vec![("locked-by".to_owned(), user.to_owned())])
}

fn all_done(results: &[Results]) -> bool {
    results.iter().all(|results| !results.is_empty() && results.values().all(Result::is_ok))
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_once_shares_a_describe_and_gets_the_own_group_only() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    let groups: Vec<String> = (0..150).map(|number| format!("g{number}")).collect();
    let found = join_all(groups.iter().map(|group| cloud.describe(group, Haste::Due))).await;
    assert_eq!(fake.sizes("describe"), [150]);
    for (group, found) in groups.iter().zip(found) {
        assert_eq!(found.unwrap()[0].id, format!("i-{group}"));
    }
    // a later describe gets what is there then
    cloud.describe("g1", Haste::Due).await.unwrap();
    assert_eq!(fake.sizes("describe"), [150, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_patient_describe_waits_for_others_unless_one_in_a_hurry_joins() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    cloud.describe("a", Haste::Patient).await.unwrap();
    assert!(fake.begun.elapsed() >= Duration::from_millis(250));
    let again = Instant::now();
    let (patient, hurried) = tokio::join!(cloud.describe("a", Haste::Patient), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cloud.describe("b", Haste::Due).await
    });
    assert!(patient.is_ok() && hurried.is_ok());
    assert_eq!(fake.sizes("describe"), [1, 2]);
    assert!(again.elapsed() < Duration::from_millis(70), "{:?}", again.elapsed());
}

#[tokio::test(start_paused = true)]
async fn describes_never_come_faster_than_their_tokens_and_more_share_a_call_then() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    // when a describe comes each eleven milliseconds for half a minute, each too late to join the one before
    let asks = (0..2700_u32).map(|number| {
        let cloud = &cloud;
        async move {
            tokio::time::sleep(Duration::from_millis(11) * number).await;
            cloud.describe(&format!("g{number}"), Haste::Due).await.unwrap();
        }
    });
    join_all(asks).await;
    let calls = fake.sizes("describe").len();
    let allowed = 100.0 + 20.0 * fake.begun.elapsed().as_secs_f64();
    assert!(f64::from(u32::try_from(calls).unwrap()) <= allowed, "{calls} calls, {allowed}");
    assert_eq!(fake.sizes("describe").iter().sum::<usize>(), 2700);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_to_start_are_one_call_a_moment_later() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    let requests = (0..1000).map(|n| cloud.mutate(wants(Mutation::Start, &format!("b{n}"), 1)));
    let results = join_all(requests).await;
    assert!(all_done(&results));
    assert_eq!(fake.sizes("start"), [1000]);
    assert!(fake.begun.elapsed() < Duration::from_millis(100), "{:?}", fake.begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn locks_of_one_user_and_end_share_a_call_and_others_have_their_own() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    let requests = (0..40).map(|n| {
        let user = if n % 2 == 0 { "ann" } else { "bob" };
        cloud.mutate(wants(locks(user), &format!("b{n}"), 3))
    });
    assert!(all_done(&join_all(requests).await));
    assert_eq!(fake.sizes("tag"), [60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_long_is_told_when_to_come_and_goes_then() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    assert!(all_done(&[cloud.mutate(wants(Mutation::Start, "first", 1000)).await]));
    let told = cloud.mutate(wants(Mutation::Start, "second", 10)).await;
    let error = told.values().next().unwrap().clone().unwrap_err();
    assert_eq!((error.class, fake.sizes("start").len()), (ErrorClass::Queued, 1));
    let wait = error.retry_after.unwrap();
    assert!((4..=5).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(cloud.standing(Action::Start).demand, 10);
    tokio::time::sleep(wait).await;
    assert!(all_done(&[cloud.mutate(wants(Mutation::Start, "second", 10)).await]));
    assert_eq!((fake.sizes("start"), cloud.standing(Action::Start).demand), (vec![1000, 10], 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_moment_only_is_sent_then() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    for n in 0..7 {
        // the requests are too far apart to share a call
        assert!(all_done(&[cloud.mutate(wants(Mutation::Start, &format!("b{n}"), 1)).await]), "{n}");
    }
    assert_eq!(fake.sizes("start").len(), 7);
    assert!(fake.begun.elapsed() > Duration::from_millis(700), "{:?}", fake.begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_permit_has_run_out_is_left_out_and_the_others_go() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    let lapsed = Arc::new(Revocable::default());
    let mut request = wants(Mutation::Stop, "lapsed", 2);
    request.permit = lapsed.clone();
    // when the permit runs out while the request waits for others
    let (bad, good, ()) =
        tokio::join!(cloud.mutate(request), cloud.mutate(wants(Mutation::Stop, "good", 2)), async {
            lapsed.0.store(true, Ordering::Relaxed);
        });
    assert!(all_done(&[good]));
    assert_eq!(fake.sizes("stop"), [2]);
    assert!(
        bad.values()
            .all(|result| { result.as_ref().is_err_and(|error| error.class == ErrorClass::PermitLapsed) })
    );
}

#[tokio::test(start_paused = true)]
async fn after_throttling_nothing_is_sent_for_a_while() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    fake.fail("RequestLimitExceeded");
    let results = cloud.mutate(wants(Mutation::Stop, "a", 1)).await;
    assert_eq!(results["a-0"].as_ref().unwrap_err().class, ErrorClass::Throttled);
    *fake.fails.lock().unwrap() = None;
    let told = cloud.mutate(wants(Mutation::Stop, "a", 1)).await;
    let wait = told["a-0"].as_ref().unwrap_err().retry_after.unwrap();
    assert!(wait > Duration::from_millis(300), "{wait:?}");
    tokio::time::sleep(wait).await;
    assert!(all_done(&[cloud.mutate(wants(Mutation::Stop, "a", 1)).await]));
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_does_not_work_is_asked_seldom() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    fake.fail("InternalError");
    for _ in 0..100 {
        let error = cloud.describe("g", Haste::Due).await.unwrap_err();
        assert_eq!(error.code, "InternalError");
        let results = cloud.mutate(wants(Mutation::Stop, "a", 1)).await;
        assert!(results["a-0"].is_err());
    }
    let calls = fake.calls.lock().unwrap().len();
    assert!(calls <= 40, "{calls} of two hundred");
    // when it works again, then calls succeed soon
    *fake.fails.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(30)).await;
    cloud.describe("g", Haste::Due).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_machines_cost_nothing() {
    let fake = Fake::new();
    let cloud = Dispatcher::new(fake.clone(), GROUP);
    assert!(cloud.mutate(wants(Mutation::Start, "none", 0)).await.is_empty());
    assert!(fake.calls.lock().unwrap().is_empty());
}
