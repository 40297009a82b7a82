//! Sends notices, off the path of the passes: a slow mail server slows nobody down.
//!
//! ```text
//! pass -> offer -> (one task per notice: permit, send, retry) -> deliveries -> pass records them in status
//! ```
//!
//! A notice is offered by every pass until its status records what became of it; here it is taken once. What is
//! remembered is lost with the process, or with the ownership of its key: then whoever comes next sends what is
//! not recorded. So each notice is sent at least once; twice if a process ends between the answer of the mail
//! server and the record. Its `Message-ID` is the same both times.

pub mod mail;
pub mod webhook;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use booking_core::{
    Deliveries, Delivery, Notice,
    notify::{NoticeId, text::text},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
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
/// Notices that are being sent at once.
const SENT_AT_ONCE: usize = 8;
/// Longest time that one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
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
    /// Mail.
    #[error(transparent)]
    Mail(#[from] mail::MailError),
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
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
        let webhooks = WebhookSettings {
            allow: args.webhook_allow.clone(),
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
            domains: args.mail_recipient_domains.iter().filter(|it| !it.is_empty()).cloned().collect(),
        };
        let mailer = Mailer::new(Some(smtp).filter(|smtp| !smtp.host.is_empty()))?;
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

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    channels: Channels,
    state: Mutex<HashMap<Key, HashMap<NoticeId, Option<Delivery>>>>,
    sending: Semaphore,
    tasks: TaskTracker,
    ownership: Arc<dyn Ownership>,
    queue: Arc<WorkQueue>,
    clock: Clock,
    stop: CancellationToken,
}

impl Outbox {
    /// An empty one; its tasks are tracked by `tasks`.
    pub fn new(
        channels: Channels,
        ownership: Arc<dyn Ownership>,
        queue: Arc<WorkQueue>,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        let sending = Semaphore::new(SENT_AT_ONCE);
        let (state, stop) = (Mutex::default(), CancellationToken::new());
        Self(Arc::new(Inner { channels, state, sending, tasks, ownership, queue, clock, stop }))
    }

    /// Lets what is being sent end, and begins nothing more.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, HashMap<NoticeId, Option<Delivery>>>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the notices of a key.
    pub fn deliveries(&self, key: &Key) -> Deliveries {
        let state = self.lock();
        let known = state.get(key).into_iter().flatten();
        known.filter_map(|(id, delivery)| Some((id.clone(), delivery.clone()?))).collect()
    }

    /// Forgets all that is recorded by now: of what was done, only the ids in `open` are still asked for.
    pub fn recorded(&self, key: &Key, recorded: impl Fn(&NoticeId) -> bool) {
        let mut state = self.lock();
        if let Some(known) = state.get_mut(key) {
            known.retain(|id, delivery| delivery.is_none() || !recorded(id));
            if known.is_empty() {
                state.remove(key);
            }
        }
    }

    /// Whoever owns the key now sends what is left.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Takes a notice, once. False if there is no room: it is to be offered again.
    pub fn offer(&self, key: &Key, notice: Notice) -> bool {
        let mut state = self.lock();
        if state.get(key).is_some_and(|known| known.contains_key(&notice.id)) {
            return true;
        }
        if state.values().map(HashMap::len).sum::<usize>() >= WAITING_MAX {
            return false;
        }
        state.entry(key.clone()).or_default().insert(notice.id.clone(), None);
        drop(state);
        let (outbox, key) = (self.clone(), key.clone());
        self.0.tasks.spawn(async move { outbox.deliver(&key, &notice).await });
        true
    }

    /// Tries until it is sent, refused for good, or of no use any more.
    async fn deliver(&self, key: &Key, notice: &Notice) {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let turn = self.0.stop.run_until_cancelled(self.0.sending.acquire()).await;
            let Some(Ok(turn)) = turn else { return };
            // Asked again before each try: another replica may own the key by now, and sends what is left.
            let owns = self
                .0
                .ownership
                .permit(key)
                .is_some_and(|permit| permit.begin().map(booking_cloud::RunningCall::replied).is_ok());
            if !owns || !self.is_open(key, &notice.id) {
                self.give_back(key, &notice.id);
                return;
            }
            let sent = tokio::time::timeout(TRY_TIMEOUT, self.0.channels.send(notice, &self.0.clock)).await;
            drop(turn);
            let late = || SendError::Passing(format!("no answer within {} s", TRY_TIMEOUT.as_secs()));
            let problem = match sent.unwrap_or_else(|_| Err(late())) {
                Ok(()) => {
                    count(notice, "sent");
                    return self.done(key, &notice.id, None);
                }
                Err(error) => error,
            };
            let wait = waits.next().unwrap_or(LONGEST_WAIT);
            let over = self.0.clock.now() + wait > notice.deadline;
            match problem {
                SendError::Passing(_) if !over => {
                    count(notice, "retried");
                    tracing::warn!(%key, "a notification is tried again in {wait:?}: {problem}");
                    if self.0.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return;
                    }
                }
                _ => {
                    count(notice, "failed");
                    tracing::warn!(%key, "a notification was given up: {problem}");
                    return self.done(key, &notice.id, Some(problem.to_string()));
                }
            }
        }
    }

    fn is_open(&self, key: &Key, id: &NoticeId) -> bool {
        self.lock().get(key).is_some_and(|known| known.get(id) == Some(&None))
    }

    fn give_back(&self, key: &Key, id: &NoticeId) {
        if let Some(known) = self.lock().get_mut(key) {
            known.remove(id);
        }
    }

    fn done(&self, key: &Key, id: &NoticeId, problem: Option<String>) {
        let delivery = Delivery { at: self.0.clock.now(), problem };
        if let Some(known) = self.lock().get_mut(key) {
            known.insert(id.clone(), Some(delivery));
        }
        self.0.queue.add(key.clone());
    }
}

fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, SetupError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SetupError::File { path: path.display().to_string(), source })
    };
    path.filter(|path| !path.as_os_str().is_empty()).map(read).transpose()
}

fn count(notice: &Notice, outcome: &'static str) {
    let type_ = if notice.id.type_ == "email" { "email" } else { "webhook" };
    let event = notice.id.happening.word();
    metrics::counter!("booking_operator_notifications_total", "type" => type_, "event" => event, "outcome" => outcome)
        .increment(1);
}
