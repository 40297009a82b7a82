//! Mutations of one action. Requests that come together go out together, in the order of their priorities, as many as
//! the budget has tokens for.
//!
//! ```text
//! request -> pending -> (a moment) -> ActionBudget: which go, which wait -> a call for each kind -> results
//! ```
//!
//! If a request has to wait for only a moment, it is sent then. Others are told when to come again, and the queue keeps
//! their entries.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_budget::{Action, ActionBudget, Ask, Expected, MACHINES_PER_CALL, Verdict, limits};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    circuit::Circuit,
    joint_permit::{JointPermit, in_force},
    request::{BudgetLevel, Request},
};
use crate::{
    error::{CloudError, ErrorClass},
    provider::{Mutation, Provider, Results},
};
use booking_decision::{impossible, permit::PermitLapsed};

/// Requests that come no further apart than this go out together.
const IDLE: Duration = Duration::from_millis(20);
/// The longest time for which a request waits for others to come.
const LONGEST: Duration = Duration::from_millis(200);
/// When to ask again for the rest of a request that was too large for the bucket.
const NEXT_PART: Duration = Duration::from_secs(1);
/// If permits run out between their check and the call, the call is tried this often with the permits that remain.
const TRIES: usize = 3;

/// The longest time for which a request waits here for tokens. A start may wait, because a late start does no harm. A
/// stop or a lock does not wait, because it has to be decided again when it can go.
fn patience(action: Action) -> Duration {
    if action == Action::Start { Duration::from_secs(1) } else { Duration::ZERO }
}

/// The requests of one action at one cloud.
pub(super) struct Mutations {
    action: Action,
    provider: Arc<dyn Provider>,
    circuit: Arc<Mutex<Circuit>>,
    state: Mutex<State>,
}

struct State {
    budget: ActionBudget,
    pending: Vec<Pending>,
    /// A task sends the pending requests.
    is_sending: bool,
    first: Instant,
    last: Instant,
    /// No pending request can go before this time. A new request resets it, because it may go first.
    wake: Option<Instant>,
}

struct Pending {
    request: Request,
    reply: oneshot::Sender<Results>,
}

/// Starts a new sending task at the next request if the present one panics, which is a bug.
struct Restarts<'a>(&'a Mutations);

impl Drop for Restarts<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_sending = false;
        }
    }
}

/// A request that goes out now.
struct Going {
    pending: Pending,
    /// The machines that go now.
    ids: Vec<String>,
    /// The results of the machines that have to come again later.
    later: Results,
}

impl Mutations {
    pub(super) fn new(action: Action, provider: Arc<dyn Provider>, circuit: Arc<Mutex<Circuit>>) -> Self {
        let now = Instant::now();
        let budget = ActionBudget::new(limits(&provider.key().service, action), now.into_std());
        let state =
            State { budget, pending: Vec::new(), is_sending: false, first: now, last: now, wake: None };
        Self { action, provider, circuit, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_share(&self, share: f64, others_fill: f64) {
        self.lock().budget.set_share(share, others_fill, Instant::now().into_std());
    }

    pub(super) fn standing(&self) -> BudgetLevel {
        let (mut state, now) = (self.lock(), Instant::now().into_std());
        BudgetLevel { demand: state.budget.demand(now), fill: state.budget.fill(now) }
    }

    pub(super) fn expect(&self, asker: &Arc<str>, expected: Expected) {
        self.lock().budget.expect(asker, expected);
    }

    pub(super) fn unexpect(&self, asker: &str) {
        self.lock().budget.unexpect(asker);
    }

    pub(super) fn expects_many(&self) -> bool {
        self.lock().budget.expects_many(Instant::now().into_std())
    }

    pub(super) fn withdraw(&self, asker: &str) {
        self.lock().budget.withdraw(asker);
    }

    /// Sends a request, together with others of its kind.
    pub(super) async fn request(self: &Arc<Self>, request: Request) -> Results {
        let ids = request.ids.clone();
        let (reply, answer) = oneshot::channel();
        {
            let (mut state, now) = (self.lock(), Instant::now());
            (state.last, state.wake) = (now, None);
            if state.pending.is_empty() {
                state.first = now;
            }
            state.pending.push(Pending { request, reply });
            if !std::mem::replace(&mut state.is_sending, true) {
                // The number of tasks is bounded: there is one, and it ends when nothing is pending.
                tokio::spawn(self.clone().send_pending());
            }
        }
        answer.await.unwrap_or_else(|_| {
            // Only a task that panicked gives no answer. Then the result of the call is not known.
            impossible("mutations.no_answer");
            ids.into_iter().map(|id| (id, Err(CloudError::timeout()))).collect()
        })
    }

    async fn send_pending(self: Arc<Self>) {
        let _restarts = Restarts(&self);
        loop {
            let due = {
                let mut state = self.lock();
                if state.pending.is_empty() {
                    state.is_sending = false;
                    return;
                }
                (state.last + IDLE).min(state.first + LONGEST).max(state.wake.unwrap_or(state.first))
            };
            if Instant::now() < due {
                sleep_until(due).await;
                continue;
            }
            for call in calls(self.choose()) {
                tokio::spawn(self.clone().send(call));
            }
        }
    }

    /// The pending requests that go now. Of the others, those that wait for a moment only stay pending, and the rest is
    /// told to come again later.
    fn choose(&self) -> Vec<Going> {
        let (mut state, now) = (self.lock(), Instant::now());
        let mut pending = std::mem::take(&mut state.pending);
        // A caller may have given up.
        pending.retain(|pending| !pending.reply.is_closed());
        let mut kinds: HashMap<&Mutation, usize> = HashMap::new();
        let asks: Vec<Ask> = pending
            .iter()
            .map(|Pending { request, .. }| {
                let next = kinds.len();
                let kind = *kinds.entry(&request.mutation).or_insert(next);
                let (asker, priority) = (request.asker.clone(), request.priority.clone());
                Ask { asker, priority, machines: request.ids.len(), kind }
            })
            .collect();
        let verdicts = state.budget.admit(&asks, now.into_std());
        let (mut going, mut shortest) = (Vec::new(), None::<Duration>);
        for (one, verdict) in pending.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Go(machines) => going.push(Going::part(one, machines)),
                Verdict::Wait(wait) if wait <= patience(self.action) => {
                    shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
                    state.pending.push(one);
                }
                Verdict::Wait(wait) => {
                    let results = queued(&one.request.ids, wait);
                    // If the caller has given up, it will ask again.
                    let _ = one.reply.send(results);
                }
            }
        }
        (state.first, state.last) = (now, now);
        state.wake = shortest.map(|wait| now + wait.max(Duration::from_millis(1)));
        going
    }

    /// Makes one call for several requests, without those whose permit has run out.
    async fn send(self: Arc<Self>, going: Vec<Going>) {
        let mut results = Results::new();
        let mut open: Vec<&Going> = going.iter().collect();
        for _ in 0..TRIES {
            let (able, lapsed): (Vec<&Going>, Vec<&Going>) =
                open.into_iter().partition(|going| in_force(going.pending.request.permit.as_ref()));
            for id in lapsed.iter().flat_map(|going| &going.ids) {
                results.insert(id.clone(), Err(PermitLapsed.into()));
            }
            if able.is_empty() {
                break;
            }
            let answer = self.call(&able).await;
            let lapsed = |answer: &Result<(), CloudError>| {
                answer.as_ref().is_err_and(|error| error.class == ErrorClass::PermitLapsed)
            };
            let again = !answer.is_empty() && answer.values().all(lapsed);
            results.extend(answer);
            open = able;
            if !again {
                break;
            }
        }
        for Going { pending, ids, later } in going {
            let unknown = || {
                impossible("mutations.no_result");
                Err(CloudError::timeout())
            };
            let of_id = |id: String| (id.clone(), results.get(&id).cloned().unwrap_or_else(unknown));
            let all: Results = ids.into_iter().map(of_id).chain(later).collect();
            let _ = pending.reply.send(all);
        }
    }

    async fn call(&self, going: &[&Going]) -> Results {
        let ids: Vec<String> = going.iter().flat_map(|going| going.ids.iter().cloned()).collect();
        let Some(first) = going.first() else {
            impossible("mutations.empty_call");
            return Results::new();
        };
        if let Err(error) = self.lock_circuit().enter(Instant::now()) {
            return ids.into_iter().map(|id| (id, Err(error.clone()))).collect();
        }
        let permits = going.iter().map(|going| going.pending.request.permit.clone());
        let permit = JointPermit(permits.collect());
        let results = self.provider.mutate(&permit, &first.pending.request.mutation, &ids).await;
        self.learn(&results);
        results
    }

    fn learn(&self, results: &Results) {
        let now = Instant::now();
        let errors = || results.values().filter_map(|result| result.as_ref().err());
        if errors().any(|error| error.class == ErrorClass::Throttled) {
            tracing::warn!(action = self.action.as_str(), "throttled by the cloud: slower from now on");
            self.lock().budget.throttled(now.into_std());
        }
        let sent = |error: &&CloudError| error.class != ErrorClass::PermitLapsed;
        let all_failed = results.values().all(Result::is_err);
        if let Some(error) = errors().find(sent).filter(|_| all_failed) {
            self.lock_circuit().answered(Some(error), now);
        } else if results.values().any(Result::is_ok) {
            self.lock_circuit().answered(None, now);
        }
    }

    fn lock_circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Going {
    fn part(pending: Pending, machines: usize) -> Self {
        let mut ids = pending.request.ids.clone();
        let later = ids.split_off(machines.min(ids.len()));
        // The budget says when the rest can go; it is soon enough to ask it a moment from now.
        Self { later: queued(&later, NEXT_PART), pending, ids }
    }
}

fn queued(ids: &[String], wait: Duration) -> Results {
    ids.iter().map(|id| (id.clone(), Err(CloudError::queued(wait)))).collect()
}

/// The calls for these requests. Requests of a kind share a call as long as it has room.
fn calls(going: Vec<Going>) -> Vec<Vec<Going>> {
    let mut calls: Vec<(Mutation, usize, Vec<Going>)> = Vec::new();
    for one in going {
        let (mutation, machines) = (&one.pending.request.mutation, one.ids.len());
        let has_room = |(kind, taken, _): &&mut (Mutation, usize, Vec<Going>)| {
            kind == mutation && *taken + machines <= MACHINES_PER_CALL
        };
        if let Some((_, taken, call)) = calls.iter_mut().find(has_room) {
            *taken += machines;
            call.push(one);
        } else {
            calls.push((mutation.clone(), machines, vec![one]));
        }
    }
    calls.into_iter().map(|(_, _, call)| call).collect()
}
