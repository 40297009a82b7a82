//! Watches as events. A watch never ends: if it fails, the failure is reported and the watch begins again. If it cannot
//! continue where it was, it begins with a new list.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client,
    api::DynamicObject,
    core::DeserializeGuard,
    runtime::{watcher, watcher::Event as Watched},
};
use serde::de::DeserializeOwned;

use super::{
    convert::lease::{self, LABEL_RING, Role},
    names::Names,
    pods,
    requests::{Remembered, rings},
};
use crate::{protocol::Event, record::Incarnation, timing::Timing};

/// After this number of consecutive failures a watch begins with a new list. The version from which it would continue
/// may be one that the API server will never have, after a restore.
const FAILURES_BEFORE_LIST: u32 = 2;
/// The first of several consecutive failures is reported, and then one in this number.
const FAILURES_PER_REPORT: u32 = 20;
/// How long one watch lasts on objects that may not change for days. If its connection has died silently, nothing is
/// heard for that time. For Leases, each member's own renewals show whether the watch still works.
const WATCH_SECONDS: u32 = 60;
/// The longest wait before the watch of Pods is tried again. If the right is missing, this watch always fails.
const PODS_WAIT_MAX: Duration = Duration::from_mins(1);

/// The watches of one ring.
pub struct Watches {
    source: Source,
    events: BoxStream<'static, Event>,
}

impl Watches {
    /// Begins to watch. `pods` are labels that select Pods of the namespace, and the ends of their containers are told.
    /// If it is None, no Pods are watched.
    pub fn new(
        client: Client,
        namespace: &str,
        names: Names,
        timing: &Timing,
        remembered: Remembered,
        pods: Option<String>,
    ) -> Self {
        let source = Source {
            client,
            namespace: namespace.to_owned(),
            names,
            pace: Pace::new(timing),
            leases: Arc::default(),
            remembered,
            pods,
        };
        let events = source.begin();
        Self { source, events }
    }

    /// Begins anew, with new lists. Events that were not fetched yet are dropped.
    pub fn restart(&mut self) {
        self.events = self.source.begin();
    }

    /// The next event. The future may be dropped while it waits, and nothing is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.events.next().await {
                Some(event) => return event,
                // The stream never ends.
                None => self.restart(),
            }
        }
    }
}

struct Source {
    client: Client,
    namespace: String,
    names: Names,
    pace: Pace,
    leases: Arc<Mutex<Leases>>,
    remembered: Remembered,
    pods: Option<String>,
}

impl Source {
    fn begin(&self) -> BoxStream<'static, Event> {
        let mut all = stream::SelectAll::new();
        all.push(self.leases());
        all.push(self.ring());
        if let Some(labels) = &self.pods {
            all.push(self.pods(labels));
        }
        all.boxed()
    }

    fn leases(&self) -> BoxStream<'static, Event> {
        let api = Api::<DeserializeGuard<Lease>>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels(&format!("{LABEL_RING}={}", self.names.ring));
        let (names, leases) = (self.names.clone(), self.leases.clone());
        let events = Watch::begin("Leases", api, config, self.pace).flat_map(move |watched| {
            let mut leases = leases.lock().unwrap_or_else(PoisonError::into_inner);
            stream::iter(leases.take_in(&names, watched))
        });
        events.boxed()
    }

    fn ring(&self) -> BoxStream<'static, Event> {
        let api = rings(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let config = config.fields(&format!("metadata.name={}", self.names.ring));
        let mut ring = RingObject { listed: false, remembered: self.remembered.clone() };
        let events = Watch::begin("the Ring (is its CRD installed?)", api, config, self.pace);
        events.filter_map(move |watched| std::future::ready(ring.take_in(watched))).boxed()
    }

    fn pods(&self, labels: &str) -> BoxStream<'static, Event> {
        let api = Api::<DeserializeGuard<Pod>>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().timeout(WATCH_SECONDS).labels(labels);
        let pace = Pace { wait_max: PODS_WAIT_MAX, ..self.pace };
        let events = Watch::begin("Pods", api, config, pace);
        events.flat_map(|watched| stream::iter(pods::ends(watched))).boxed()
    }
}

/// How fast a watch is tried again.
#[derive(Clone, Copy, Debug)]
struct Pace {
    wait: Duration,
    wait_max: Duration,
    /// The longest wait for a part of a list.
    list: Duration,
}

impl Pace {
    fn new(timing: &Timing) -> Self {
        Self { wait: timing.retry() / 8, wait_max: timing.renew(), list: timing.request() * 2 }
    }

    fn wait(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.wait.saturating_mul(doubled).min(self.wait_max)
    }
}

type Steps<K> = BoxStream<'static, watcher::Result<Watched<K>>>;

/// A watch that goes on after every failure.
struct Watch<K: 'static> {
    what: &'static str,
    api: Api<K>,
    config: watcher::Config,
    pace: Pace,
    steps: Option<Steps<K>>,
    listing: bool,
    failures: u32,
}

impl<K> Watch<K>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn begin(
        what: &'static str,
        api: Api<K>,
        config: watcher::Config,
        pace: Pace,
    ) -> BoxStream<'static, Watched<K>> {
        let watch = Self { what, api, config, pace, steps: None, listing: true, failures: 0 };
        stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
    }

    async fn next(&mut self) -> Watched<K> {
        loop {
            match self.step().await {
                Ok(watched) => {
                    self.succeeded(&watched);
                    return watched;
                }
                Err(failure) => self.failed(&failure),
            }
            if self.failures >= FAILURES_BEFORE_LIST {
                self.steps = None;
            }
            tokio::time::sleep(self.pace.wait(self.failures)).await;
        }
    }

    async fn step(&mut self) -> Result<Watched<K>, String> {
        let steps = self.steps.get_or_insert_with(|| watcher(self.api.clone(), self.config.clone()).boxed());
        let step = if self.listing {
            tokio::time::timeout(self.pace.list, steps.next()).await
        } else {
            Ok(steps.next().await)
        };
        match step {
            Ok(Some(step)) => step.map_err(|error| error.to_string()),
            Ok(None) => {
                self.steps = None;
                Err("it ended".to_owned())
            }
            Err(_) => {
                self.steps = None;
                Err(format!("no list within {:?}", self.pace.list))
            }
        }
    }

    fn succeeded(&mut self, watched: &Watched<K>) {
        match watched {
            Watched::Init => self.listing = true,
            Watched::InitApply(_) => {}
            Watched::InitDone | Watched::Apply(_) | Watched::Delete(_) => {
                self.listing = false;
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!("watch of {} goes on", self.what);
                }
            }
        }
    }

    fn failed(&mut self, error: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.failures % FAILURES_PER_REPORT == 1 {
            tracing::warn!(error, "watch of {} interrupted; tried again", self.what);
        }
    }
}

/// What the watch of Leases has shown.
#[derive(Debug, Default)]
struct Leases {
    known: BTreeSet<Shown>,
    listed: BTreeSet<Shown>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Member(Incarnation),
    Leader,
}

impl Leases {
    fn take_in(&mut self, names: &Names, watched: Watched<DeserializeGuard<Lease>>) -> Vec<Event> {
        match watched {
            Watched::Init => {
                self.listed.clear();
                vec![]
            }
            Watched::InitApply(guard) => {
                let lease = lease::decoded(guard);
                self.listed.extend(shown(names, &lease));
                self.seen(names, &lease)
            }
            Watched::Apply(guard) => self.seen(names, &lease::decoded(guard)),
            Watched::Delete(guard) => {
                let shown = shown(names, &lease::decoded(guard));
                shown.into_iter().filter_map(|shown| self.gone(&shown)).collect()
            }
            Watched::InitDone => {
                let vanished: Vec<Shown> = self.known.difference(&self.listed).cloned().collect();
                let gone = vanished.iter().filter_map(|shown| self.gone(shown));
                let mut events: Vec<Event> = gone.collect();
                events.push(Event::LeasesListed);
                events
            }
        }
    }

    fn seen(&mut self, names: &Names, lease: &Lease) -> Vec<Event> {
        let Some(shown) = shown(names, lease) else {
            // It may have been a member's Lease before somebody changed its labels.
            let member = Shown::Member(Incarnation::new(lease.metadata.name.clone().unwrap_or_default()));
            return self.gone(&member).into_iter().collect();
        };
        let event = match &shown {
            Shown::Member(_) => lease::member(lease).map(Event::MemberSeen),
            Shown::Leader => lease::leader(lease).map(Event::LeaderSeen),
        };
        self.known.insert(shown);
        let reported = event.inspect_err(|error| tracing::warn!(%error, "a Lease is ignored"));
        reported.into_iter().collect()
    }

    fn gone(&mut self, shown: &Shown) -> Option<Event> {
        self.known.remove(shown).then(|| match shown {
            Shown::Member(incarnation) => Event::MemberGone(incarnation.clone()),
            Shown::Leader => Event::LeaderGone,
        })
    }
}

fn shown(names: &Names, lease: &Lease) -> Option<Shown> {
    Some(match lease::role(names, &lease.metadata)? {
        Role::Member(incarnation) => Shown::Member(incarnation),
        Role::Leader => Shown::Leader,
    })
}

/// What the watch of the ring object has shown.
struct RingObject {
    listed: bool,
    remembered: Remembered,
}

impl RingObject {
    fn take_in(&mut self, watched: Watched<DynamicObject>) -> Option<Event> {
        match watched {
            Watched::Init => {
                self.listed = false;
                None
            }
            Watched::InitApply(object) => {
                self.listed = true;
                self.seen(object)
            }
            Watched::Apply(object) => self.seen(object),
            Watched::Delete(_) => Some(Event::RingGone),
            Watched::InitDone => (!self.listed).then_some(Event::RingGone),
        }
    }

    fn seen(&self, object: DynamicObject) -> Option<Event> {
        let read = self.remembered.take_in(object);
        let reported = read.inspect_err(|error| tracing::warn!(%error, "the Ring cannot be understood"));
        reported.ok().map(Event::RingSeen)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
