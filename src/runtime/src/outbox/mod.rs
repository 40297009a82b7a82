//! Sends notices, off the path of the passes: a slow mail server slows nobody down.
//!
//! A family says what a notice is ([`Notice`]) and how its delivery is recorded ([`Recorder`]).
//!
//! ```text
//! pass -> offer -> (one task per notice: permit, send, retry) -> deliveries -> pass records them in status
//! ```
//!
//! Every pass offers a notice until a status records what became of it; the outbox takes it once. What the outbox remembers is
//! lost with the process: then the next owner of the key sends what is not recorded. So each notice is sent at least once, and
//! twice if a process dies between the answer of the mail server and the record. Its `Message-ID` is the same both times. The
//! key is not handed over in between (for as long as a call may take): sending and recording are one call to the ring.

pub mod channels;
pub mod mail;
pub mod notice;
mod send_slots;
pub mod webhook;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use booking_decision::{Delivery, RunningCall};
use tokio::{sync::oneshot, time::Instant};

pub use self::{
    channels::{ChannelSettings, Channels, SendError, SetupError},
    notice::{Channel, Letter, Notice, Recorder},
};
use crate::{Key, controller::Services, gate::PartGate, ownership::Ownership};

/// Notices that wait at most: some 20 MB. Others are offered again later.
const WAITING_MAX: usize = 10_000;
/// Longest time that one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(90);
/// Waits between tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A notice that was taken.
struct Entry<N> {
    /// Tells the task that sends it from an earlier one.
    number: u64,
    /// As it was offered last: an extended booking has other figures.
    notice: N,
    delivery: Option<Delivery>,
    /// Hears of the record; dropped unused, it says that no pass will make one.
    recorded: Option<oneshot::Sender<()>>,
}

impl<N> Entry<N> {
    fn tell_recorded(self) {
        // The task may have given up.
        let _ = self.recorded.map(|recorded| recorded.send(()));
    }
}

struct State<N: Notice> {
    entries: HashMap<Key, HashMap<N::Id, Entry<N>>>,
    last: u64,
}

/// See the module. Clones share it.
pub struct Outbox<N: Notice>(Arc<Inner<N>>);

impl<N: Notice> Clone for Outbox<N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<N: Notice> {
    services: Arc<Services>,
    channels: Channels,
    recorder: Box<dyn Recorder<N>>,
    state: Mutex<State<N>>,
}

impl<N: Notice> Outbox<N> {
    /// An empty one.
    pub fn new(services: Arc<Services>, channels: Channels, recorder: impl Recorder<N> + 'static) -> Self {
        let state = Mutex::new(State { entries: HashMap::new(), last: 0 });
        Self(Arc::new(Inner { services, channels, recorder: Box::new(recorder), state }))
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the notices of a key.
    pub fn deliveries(&self, key: &Key) -> BTreeMap<N::Id, Delivery> {
        let state = self.lock();
        let known = state.entries.get(key).into_iter().flatten();
        known.filter_map(|(id, entry)| Some((id.clone(), entry.delivery.clone()?))).collect()
    }

    /// Another replica owns the key now, and sends what is left.
    pub fn forget(&self, key: &Key) {
        self.lock().entries.remove(key);
    }

    /// Takes all that is to be told of a key by now, each notice once. The rest is forgotten, because it is recorded or of no
    /// use. False if there is no room for all: the caller offers them again.
    pub fn offer(&self, key: &Key, notices: Vec<N>) -> bool {
        let mut state = self.lock();
        if notices.is_empty() {
            let known = state.entries.remove(key).unwrap_or_default();
            known.into_values().for_each(Entry::tell_recorded);
            return true;
        }
        let mut before = state.entries.remove(key).unwrap_or_default();
        let mut room = WAITING_MAX.saturating_sub(state.entries.values().map(HashMap::len).sum());
        let mut now: HashMap<N::Id, Entry<N>> = HashMap::new();
        // Those that were taken before are under way.
        let (known, new): (Vec<N>, Vec<N>) =
            notices.into_iter().partition(|notice| before.contains_key(notice.id()));
        let mut has_room = true;
        for notice in known.into_iter().chain(new) {
            let id = notice.id().clone();
            let before = before.remove(&id);
            if room == 0 && before.is_none() {
                has_room = false;
                break;
            }
            room = room.saturating_sub(1);
            let entry = if let Some(known) = before {
                Entry { notice, ..known }
            } else {
                state.last += 1;
                self.spawn(key, id.clone(), state.last);
                Entry { number: state.last, notice, delivery: None, recorded: None }
            };
            now.insert(id, entry);
        }
        before.into_values().for_each(Entry::tell_recorded);
        state.entries.insert(key.clone(), now);
        has_room
    }

    fn spawn(&self, key: &Key, id: N::Id, number: u64) {
        let (outbox, key) = (self.clone(), key.clone());
        self.0.services.tasks.spawn(async move { outbox.deliver(&key, &id, number).await });
    }

    /// Tries until it is sent, refused for good, or of no use any more.
    async fn deliver(&self, key: &Key, id: &N::Id, number: u64) {
        let Services { stop_sending, ownership, .. } = &*self.0.services;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .without_max_times()
            .build();
        let mut last = None;
        loop {
            let slot = self.0.channels.slot(N::channel(id).ok(), N::recipient(id));
            let Some(slot) = stop_sending.run_until_cancelled(slot).await else { return };
            // Asked again before each try: another replica may own the key by now, and sends what is left.
            let Some(permit) = ownership.permit(key) else { return self.give_back(key, id, number) };
            let Ok(call) = permit.begin() else { return self.give_back(key, id, number) };
            let mut call = Some(call);
            let last_moment = Instant::now() + permit.call_timeout();
            let Some(notice) = self.open(key, id, number) else { return over(call) };
            let outcome = self.send_within(&notice, last_moment, &mut call, &mut last).await;
            drop(slot);
            count::<N>(id, outcome.word());
            match outcome {
                TryOutcome::Over(problem) => {
                    if let Some(problem) = &problem {
                        tracing::warn!(%key, "a notification was given up: {problem}");
                    }
                    self.done(key, &notice, number, (problem, last_moment)).await;
                    return over(call);
                }
                TryOutcome::Again(problem) => {
                    over(call);
                    let wait = waits.next().unwrap_or(LONGEST_WAIT);
                    tracing::warn!(%key, "a notification is tried again in {wait:?}: {problem}");
                    last = Some(problem);
                    if stop_sending.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends a notice, unless it is of no use any more. After `last_moment` it gives the call up and goes on.
    async fn send_within(
        &self,
        notice: &N,
        last_moment: Instant,
        call: &mut Option<Box<dyn RunningCall>>,
        last: &mut Option<String>,
    ) -> TryOutcome {
        if self.0.services.clock.now() >= notice.deadline() {
            let problem = last.take().unwrap_or_else(|| "its time was over before its turn came".to_owned());
            return TryOutcome::Over(Some(problem));
        }
        let mut sending = std::pin::pin!(self.send(notice));
        if let Ok(outcome) = tokio::time::timeout_at(last_moment, &mut sending).await {
            return outcome;
        }
        // The key is held no longer than by any call: the replica that takes it over may send once more.
        drop(call.take());
        sending.await
    }

    async fn send(&self, notice: &N) -> TryOutcome {
        let now = self.0.services.clock.now();
        let channel = match N::channel(notice.id()) {
            Ok(channel) => channel,
            Err(problem) => return TryOutcome::Over(Some(problem)),
        };
        let letter = notice.letter(now);
        let sent = tokio::time::timeout(TRY_TIMEOUT, self.0.channels.send(channel, &letter, now)).await;
        let late = || SendError::Passing(format!("no answer within {} s", TRY_TIMEOUT.as_secs()));
        match sent.unwrap_or_else(|_| Err(late())) {
            Ok(()) => TryOutcome::Over(None),
            Err(SendError::Final(problem)) => TryOutcome::Over(Some(problem)),
            Err(SendError::Passing(problem)) => TryOutcome::Again(problem),
        }
    }

    /// The notice, if it is still this task's to send.
    fn open(&self, key: &Key, id: &N::Id, number: u64) -> Option<N> {
        let state = self.lock();
        let entry = state.entries.get(key)?.get(id)?;
        (entry.number == number && entry.delivery.is_none()).then(|| entry.notice.clone())
    }

    fn give_back(&self, key: &Key, id: &N::Id, number: u64) {
        if let Some(known) = self.lock().entries.get_mut(key) {
            known.retain(|of, entry| of != id || entry.number != number);
        }
    }
}

/// How a delivery comes into a status.
impl<N: Notice> Outbox<N> {
    /// Has the next pass record what became of a notice; if none comes any more, it is recorded here.
    async fn done(
        &self,
        key: &Key,
        notice: &N,
        number: u64,
        (problem, last_moment): (Option<String>, Instant),
    ) {
        let services = &self.0.services;
        let delivery = Delivery { at: services.clock.now(), problem };
        let recorded = self.keep(key, notice.id(), number, &delivery);
        services.queue.add(key.clone());
        if self.is_recorded_by_pass(recorded, last_moment).await {
            return;
        }
        // A pass that comes yet records it, too: the same thing, once.
        let gate = PartGate::new(services.write_slots.clone(), last_moment);
        if let Err(error) = self.0.recorder.record(&gate, key, notice, &delivery).await {
            tracing::warn!(%key, %error, "a notification that was sent is not recorded yet");
        }
    }

    /// Waits for the record by a pass. False if none will come: the key is another replica's, or the process is about to
    /// end. While passes are only slow they are left alone: writes that cross theirs would make them slower.
    async fn is_recorded_by_pass(&self, mut recorded: oneshot::Receiver<()>, last_moment: Instant) -> bool {
        tokio::select! {
            recorded = &mut recorded => return recorded.is_ok(),
            () = self.0.services.stop_sending.cancelled() => {}
            () = tokio::time::sleep_until(last_moment) => return true,
        }
        // Passes go on until the keys are handed over.
        let patience = last_moment.saturating_duration_since(Instant::now()) / 2;
        matches!(tokio::time::timeout(patience, recorded).await, Ok(Ok(())))
    }

    /// Keeps what became of a notice for the next pass; hears of its record.
    fn keep(&self, key: &Key, id: &N::Id, number: u64, delivery: &Delivery) -> oneshot::Receiver<()> {
        let (tell, recorded) = oneshot::channel();
        let mut state = self.lock();
        let entry = state.entries.get_mut(key).and_then(|known| known.get_mut(id));
        if let Some(entry) = entry.filter(|entry| entry.number == number) {
            entry.delivery = Some(delivery.clone());
            entry.recorded = Some(tell);
        }
        recorded
    }
}

/// The call is over, unless it was given up.
fn over(call: Option<Box<dyn RunningCall>>) {
    if let Some(call) = call {
        call.replied();
    }
}

/// What came of a try.
enum TryOutcome {
    /// It was sent, or will never be: why.
    Over(Option<String>),
    /// Another try may do.
    Again(String),
}

impl TryOutcome {
    /// A stable word, for metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Over(None) => "sent",
            Self::Over(Some(_)) => "failed",
            Self::Again(_) => "retried",
        }
    }
}

/// Shows the counters of a family's events at zero: of a series that begins with its first event no increase is seen.
pub fn begin_metrics(events: impl Iterator<Item = &'static str> + Clone) {
    for channel in [Channel::Email, Channel::Webhook] {
        for event in events.clone() {
            for outcome in ["sent", "failed", "retried"] {
                counter(channel.word(), event, outcome).increment(0);
            }
        }
    }
}

fn count<N: Notice>(id: &N::Id, outcome: &'static str) {
    let channel = N::channel(id).unwrap_or(Channel::Webhook);
    counter(channel.word(), N::event(id), outcome).increment(1);
}

fn counter(type_: &'static str, event: &'static str, outcome: &'static str) -> metrics::Counter {
    metrics::counter!("booking_operator_notifications_total", "type" => type_, "event" => event, "outcome" => outcome)
}
