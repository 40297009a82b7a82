//! One ring: operator processes in a namespace of their own, their cloud, their load, and their history.

mod cloud;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use booking_ring::slot::slot_of;
use testbed::{
    control_plane::test_namespace,
    ec2::{Ec2Simulator, GROUP_TAG, InstanceQuery, InstanceState, InstanceView},
};
use tokio::time::{sleep, timeout};

use self::cloud::cloud;
use crate::{
    clock::At,
    history::{History, KeyId, Pause, Span},
    kinds::{Kind, RENEW},
    load::{Key, Load},
    process::{Launch, Place, Process, RING, ROGUE},
    proxy::Mode,
    site::{Failure, Site},
    view::{View, Viewer},
};

/// The number of Resources of a ring. With three replicas, each is likely to own some.
pub(crate) const KEYS: usize = 9;
/// The number of processes of a ring between two faults.
pub(crate) const REPLICAS: usize = 3;
/// How long a ring may take to settle after a fault. It takes longest if outages one after the other make a member
/// rest, which takes 100 P.
const SETTLE_LIMIT: Duration = Duration::from_mins(6);
/// The tag by which a group is discovered.
const MANAGED: &str = "resource-booking-managed";
/// How long after the end of the last Booking a machine may still run or be locked.
const REST_LIMIT: Duration = Duration::from_secs(30);
/// How often the call log is read. The times in the log count, not the times of reading.
const LOOK: Duration = Duration::from_millis(100);

/// A ring and its world.
pub(crate) struct Ring {
    /// The site, which it shares with the other rings.
    pub(crate) site: Arc<Site>,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its processes.
    pub(crate) processes: Vec<Process>,
    /// The ring object.
    pub(crate) viewer: Viewer,
    /// Its load.
    pub(crate) load: Load,
    /// The source of random choices.
    pub(crate) random: fastrand::Rng,
    /// The faults that it suffered.
    pub(crate) spans: Vec<Span>,
    /// The periods in which its processes stood still.
    pub(crate) pauses: Vec<Pause>,
    /// Its name among the rings.
    pub(crate) label: String,
    ec2: Ec2Simulator,
    keys: Vec<Key>,
    machines: BTreeMap<String, KeyId>,
    pods: BTreeMap<Arc<str>, Arc<str>>,
    /// A process that works on what the others own. The checker must find it.
    rogue: Option<Process>,
    launches: usize,
    release: usize,
}

impl Ring {
    /// Builds the world and starts the processes.
    ///
    /// # Errors
    /// If something does not come up.
    pub(crate) async fn start(site: Arc<Site>, index: usize, random: fastrand::Rng) -> Result<Self, Failure> {
        let label = format!("ring{index}");
        let namespace = test_namespace(&site.client, &label).await?;
        let tag = |n: usize| format!("{label}.group{n}");
        let keys: Vec<Key> =
            (0..KEYS).map(|n| Key { resource: format!("ec2.{}", tag(n)), tag: tag(n) }).collect();
        let (ec2, machines) = cloud(&keys).await?;
        let load = Load::new(site.client.clone(), &namespace, &keys, random.clone());
        let log = site.directory.join(format!("{label}.ring.log"));
        let viewer = Viewer::start(site.looker.clone(), &namespace, RING, log);
        let mut ring = Self {
            site,
            namespace,
            processes: Vec::new(),
            viewer,
            load,
            random,
            spans: Vec::new(),
            pauses: Vec::new(),
            label,
            ec2,
            keys,
            machines,
            pods: BTreeMap::new(),
            rogue: None,
            launches: 0,
            release: 1,
        };
        for _ in 0..REPLICAS {
            ring.add(None).await?;
        }
        ring.settle().await?;
        ring.load.start().await?;
        Ok(ring)
    }

    /// Starts one more process in a Pod of its own, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn add(&mut self, skew: Option<&str>) -> Result<Arc<str>, Failure> {
        let name = format!("{}-{}", self.label, self.launches);
        let place = Place::create(&self.site, &self.namespace, &name).await?;
        self.add_in(&place, skew).await
    }

    /// Starts one more process in an existing Pod, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn add_in(&mut self, place: &Place, skew: Option<&str>) -> Result<Arc<str>, Failure> {
        let process = self.launch(place, RING, skew).await?;
        let name = process.name.clone();
        self.processes.push(process);
        Ok(name)
    }

    /// Starts a process that does not know of the others, in a ring of its own on the same Resources.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn add_rogue(&mut self) -> Result<(), Failure> {
        let place = Place::create(&self.site, &self.namespace, ROGUE).await?;
        place.proxy.set(Mode::Falsify);
        self.rogue = Some(self.launch(&place, ROGUE, None).await?);
        Ok(())
    }

    async fn launch(&mut self, place: &Place, ring: &str, skew: Option<&str>) -> Result<Process, Failure> {
        self.launches += 1;
        // The Pod's name already names its first process.
        let name = format!("{}_{}", place.pod, self.launches);
        let release = format!("v{}", self.release);
        let (namespace, ec2_url) = (self.namespace.clone(), self.ec2.url());
        let site = self.site.clone();
        let launch = Launch {
            namespace: &namespace,
            ring,
            ec2_url: &ec2_url,
            release: &release,
            binary: site.binary(self.release),
            skew,
            name: &name,
        };
        self.pods.insert(Arc::from(name.as_str()), place.pod.clone());
        Process::start(&self.site, place, &launch).await
    }

    /// Processes that start from now on have another release.
    pub(crate) fn next_release(&mut self) {
        self.release += 1;
    }

    /// Kills all processes and starts others.
    ///
    /// # Errors
    /// If they do not start.
    pub(crate) async fn renew(&mut self) -> Result<(), Failure> {
        for process in std::mem::take(&mut self.processes) {
            process.guarded().kill()?;
            process.stop().await;
        }
        for _ in 0..REPLICAS {
            self.add(None).await?;
        }
        Ok(())
    }

    /// Ends all processes.
    pub(crate) async fn stop(self) {
        for process in self.processes.into_iter().chain(self.rogue) {
            process.stop().await;
        }
        self.ec2.stop().await;
    }

    /// Takes a process out of the ring. The caller must end it.
    ///
    /// # Errors
    /// If there is no process of that name.
    pub(crate) fn take(&mut self, name: &str) -> Result<Process, Failure> {
        let index = self.processes.iter().position(|process| &*process.name == name);
        let index = index.ok_or_else(|| format!("no process {name}"))?;
        Ok(self.processes.remove(index))
    }

    /// Waits until the ring has settled on the processes that run.
    ///
    /// # Errors
    /// If it does not settle, or a process has ended that should run.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        let pods: BTreeSet<&str> = self.processes.iter().map(Process::pod).collect();
        let settled = timeout(SETTLE_LIMIT, self.viewer.until(|view| view.is_settled(&pods))).await;
        for process in &self.processes {
            if let Some(code) = process.guarded().try_wait() {
                let last = process.guarded().log_tail(10);
                return Err(
                    format!("{} ended with code {code}; its last words:\n{last}", process.name).into()
                );
            }
        }
        let view = self.viewer.now();
        settled.map_err(|_| format!("not settled on {pods:?} within {SETTLE_LIMIT:?}: {view:?}").into())
    }

    /// Waits for a random phase of the renewals.
    pub(crate) async fn any_phase(&mut self) {
        let ms = u64::try_from(RENEW.as_millis()).unwrap_or(1);
        sleep(Duration::from_millis(self.random.u64(0..ms))).await;
    }

    /// The keys whose slots a Pod's process owns.
    pub(crate) fn keys_of(&self, view: &View, pod: &str) -> BTreeSet<KeyId> {
        let owned = view.slots_of(pod);
        self.slots(view.slots)
            .into_iter()
            .filter(|(_, slot)| owned.contains(slot))
            .map(|(key, _)| key)
            .collect()
    }

    fn slots(&self, count: u16) -> BTreeMap<KeyId, u16> {
        let keys = self.keys.iter().enumerate();
        keys.map(|(index, key)| (KeyId(index), slot_of(&self.namespace, &key.resource, count).0)).collect()
    }

    /// A random process that owns keys.
    pub(crate) fn any_victim(&mut self) -> Option<Arc<str>> {
        let view = self.viewer.now();
        let with_keys = |process: &&Process| !self.keys_of(&view, process.pod()).is_empty();
        let names: Vec<Arc<str>> =
            self.processes.iter().filter(with_keys).map(|process| process.name.clone()).collect();
        self.random.choice(names)
    }

    /// The process that is the leader.
    pub(crate) fn leader(&self) -> Option<Arc<str>> {
        let view = self.viewer.now();
        let pod = crate::view::pod_of(view.leader.as_deref()?);
        self.processes.iter().find(|process| process.pod() == pod).map(|process| process.name.clone())
    }

    /// Records a fault.
    pub(crate) fn note(&mut self, kind: Kind, from: At, until: At, keys: Option<BTreeSet<KeyId>>) {
        self.spans.push(Span { kind, from, until, keys });
    }

    /// Ends all bookings, and names the machines that still run or are locked a while later. It cuts the booked windows
    /// short, so take the history before.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) async fn left_behind(&mut self) -> Result<Vec<String>, Failure> {
        self.load.end().await?;
        let begun = At::now();
        loop {
            let restless = self.restless();
            if restless.is_empty() || At::now() > begun.plus(REST_LIMIT) {
                return Ok(restless);
            }
            sleep(LOOK).await;
        }
    }

    fn restless(&self) -> Vec<String> {
        let machines = self.ec2.world().instances(&InstanceQuery::default());
        let at_rest = |machine: &InstanceView| {
            let other_tags = machine.tags.keys().filter(|key| *key != GROUP_TAG && *key != MANAGED);
            machine.state == InstanceState::Stopped && other_tags.count() == 0
        };
        let restless = machines.into_iter().filter(|machine| !at_rest(machine));
        restless.map(|machine| format!("{} is {:?}, {:?}", machine.id, machine.state, machine.tags)).collect()
    }

    /// Everything that has happened so far.
    pub(crate) fn history(&self) -> History {
        let slots = self.viewer.now().slots;
        History {
            slots: if slots == 0 { BTreeMap::new() } else { self.slots(slots) },
            windows: self.load.windows(),
            calls: self.calls(),
            owned: self.viewer.owned(),
            blind: self.viewer.blind(),
            spans: self.spans.clone(),
            pauses: self.pauses.clone(),
            end: Some(At::now()),
        }
    }
}
