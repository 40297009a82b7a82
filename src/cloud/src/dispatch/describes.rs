//! Describes: callers that ask at the same time share a call.
//!
//! The first caller opens a round, and callers that come before it goes out join it. The round goes out after a moment,
//! or as soon as there are tokens for it. So the fewer tokens there are, the more callers share a call.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_budget::{Action, Bucket, limits};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{sync::watch, time::Instant};

use super::{
    circuit::Circuit,
    request::{BudgetLevel, Haste},
};
use crate::{
    error::{CloudError, ErrorClass},
    provider::{Instance, Provider},
};

/// How long a round waits for others to join if somebody is in a hurry: less than a round trip to a cloud.
const WINDOW: Duration = Duration::from_millis(10);
/// How long a round waits if nobody is in a hurry.
const PATIENT_WINDOW: Duration = Duration::from_millis(250);
/// The most groups that a call may name, see `Ec2`. The number of groups tells what a round costs.
const GROUPS_PER_CALL: usize = 200;
/// The machines of a page.
const MACHINES_PER_PAGE: usize = 1000;
/// Polls do not use this part of the tokens, so that describes that somebody waits for find some.
const LEFT_TO_OTHERS: f64 = 0.5;
/// The longest time for which a poll gives way.
const GIVES_WAY: Duration = Duration::from_mins(1);

/// Machines by their group.
pub type Found = Arc<HashMap<String, Vec<Instance>>>;
type Answer = Shared<BoxFuture<'static, Result<Found, CloudError>>>;

struct Round {
    groups: BTreeSet<String>,
    goes_at: watch::Sender<Instant>,
    answer: Answer,
}

/// The describes of one cloud. Clones share the rounds.
#[derive(Clone)]
pub(super) struct Describes(Arc<Inner>);

struct Inner {
    provider: Arc<dyn Provider>,
    group_tag: String,
    circuit: Arc<Mutex<Circuit>>,
    bucket: Mutex<Option<Bucket>>,
    round: Mutex<Option<Round>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Describes {
    pub(super) fn new(provider: Arc<dyn Provider>, group_tag: &str, circuit: Arc<Mutex<Circuit>>) -> Self {
        let limits = limits(&provider.key().service, Action::Describe);
        let bucket = limits.calls.map(|rate| Bucket::of_calls(rate, Instant::now().into_std()));
        let (bucket, round) = (Mutex::new(bucket), Mutex::default());
        Self(Arc::new(Inner { provider, group_tag: group_tag.to_owned(), circuit, bucket, round }))
    }

    /// The machines of a group. The answer is not older than this call.
    pub(super) async fn describe(&self, group: &str, haste: Haste) -> Result<Vec<Instance>, CloudError> {
        let window = if haste == Haste::Due { WINDOW } else { PATIENT_WINDOW };
        let goes_at = Instant::now() + window;
        let answer = {
            let mut round = lock(&self.0.round);
            let round = round.get_or_insert_with(|| self.round(goes_at));
            round.groups.insert(group.to_owned());
            round.goes_at.send_if_modified(|known| {
                let sooner = goes_at < *known;
                *known = goes_at.min(*known);
                sooner
            });
            round.answer.clone()
        };
        Ok(answer.await?.get(group).cloned().unwrap_or_default())
    }

    fn round(&self, goes_at: Instant) -> Round {
        let describes = self.clone();
        let (goes_at, mut sooner) = watch::channel(goes_at);
        let answer = async move {
            loop {
                let at = *sooner.borrow_and_update();
                tokio::select! {
                    () = tokio::time::sleep_until(at) => break,
                    _ = sooner.changed() => {}
                }
            }
            loop {
                let groups = lock(&describes.0.round).as_ref().map_or(0, |round| round.groups.len());
                let Some(wait) = describes.tokens_for(groups, 0.0) else { break };
                tokio::time::sleep(wait).await;
            }
            let round = lock(&describes.0.round).take();
            let groups: Vec<String> = round.into_iter().flat_map(|round| round.groups).collect();
            describes.send(&groups).await
        };
        Round { groups: BTreeSet::new(), goes_at, answer: answer.boxed().shared() }
    }

    /// The machines of many groups, for a routine poll. A poll gives way to describes that somebody waits for.
    pub(super) async fn poll(&self, groups: &[String]) -> Result<Found, CloudError> {
        let begun = Instant::now();
        loop {
            let patient = begun.elapsed() < GIVES_WAY;
            let left = if patient { LEFT_TO_OTHERS } else { 0.0 };
            let Some(wait) = self.tokens_for(groups.len(), left) else { break };
            tokio::time::sleep(wait).await;
        }
        self.send(groups).await
    }

    /// Takes the tokens that the groups cost, unless less than the part `left` of the bucket would remain. If nothing
    /// was taken, the answer is how long that will take.
    fn tokens_for(&self, groups: usize, left: f64) -> Option<Duration> {
        let now = Instant::now().into_std();
        let mut bucket = lock(&self.0.bucket);
        let bucket = bucket.as_mut()?;
        let calls = groups.div_ceil(GROUPS_PER_CALL).max(1);
        #[allow(clippy::cast_precision_loss, reason = "calls are few")]
        let calls = (calls as f64).min(bucket.capacity());
        let reserve = (bucket.capacity() * left).min(bucket.capacity() - calls).max(0.0);
        let missing = calls + reserve - bucket.level(now);
        if missing <= 1e-6 {
            bucket.take(calls, now);
            return None;
        }
        Some(bucket.time_for(missing, now).max(Duration::from_millis(1)))
    }

    async fn send(&self, groups: &[String]) -> Result<Found, CloudError> {
        lock(&self.0.circuit).enter(Instant::now())?;
        let answer = self.0.provider.describe(groups).await;
        self.answered(answer.as_ref().err());
        let mut found: HashMap<String, Vec<Instance>> = HashMap::new();
        let answer = answer?;
        self.pay_for_pages(answer.len());
        for machine in answer {
            if let Some(group) = machine.tags.get(&self.0.group_tag).cloned() {
                found.entry(group).or_default().push(machine);
            }
        }
        Ok(Arc::new(found))
    }

    /// Learns from the answer of a describe.
    pub(super) fn answered(&self, error: Option<&CloudError>) {
        let now = Instant::now();
        lock(&self.0.circuit).answered(error, now);
        if error.is_some_and(|error| error.class == ErrorClass::Throttled)
            && let Some(bucket) = lock(&self.0.bucket).as_mut()
        {
            bucket.throttled(now.into_std());
        }
    }

    pub(super) fn set_share(&self, share: f64, others_fill: f64) {
        if let Some(bucket) = lock(&self.0.bucket).as_mut() {
            bucket.set_share(share, others_fill, Instant::now().into_std());
        }
    }

    pub(super) fn standing(&self) -> BudgetLevel {
        let now = Instant::now().into_std();
        let fill = lock(&self.0.bucket).as_mut().map_or(1.0, |bucket| bucket.fill(now));
        BudgetLevel { demand: 0, fill }
    }

    /// Takes the tokens of the pages after the first one, because each page is a call.
    fn pay_for_pages(&self, machines: usize) {
        if let Some(bucket) = lock(&self.0.bucket).as_mut() {
            let now = Instant::now().into_std();
            #[allow(clippy::cast_precision_loss, reason = "pages are few")]
            let pages = (machines / MACHINES_PER_PAGE) as f64;
            let there = bucket.level(now);
            bucket.take(pages.min(there), now);
        }
    }
}
