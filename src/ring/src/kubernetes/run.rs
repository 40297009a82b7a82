//! The loop that hosts the state machine: it carries events in and actions out, and decides nothing.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;

use super::{
    clocks,
    handle::{RingHandle, Shared},
    names::{NameError, Names, is_dns_label, new_incarnation},
    requests::Requests,
    telemetry::{self, Telemetry},
    watch::Watches,
};
use crate::{
    claim::{Claim, RingName},
    member::{Identity, Member},
    neighbours::Claimant,
    protocol::{Action, End, Event},
    record::{Incarnation, PROTOCOL},
    slot::SLOTS_MAX,
    time::Stamp,
    timing::Timing,
};

/// Shortest time between two ticks of the timer: the resolution of the runtime's timers.
const TICK_MIN: Duration = Duration::from_millis(1);
/// Where the kubelet looks for the last words of a container, by default.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// How a process takes part in a ring.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Name of the ring object.
    pub name: String,
    /// Namespace of the ring object and of the Leases.
    pub namespace: String,
    /// Durations.
    pub timing: Timing,
    /// Number of slots, if the ring has to be created.
    pub slots: u16,
    /// Name of the Pod; outside a cluster of the host.
    pub pod: String,
    /// Uid of the Pod and name of the container, where they are known: of two processes in one container
    /// the older is dead. No two processes that may run at once may give the same.
    pub container: Option<String>,
    /// When this process began: what ran in its container before was dead by then.
    pub started: Stamp,
    /// Release of this program.
    pub release: String,
    /// Labels of the Pods whose containers' ends are looked at; none without.
    pub pod_labels: Option<String>,
    /// What this process works on: families of kinds. No other ring works on one of them for the same namespaces.
    pub families: BTreeSet<String>,
    /// The namespace that it works for; none means all.
    pub scope: Option<String>,
    /// Whether it only tries what it would do. Other rings do not give way to it.
    pub dry_run: bool,
    /// Where this process writes its incarnation's name for the kubelet, if there is such a file.
    pub termination_log: Option<PathBuf>,
}

/// Why a process cannot take part in a ring.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The ring's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The number of slots.
    #[error("{0} slots are not possible: 1 to {SLOTS_MAX} are")]
    Slots(u16),
    /// The families.
    #[error("family {0:?} is not usable: families are named by lower-case letters, digits and hyphens")]
    Family(String),
    /// No family.
    #[error("a replica must work on a family")]
    NoFamily,
    /// No random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// Makes this process a member. The future does the work: it must be polled until it ends, which it does
/// some time after [`RingHandle::stop`]. It needs the runtime's timers and network. The client must send each
/// request once, as [`client`](super::requests::client) makes them.
///
/// # Errors
/// See [`ConfigError`]; nothing is sent before the future is polled.
pub fn start(
    client: Client,
    config: RingConfig,
) -> Result<(RingHandle, impl Future<Output = ()> + Send + use<>), ConfigError> {
    let names = Names::new(&config.name)?;
    if !(1..=SLOTS_MAX).contains(&config.slots) {
        return Err(ConfigError::Slots(config.slots));
    }
    let claimant = claimant(&config)?;
    let identity = Identity {
        incarnation: new_incarnation(&config.pod)?,
        container: config.container.as_deref().map(Arc::from),
        release: config.release.as_str().into(),
        protocol: PROTOCOL,
    };
    let incarnation = identity.incarnation.clone();
    let member = Member::new(identity, config.timing, config.slots, clocks::now());
    let member = member.of_process_since(config.started).beside_others(claimant);
    let handle = RingHandle::new(member);
    let shared = handle.shared().clone();
    let run = async move {
        let closes = ClosesAtEnd(shared.clone());
        let (telemetry, publisher) = telemetry::new(client.clone(), &config.namespace, &names, &config.pod);
        let publisher = tokio::spawn(publisher);
        let requests = Requests::new(client.clone(), &config.namespace, names.clone(), &config.timing);
        let watches = Watches::new(
            client,
            &config.namespace,
            names,
            &config.timing,
            requests.remembered().clone(),
            config.pod_labels.clone(),
        );
        let host = Host {
            shared,
            requests: Arc::new(requests),
            watches,
            answers: FuturesUnordered::new(),
            telemetry,
            config,
            stopping: false,
        };
        let end = host.run(incarnation).await;
        closes.0.close(Some(end));
        // What is left to publish may be published, for a bounded time.
        let _ = tokio::time::timeout(telemetry::PUBLISH_TIMEOUT, publisher).await;
    };
    Ok((handle, run))
}

fn claimant(config: &RingConfig) -> Result<Claimant, ConfigError> {
    if config.families.is_empty() {
        return Err(ConfigError::NoFamily);
    }
    if let Some(odd) = config.families.iter().find(|family| !is_dns_label(family)) {
        return Err(ConfigError::Family(odd.clone()));
    }
    let ring = RingName { namespace: config.namespace.as_str().into(), name: config.name.as_str().into() };
    Ok(Claimant { ring, claim: Claim::new(&config.families, config.scope.as_deref(), config.dry_run) })
}

/// Tells subscribers of the end, also if the loop is dropped.
struct ClosesAtEnd(Arc<Shared>);

impl Drop for ClosesAtEnd {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

struct Host {
    shared: Arc<Shared>,
    requests: Arc<Requests>,
    watches: Watches,
    /// Requests under way: each is bounded, and the state machine has few at a time.
    answers: FuturesUnordered<BoxFuture<'static, Event>>,
    telemetry: Telemetry,
    config: RingConfig,
    stopping: bool,
}

impl Host {
    async fn run(mut self, incarnation: Incarnation) -> End {
        self.begin(&incarnation);
        let mut events = vec![Event::Tick];
        loop {
            // An end that comes first must not hide the wish to stop.
            self.stopping |= events.iter().any(|event| matches!(event, Event::Stop));
            for event in std::mem::take(&mut events) {
                if let Some(end) = self.deliver(event) {
                    self.telemetry.ended(end);
                    if self.stopping {
                        return end;
                    }
                    self.next_incarnation().await;
                    events = vec![Event::Tick];
                    break;
                }
            }
            if events.is_empty() {
                events = self.happens().await;
            }
        }
    }

    /// Waits for what happens next.
    async fn happens(&mut self) -> Vec<Event> {
        let wake = self.shared.with(|member| member.next_wake()).flatten();
        let wait = wake.map(|wake| wake.saturating_sub(clocks::now().mono).max(TICK_MIN));
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            wishes = self.shared.wishes() => wishes,
            Some(answered) = self.answers.next() => vec![answered],
            event = self.watches.next() => vec![event],
            () = timer => vec![Event::Tick],
        }
    }

    /// Hands an event to the state machine and does what it asks for. Gives why the incarnation has ended,
    /// if it has.
    fn deliver(&mut self, event: Event) -> Option<End> {
        let handled = self.shared.with(|member| {
            let actions = member.handle(event, clocks::now());
            telemetry::measure(member, clocks::now());
            (actions, member.ring().map(|ring| ring.uid.clone()))
        });
        let (actions, ring) = handled?;
        let mut ended = None;
        for action in actions {
            match action {
                Action::Request { id: request, op } => {
                    let requests = self.requests.clone();
                    let answered =
                        async move { Event::Answered { request, answer: requests.carry_out(op).await } };
                    self.answers.push(answered.boxed());
                }
                Action::Gained(slots) => self.shared.tell(&[], &slots),
                Action::Lost(slots) => self.shared.tell(&slots, &[]),
                Action::RestartWatches => self.watches.restart(),
                Action::Tell(story) => self.telemetry.tell(story, ring.as_deref()),
                Action::Ended(end) => ended = Some(end),
            }
        }
        ended
    }

    async fn next_incarnation(&mut self) {
        // Answers to requests of the one that ended are nobody's.
        self.answers.clear();
        let incarnation = loop {
            match new_incarnation(&self.config.pod) {
                Ok(incarnation) => break incarnation,
                Err(error) => tracing::error!(%error, "no random numbers for another incarnation"),
            }
            tokio::time::sleep(self.config.timing.renew()).await;
        };
        self.begin(&incarnation);
        self.shared.replace(|member| member.next(incarnation, clocks::now()));
    }

    /// Before an incarnation does anything: from its end on its name is to be found where the kubelet
    /// looks, and not the name of one before.
    fn begin(&mut self, incarnation: &Incarnation) {
        self.telemetry.begin(incarnation);
        let Some(path) = &self.config.termination_log else {
            return;
        };
        // It is not created where there is none: outside a cluster.
        let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, incarnation.as_str().as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "termination log not written");
        }
    }
}
