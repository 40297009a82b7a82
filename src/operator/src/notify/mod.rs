//! Sends notices, off the path of the passes: a slow mail server slows nobody down.
//!
//! ```text
//! pass -> offer -> (one task per notice: permit, send, retry) -> deliveries -> pass records them in status
//! ```
//!
//! A notice is offered by every pass until its status records what became of it; here it is taken once. What is
//! remembered is lost with the process: then whoever comes next sends what is not recorded. So each notice is sent at
//! least once; twice if a process dies between the answer of the mail server and the record. Its `Message-ID` is the
//! same both times. The key is not handed over in between (for as long as a call may take): sending and recording are
//! one call to the ring.

mod lanes;
pub mod mail;
mod record;
pub mod webhook;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bookings::decide::groups::notices::{Deliveries, Delivery, Happening, Notice, NoticeId, text::text};
use kube::Client;
use tokio::{sync::oneshot, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    lanes::Lanes,
    mail::{Mailer, SmtpSettings},
    webhook::{WebhookSettings, Webhooks},
};
use crate::{
    args::NotifyArgs,
    clock::Clock,
    controller::{Key, ownership::Ownership, queue::WorkQueue},
};

/// Notices that wait at most: some 20 MB. Others are offered again later.
const WAITING_MAX: usize = 10_000;
/// Longest time that one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(90);
/// Waits between tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Why a notice was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Another try may do.
    #[error("{0}")]
    Passing(String),
    /// None will.
    #[error("{0}")]
    Final(String),
}

/// Why notifications cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// With an empty key anybody could sign.
    #[error("{path}: the webhooks' key is empty")]
    EmptyKey {
        /// Which file.
        path: String,
    },
}

/// What it takes to send.
#[derive(Clone)]
pub struct Channels {
    /// Mail.
    pub mailer: Mailer,
    /// Webhooks.
    pub webhooks: Webhooks,
}

impl Channels {
    /// As the command line says.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(args: &NotifyArgs) -> Result<Self, SetupError> {
        if let Some(path) = args.webhook_key_file.as_deref().filter(|path| !path.as_os_str().is_empty())
            && read(Some(path))?.is_none_or(|key| key.trim_ascii().is_empty())
        {
            return Err(SetupError::EmptyKey { path: path.display().to_string() });
        }
        let webhooks = WebhookSettings {
            allow: args.webhook_allow.iter().filter_map(|prefix| prefix.0.clone()).collect(),
            key: read(args.webhook_key_file.as_deref())?.map(|key| key.trim_ascii().to_vec()),
            ca_pem: read(args.webhook_ca_file.as_deref())?,
        };
        let sender = if args.smtp_sender.is_empty() { &args.smtp_user } else { &args.smtp_sender };
        let smtp = SmtpSettings {
            host: args.smtp_host.clone(),
            port: args.smtp_port,
            login: (!args.smtp_user.is_empty())
                .then(|| (args.smtp_user.clone(), args.smtp_password.0.clone())),
            sender: sender.clone(),
            security: args.smtp_security,
            ca_pem: read(args.smtp_ca_file.as_deref())?,
            domains: args
                .mail_recipient_domains
                .iter()
                .map(|domain| domain.trim().to_owned())
                .filter(|domain| !domain.is_empty())
                .collect(),
        };
        // Bookings do not end because mail cannot be sent.
        let mailer = Mailer::new(Some(smtp).filter(|smtp| !smtp.host.is_empty())).unwrap_or_else(|error| {
            tracing::error!(%error, "no mail is sent");
            Mailer::refusing(&error.to_string())
        });
        Ok(Self { mailer, webhooks: Webhooks::new(webhooks) })
    }

    async fn send(&self, notice: &Notice, clock: &Clock) -> Result<(), SendError> {
        let said = text(notice, clock.now());
        match notice.id.type_.as_str() {
            "email" => self.mailer.send(notice, &said).await,
            "webhook" => self.webhooks.send(notice, &said, clock.now()).await,
            other => Err(SendError::Final(format!("notifications of type {other:?} do not exist"))),
        }
    }
}

/// A notice that was taken.
struct Entry {
    /// Tells the task that is at it from an earlier one.
    number: u64,
    /// As it was offered last: an extended booking has other figures.
    notice: Notice,
    delivery: Option<Delivery>,
    /// Hears of the record; dropped unused, it says that no pass will make one.
    recorded: Option<oneshot::Sender<()>>,
}

impl Entry {
    fn tell_recorded(self) {
        // The task may have given up.
        let _ = self.recorded.map(|recorded| recorded.send(()));
    }
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, HashMap<NoticeId, Entry>>,
    last: u64,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    client: Client,
    channels: Channels,
    state: Mutex<State>,
    lanes: Lanes,
    tasks: TaskTracker,
    ownership: Arc<dyn Ownership>,
    queue: Arc<WorkQueue>,
    clock: Clock,
    stop: CancellationToken,
}

impl Outbox {
    /// An empty one; its tasks are tracked by `tasks`.
    pub fn new(
        (client, channels): (Client, Channels),
        ownership: Arc<dyn Ownership>,
        queue: Arc<WorkQueue>,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        let (state, stop) = (Mutex::default(), CancellationToken::new());
        Self(Arc::new(Inner {
            client,
            channels,
            state,
            lanes: Lanes::default(),
            tasks,
            ownership,
            queue,
            clock,
            stop,
        }))
    }

    /// Lets what is being sent end, and begins nothing more.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the notices of a key.
    pub fn deliveries(&self, key: &Key) -> Deliveries {
        let state = self.lock();
        let known = state.entries.get(key).into_iter().flatten();
        known.filter_map(|(id, entry)| Some((id.clone(), entry.delivery.clone()?))).collect()
    }

    /// Whoever owns the key now sends what is left.
    pub fn forget(&self, key: &Key) {
        self.lock().entries.remove(key);
    }

    /// All that is to be told of a key by now; the rest is forgotten, for it is recorded, or of no use. Each is taken
    /// once. False if there is no room for all: they are to be offered again.
    pub fn offer(&self, key: &Key, notices: Vec<Notice>) -> bool {
        let mut state = self.lock();
        if notices.is_empty() {
            let known = state.entries.remove(key).unwrap_or_default();
            known.into_values().for_each(Entry::tell_recorded);
            return true;
        }
        let mut before = state.entries.remove(key).unwrap_or_default();
        let mut room = WAITING_MAX.saturating_sub(state.entries.values().map(HashMap::len).sum());
        let mut now: HashMap<NoticeId, Entry> = HashMap::new();
        let (known, new): (Vec<Notice>, Vec<Notice>) =
            notices.into_iter().partition(|notice| before.contains_key(&notice.id));
        let mut has_room = true;
        // Those that were taken before are under way.
        for notice in known.into_iter().chain(new) {
            let id = notice.id.clone();
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

    fn spawn(&self, key: &Key, id: NoticeId, number: u64) {
        let (outbox, key) = (self.clone(), key.clone());
        self.0.tasks.spawn(async move { outbox.deliver(&key, &id, number).await });
    }

    /// Tries until it is sent, refused for good, or of no use any more.
    async fn deliver(&self, key: &Key, id: &NoticeId, number: u64) {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .without_max_times()
            .build();
        let mut last = None;
        loop {
            let turn = self.0.stop.run_until_cancelled(self.0.lanes.turn(id)).await;
            let Some(turn) = turn else { return };
            // Asked again before each try: another replica may own the key by now, and sends what is left.
            let Some(permit) = self.0.ownership.permit(key) else { return self.give_back(key, id, number) };
            let Ok(call) = permit.begin() else { return self.give_back(key, id, number) };
            let mut call = Some(call);
            let last_moment = Instant::now() + permit.call_timeout();
            let Some(notice) = self.open(key, id, number) else { return over(call) };
            let outcome = if self.0.clock.now() >= notice.deadline {
                Outcome::Over(Some(
                    last.unwrap_or_else(|| "its time was over before its turn came".to_owned()),
                ))
            } else {
                let mut sending = std::pin::pin!(self.send(&notice));
                if let Ok(outcome) = tokio::time::timeout_at(last_moment, &mut sending).await {
                    outcome
                } else {
                    // The key is held no longer than by any call: whoever takes it over may send once more.
                    drop(call.take());
                    sending.await
                }
            };
            drop(turn);
            count(&notice, outcome.word());
            match outcome {
                Outcome::Over(problem) => {
                    if let Some(problem) = &problem {
                        tracing::warn!(%key, "a notification was given up: {problem}");
                    }
                    self.done(key, &notice, number, (problem, last_moment)).await;
                    return over(call);
                }
                Outcome::Again(problem) => {
                    over(call);
                    let wait = waits.next().unwrap_or(LONGEST_WAIT);
                    tracing::warn!(%key, "a notification is tried again in {wait:?}: {problem}");
                    last = Some(problem);
                    if self.0.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        let sent = tokio::time::timeout(TRY_TIMEOUT, self.0.channels.send(notice, &self.0.clock)).await;
        let late = || SendError::Passing(format!("no answer within {} s", TRY_TIMEOUT.as_secs()));
        match sent.unwrap_or_else(|_| Err(late())) {
            Ok(()) => Outcome::Over(None),
            Err(SendError::Final(problem)) => Outcome::Over(Some(problem)),
            Err(SendError::Passing(problem)) => Outcome::Again(problem),
        }
    }

    /// The notice, if it is still this task's to send.
    fn open(&self, key: &Key, id: &NoticeId, number: u64) -> Option<Notice> {
        let state = self.lock();
        let entry = state.entries.get(key)?.get(id)?;
        (entry.number == number && entry.delivery.is_none()).then(|| entry.notice.clone())
    }

    fn give_back(&self, key: &Key, id: &NoticeId, number: u64) {
        if let Some(known) = self.lock().entries.get_mut(key) {
            known.retain(|of, entry| of != id || entry.number != number);
        }
    }

    /// Has the next pass record what became of a notice; if none comes any more, it is recorded here.
    async fn done(
        &self,
        key: &Key,
        notice: &Notice,
        number: u64,
        (problem, last_moment): (Option<String>, Instant),
    ) {
        let (id, delivery) = (&notice.id, Delivery { at: self.0.clock.now(), problem });
        let recorded = self.keep(key, id, number, &delivery);
        self.0.queue.add(key.clone());
        if self.is_recorded_by_pass(recorded, last_moment).await {
            return;
        }
        // A pass that comes yet records it, too: the same thing, once.
        let written = record::record(&self.0.client, key, (&notice.booking, id), &delivery);
        match tokio::time::timeout_at(last_moment, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%key, %error, "a notification that was sent is not recorded yet");
            }
            Err(_) => tracing::debug!(%key, "a notification that was sent is left to a pass to record"),
        }
    }
}

impl Outbox {
    /// Waits for the record by a pass. False if none will come: the key is another replica's, or the process is about to
    /// end. While passes are only slow they are left alone: writes that cross theirs would make them slower.
    async fn is_recorded_by_pass(&self, mut recorded: oneshot::Receiver<()>, last_moment: Instant) -> bool {
        tokio::select! {
            recorded = &mut recorded => return recorded.is_ok(),
            () = self.0.stop.cancelled() => {}
            () = tokio::time::sleep_until(last_moment) => return true,
        }
        // Passes go on until the keys are handed over.
        let patience = last_moment.saturating_duration_since(Instant::now()) / 2;
        matches!(tokio::time::timeout(patience, recorded).await, Ok(Ok(())))
    }

    /// Keeps what became of a notice for the next pass; hears of its record.
    fn keep(&self, key: &Key, id: &NoticeId, number: u64, delivery: &Delivery) -> oneshot::Receiver<()> {
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
fn over(call: Option<Box<dyn booking_decision::permit::RunningCall>>) {
    if let Some(call) = call {
        call.replied();
    }
}

/// What came of a try.
enum Outcome {
    /// It was sent, or will never be: why.
    Over(Option<String>),
    /// Another try may do.
    Again(String),
}

impl Outcome {
    /// A stable word, for metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Over(None) => "sent",
            Self::Over(Some(_)) => "failed",
            Self::Again(_) => "retried",
        }
    }
}

fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, SetupError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SetupError::File { path: path.display().to_string(), source })
    };
    path.filter(|path| !path.as_os_str().is_empty()).map(read).transpose()
}

/// Shows all counters at zero: of a series that begins with its first event no increase is seen.
pub fn begin_metrics() {
    for type_ in ["email", "webhook"] {
        for happening in Happening::ALL {
            for outcome in ["sent", "failed", "retried"] {
                counter(type_, happening, outcome).increment(0);
            }
        }
    }
}

fn count(notice: &Notice, outcome: &'static str) {
    let type_ = if notice.id.type_ == "email" { "email" } else { "webhook" };
    counter(type_, notice.id.happening, outcome).increment(1);
}

fn counter(type_: &'static str, happening: Happening, outcome: &'static str) -> metrics::Counter {
    let event = happening.word();
    metrics::counter!("booking_operator_notifications_total", "type" => type_, "event" => event, "outcome" => outcome)
}
