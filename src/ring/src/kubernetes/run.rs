//! The loop that runs the state machine. It brings events in and carries actions out. It decides nothing.

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

/// The shortest time between two ticks of the timer. It is the resolution of the runtime's timers.
const TICK_MIN: Duration = Duration::from_millis(1);
/// The file in which the kubelet looks for the last words of a container, by default.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// How a process takes part in a ring.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// The name of the ring object.
    pub name: String,
    /// The namespace of the ring object and of the Leases.
    pub namespace: String,
    /// The durations.
    pub timing: Timing,
    /// The number of slots, if this process has to create the ring.
    pub slots: u16,
    /// The name of the Pod. Outside of a cluster it is the name of the host.
    pub pod: String,
    /// The uid of the Pod and the name of the container, if they are known. Of two processes in one container the older
    /// one is dead. So two processes that may run at the same time must not give the same value.
    pub container: Option<String>,
    /// When this process began. All processes that ran in its container before were dead by then.
    pub started: Stamp,
    /// The release of this program.
    pub release: String,
    /// Labels that select Pods. The ring watches the ends of their containers. If it is None, the ring watches no Pods.
    pub pod_labels: Option<String>,
    /// The families of kinds that this process works on. No other ring works on one of them for the same namespaces.
    pub families: BTreeSet<String>,
    /// The namespace that this process works for. None means all.
    pub scope: Option<String>,
    /// Whether this process is a dry run. Other rings do not give way to it.
    pub dry_run: bool,
    /// The file into which this process writes its incarnation's name for the kubelet. None if there is no such file.
    pub termination_log: Option<PathBuf>,
}

/// Why a process cannot take part in a ring.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The ring's name is not usable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The number of slots is not possible.
    #[error("{0} slots are not possible: 1 to {SLOTS_MAX} are")]
    Slots(u16),
    /// A family's name is not usable.
    #[error("family {0:?} is not usable: families are named by lower-case letters, digits and hyphens")]
    Family(String),
    /// No family is named.
    #[error("a replica must work on a family")]
    NoFamily,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// Makes this process a member. The future does the work. Poll it until it ends, some time after [`RingHandle::stop`].
/// It needs the runtime's timers and network. The client must send each request once, as clients from
/// [`client`](super::requests::client) do.
///
/// # Errors
/// A [`ConfigError`] if the configuration is not usable. Nothing is sent before the future is polled.
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
        // Events that wait may still be published, for a limited time.
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

/// Tells subscribers of the end, even if the loop is dropped.
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
    /// Requests under way. Each has a time limit, and the state machine has few at the same time.
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
            // If the incarnation ends at the same time, the wish to stop must not be lost.
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

    /// Waits for the next events.
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

    /// Hands an event to the state machine and carries its actions out. Returns the reason if the incarnation has
    /// ended.
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
        // The answers belong to requests of the incarnation that ended. Nobody needs them.
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

    /// Writes the incarnation's name to the file that the kubelet reads. It happens before the incarnation does
    /// anything, so the kubelet never finds the name of an earlier one.
    fn begin(&mut self, incarnation: &Incarnation) {
        self.telemetry.begin(incarnation);
        let Some(path) = &self.config.termination_log else {
            return;
        };
        // The file is not created if it does not exist, as it does not outside of a cluster.
        let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, incarnation.as_str().as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "termination log not written");
        }
    }
}
