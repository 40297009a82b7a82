//! Sends notices outside of passes, so that a slow mail server delays no pass.
//!
//! A family defines its notices ([`Notice`]) and how their deliveries are recorded ([`Recorder`]).
//!
//! ```text
//! pass -> offer -> (one task per notice: permit, send, retry) -> deliveries -> pass records them in status
//! ```
//!
//! Every pass offers a notice until a status records its delivery. The outbox takes each notice once. If the process
//! dies, the outbox's memory is lost, and the next owner of the key sends what is not recorded. So each notice is
//! sent at least once. It is sent twice if a process dies between the mail server's answer and the record. Its
//! `Message-ID` is the same both times. To the ring, sending and recording are one call, so the key is not handed
//! over in between (for as long as a call may take).

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

/// The most notices that wait, which take about 20 MB. If there are more, passes offer them again later.
const WAITING_MAX: usize = 10_000;
/// The longest time for one try.
const TRY_TIMEOUT: Duration = Duration::from_secs(90);
/// The waits between tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A notice that the outbox has taken.
struct Entry<N> {
    /// Identifies the task that sends this entry. An earlier task for the same notice has another number.
    number: u64,
    /// The notice as it was last offered. If the booking was extended, its values have changed.
    notice: N,
    delivery: Option<Delivery>,
    /// Signals that a pass has recorded the delivery. If it is dropped unused, no pass will record it.
    recorded: Option<oneshot::Sender<()>>,
}

impl<N> Entry<N> {
    fn tell_recorded(self) {
        // The task may no longer listen.
        let _ = self.recorded.map(|recorded| recorded.send(()));
    }
}

struct State<N: Notice> {
    entries: HashMap<Key, HashMap<N::Id, Entry<N>>>,
    last: u64,
}

/// The outbox of a family. Clones share it.
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
    /// Creates an empty outbox.
    pub fn new(services: Arc<Services>, channels: Channels, recorder: impl Recorder<N> + 'static) -> Self {
        let state = Mutex::new(State { entries: HashMap::new(), last: 0 });
        Self(Arc::new(Inner { services, channels, recorder: Box::new(recorder), state }))
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deliveries of a key's notices.
    pub fn deliveries(&self, key: &Key) -> BTreeMap<N::Id, Delivery> {
        let state = self.lock();
        let known = state.entries.get(key).into_iter().flatten();
        known.filter_map(|(id, entry)| Some((id.clone(), entry.delivery.clone()?))).collect()
    }

    /// Forgets a key. Another replica owns it now and sends the remaining notices.
    pub fn forget(&self, key: &Key) {
        self.lock().entries.remove(key);
    }

    /// Takes all current notices of a key, each once. Other notices of the key are forgotten, because they are
    /// recorded or useless. Returns false if there is no room for all; the caller then offers them again.
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
        // Notices that were taken before are already being sent.
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

    /// Tries until the notice is sent, finally refused, or useless.
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
            // The permit is asked before each try. If another replica owns the key by now, that replica sends the
            // notice.
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

    /// Sends a notice, unless it is useless by now. After `last_moment` it gives up the call and goes on sending.
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
        // The key is held no longer than any call would hold it. A replica that takes it over may send the notice a
        // second time.
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

    /// The notice, if this task still has to send it.
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

/// How a delivery gets into a status.
impl<N: Notice> Outbox<N> {
    /// Lets the next pass record a delivery. If no further pass runs, the delivery is recorded here.
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
        // If a pass runs after all, it records the same delivery, so it is recorded only once.
        let gate = PartGate::new(services.write_slots.clone(), last_moment);
        let recorded = self.0.recorder.record(&gate, key, notice, &delivery);
        // The key is somebody else's after the last moment: nothing of this may be under way then.
        let problem = match tokio::time::timeout_at(last_moment, recorded).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no time is left".to_owned(),
        };
        tracing::warn!(%key, problem, "a notification that was sent is not recorded yet");
    }

    /// Waits until a pass records the delivery. Returns false if no pass will do so, because another replica owns the
    /// key or the process is about to end. If passes are only slow, this code does not write, because concurrent
    /// writes would make them slower.
    async fn is_recorded_by_pass(&self, mut recorded: oneshot::Receiver<()>, last_moment: Instant) -> bool {
        tokio::select! {
            recorded = &mut recorded => return recorded.is_ok(),
            () = self.0.services.stop_sending.cancelled() => {}
            () = tokio::time::sleep_until(last_moment) => return true,
        }
        // Passes continue until the keys are handed over.
        let patience = last_moment.saturating_duration_since(Instant::now()) / 2;
        matches!(tokio::time::timeout(patience, recorded).await, Ok(Ok(())))
    }

    /// Keeps a delivery for the next pass. The receiver learns when it is recorded.
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

/// Reports that the call is over, unless it was given up.
fn over(call: Option<Box<dyn RunningCall>>) {
    if let Some(call) = call {
        call.replied();
    }
}

/// The result of a try.
enum TryOutcome {
    /// Sent if None. Otherwise it will never be sent, for this reason.
    Over(Option<String>),
    /// Another try may succeed.
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

/// Creates a family's counters with the value zero. If a series began with its first event, no increase would be
/// seen.
pub fn begin_metrics(events: &[&'static str]) {
    for channel in [Channel::Email, Channel::Webhook] {
        for event in events {
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
