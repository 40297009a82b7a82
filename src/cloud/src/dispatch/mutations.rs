//! Mutations of one action: requests that come together go out together, as many as the budget has room for, in the
//! order of their turns.
//!
//! ```text
//! request -> pending -> (a moment) -> Lane: who goes, who waits -> one call for each kind -> results, by request
//! ```
//!
//! Who waits for a moment only is sent then; others are told when to come again, and their places are kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    Mutation, Request, Standing,
    circuit::Circuit,
    together::{Together, in_force},
};
use crate::{
    budget::{Action, Ask, Expected, Lane, MACHINES_PER_CALL, Verdict, limits},
    error::{CloudError, ErrorClass},
    provider::{Provider, Results},
};
use booking_decision::permit::Permit;

/// Requests that come no further apart than this go out together…
const IDLE: Duration = Duration::from_millis(20);
/// … but nobody waits longer than this for others to come.
const LONGEST: Duration = Duration::from_millis(200);
/// Who waits longer than this for tokens is told so. A start may wait: it harms nobody. Of a stop or a lock it is decided anew
/// when its turn has come.
fn patience(action: Action) -> Duration {
    if action == Action::Start { Duration::from_secs(1) } else { Duration::ZERO }
}
/// Until when a part of a request that was too large for the bucket is asked for again.
const NEXT_PART: Duration = Duration::from_secs(1);
/// A call whose permits ran out between their check and the call is tried with those that are left.
const TRIES: usize = 3;

/// The requests of one action at one cloud.
pub(super) struct Mutations {
    action: Action,
    provider: Arc<dyn Provider>,
    circuit: Arc<Mutex<Circuit>>,
    state: Mutex<State>,
}

struct State {
    lane: Lane,
    pending: Vec<Pending>,
    /// A task sends what is pending.
    is_sending: bool,
    first: Instant,
    last: Instant,
    /// Nothing can go before, unless somebody comes who goes first.
    wake: Option<Instant>,
}

struct Pending {
    request: Request,
    reply: oneshot::Sender<Results>,
}

/// After a panic, which is a bug, the next request finds nobody sending, and begins anew.
struct Restarts<'a>(&'a Mutations);

impl Drop for Restarts<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_sending = false;
        }
    }
}

/// A part of a request that goes out now, and what it leaves to come later.
struct Going {
    pending: Pending,
    ids: Vec<String>,
    left: Results,
}

impl Mutations {
    pub(super) fn new(action: Action, provider: Arc<dyn Provider>, circuit: Arc<Mutex<Circuit>>) -> Self {
        let now = Instant::now();
        let lane = Lane::new(limits(&provider.key().service, action), now);
        let state = State { lane, pending: Vec::new(), is_sending: false, first: now, last: now, wake: None };
        Self { action, provider, circuit, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_share(&self, share: f64, others_fill: f64) {
        self.lock().lane.set_share(share, others_fill, Instant::now());
    }

    pub(super) fn standing(&self) -> Standing {
        let (mut state, now) = (self.lock(), Instant::now());
        Standing { demand: state.lane.demand(now), fill: state.lane.fill(now) }
    }

    pub(super) fn expect(&self, asker: &Arc<str>, expected: Expected) {
        self.lock().lane.expect(asker, expected);
    }

    pub(super) fn unexpect(&self, asker: &str) {
        self.lock().lane.unexpect(asker);
    }

    pub(super) fn expects_many(&self) -> bool {
        self.lock().lane.expects_many(Instant::now())
    }

    pub(super) fn withdraw(&self, asker: &str) {
        self.lock().lane.withdraw(asker);
    }

    /// Sends a request with others of its kind.
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
                // Bounded: it ends when nothing is pending, and whoever asks waits for it.
                tokio::spawn(self.clone().send_pending());
            }
        }
        // Only a task that panicked gives no answer: nobody knows what became of the call.
        let unknown = |id: String| (id, Err(CloudError::timeout()));
        answer.await.unwrap_or_else(|_| ids.into_iter().map(unknown).collect())
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

    /// Parts what is pending: what goes now, what stays for a moment, what is told to come later.
    fn choose(&self) -> Vec<Going> {
        let (mut state, now) = (self.lock(), Instant::now());
        let mut pending = std::mem::take(&mut state.pending);
        // Whoever asked may have gone away.
        pending.retain(|pending| !pending.reply.is_closed());
        let mut kinds: HashMap<&Mutation, usize> = HashMap::new();
        let asks: Vec<Ask> = pending
            .iter()
            .map(|Pending { request, .. }| {
                let next = kinds.len();
                let kind = *kinds.entry(&request.mutation).or_insert(next);
                Ask { turn: request.turn.clone(), machines: request.ids.len(), kind }
            })
            .collect();
        let verdicts = state.lane.admit(&asks, now);
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
                    // Nobody waits any more: then it is asked for again.
                    let _ = one.reply.send(results);
                }
            }
        }
        (state.first, state.last) = (now, now);
        state.wake = shortest.map(|wait| now + wait.max(Duration::from_millis(1)));
        going
    }

    /// One call for several requests. Those whose permit has run out are left out.
    async fn send(self: Arc<Self>, going: Vec<Going>) {
        let mut results = Results::new();
        let mut open: Vec<&Going> = going.iter().collect();
        for _ in 0..TRIES {
            let (able, lapsed): (Vec<&Going>, Vec<&Going>) =
                open.into_iter().partition(|going| in_force(going.pending.request.permit.as_ref()));
            for id in lapsed.iter().flat_map(|going| &going.ids) {
                results.insert(id.clone(), Err(booking_decision::permit::PermitLapsed.into()));
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
        for Going { pending, ids, left } in going {
            let unknown = || Err(CloudError::timeout());
            let of_id = |id: String| (id.clone(), results.get(&id).cloned().unwrap_or_else(unknown));
            let all: Results = ids.into_iter().map(of_id).chain(left).collect();
            let _ = pending.reply.send(all);
        }
    }

    async fn call(&self, going: &[&Going]) -> Results {
        let ids: Vec<String> = going.iter().flat_map(|going| going.ids.iter().cloned()).collect();
        let Some(first) = going.first() else { return Results::new() };
        if let Err(error) = self.lock_circuit().enter(Instant::now()) {
            return ids.into_iter().map(|id| (id, Err(error.clone()))).collect();
        }
        let permits = going.iter().map(|going| going.pending.request.permit.clone());
        let permit = Together(permits.collect());
        let results = self.provide(&first.pending.request.mutation, &permit, &ids).await;
        self.learn(&results);
        results
    }

    async fn provide(&self, mutation: &Mutation, permit: &dyn Permit, ids: &[String]) -> Results {
        match mutation {
            Mutation::Start => self.provider.start(permit, ids).await,
            Mutation::Stop => self.provider.stop(permit, ids).await,
            Mutation::Tag(tags) => self.provider.tag(permit, ids, tags).await,
            Mutation::Untag(tags) => self.provider.untag(permit, ids, tags).await,
        }
    }

    fn learn(&self, results: &Results) {
        let now = Instant::now();
        let errors = || results.values().filter_map(|result| result.as_ref().err());
        if errors().any(|error| error.class == ErrorClass::Throttled) {
            tracing::warn!(action = self.action.as_str(), "throttled by the cloud: slower from now on");
            self.lock().lane.throttled(now);
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
        let left = ids.split_off(machines.min(ids.len()));
        // The lane knows when; a moment from now is soon enough to ask it.
        Self { left: queued(&left, NEXT_PART), pending, ids }
    }
}

fn queued(ids: &[String], wait: Duration) -> Results {
    ids.iter().map(|id| (id.clone(), Err(CloudError::queued(wait)))).collect()
}

/// Requests of a kind share a call, as long as it has room.
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
