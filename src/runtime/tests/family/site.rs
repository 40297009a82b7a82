//! Where the test family runs: a namespace, two more kinds of objects, and replicas in a ring of their own.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use booking_ring::{
    kubernetes::{self as ring, RingConfig, clocks, crd},
    timing::Timing,
};
use booking_runtime::{
    Key,
    clock::Clock,
    controller::{Family, Services},
    ownership::RingOwnership,
    process::{Limits, Process, RingPart},
    run::Driven,
    store::{Served, Table},
    watch::RuntimeKinds,
};
use futures::FutureExt;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::json;
use testbed::{
    control_plane::{ControlPlane, test_namespace},
    patience::patient,
};
use tokio_util::sync::CancellationToken;

use crate::family::{Item, KINDS, Worker};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_mins(1);
const LABEL: &str = "tests.example.com/site";

/// Which replica worked on which key, in order.
type Log = Arc<Mutex<Vec<(&'static str, Key)>>>;

pub fn widgets() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("tests.example.com", "v1", "Widget"))
}

pub struct Site {
    client: Client,
    namespace: String,
    pub log: Log,
    changes: AtomicUsize,
}

pub struct Replica {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Site {
    pub async fn new(name: &str) -> Self {
        let control_plane = ControlPlane::shared().await.unwrap();
        let client = control_plane.client().unwrap();
        let namespace = test_namespace(&client, name).await.unwrap();
        let widget = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "widgets.tests.example.com" },
            "spec": {
                "group": "tests.example.com", "scope": "Namespaced",
                "names": { "kind": "Widget", "plural": "widgets" },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                }],
            },
        });
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for crd in [serde_json::to_value(crd::crd()).unwrap(), widget] {
            let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
            crds.patch(&name, &PatchParams::apply("tests").force(), &Patch::Apply(&crd)).await.unwrap();
            let established = await_condition(crds.clone(), &name, is_crd_established());
            tokio::time::timeout(patient(PATIENCE), established).await.unwrap().unwrap();
        }
        Self { client, namespace, log: Log::default(), changes: AtomicUsize::new(0) }
    }

    fn notes(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn widgets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &widgets())
    }

    fn label(&self) -> serde_json::Value {
        json!({ LABEL: self.namespace })
    }

    /// Creates a ConfigMap with finalizers.
    pub async fn note(&self, name: &str, finalizers: &[&str]) {
        let metadata = json!({ "name": name, "labels": self.label(), "finalizers": finalizers });
        let note: ConfigMap = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        self.notes().create(&PostParams::default(), &note).await.unwrap();
    }

    /// Creates `count` objects of each kind. Returns their keys.
    pub async fn objects(&self, count: usize) -> BTreeSet<Key> {
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        let mut keys = BTreeSet::new();
        for number in 0..count {
            let (name, space) = (format!("n{number}"), format!("{}-{number}", self.namespace));
            self.note(&name, &[]).await;
            let metadata = |name: &str| json!({ "name": name, "labels": self.label() });
            let namespace = serde_json::from_value(json!({ "metadata": metadata(&space) })).unwrap();
            spaces.create(&PostParams::default(), &namespace).await.unwrap();
            let widget = json!({ "apiVersion": "tests.example.com/v1", "kind": "Widget", "metadata": metadata(&name) });
            let widget = serde_json::from_value(widget).unwrap();
            self.widgets().create(&PostParams::default(), &widget).await.unwrap();
            keys.extend([
                Key::new(KINDS[0], self.namespace.clone(), name.clone()),
                Key::new(KINDS[1], "", space),
                Key::new(KINDS[2], self.namespace.clone(), name),
            ]);
        }
        keys
    }

    /// Changes every object in a way that the stored records show.
    pub async fn change_all(&self) {
        let change = self.changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let how = PatchParams::default();
        for note in self.notes().list(&selected(&self.namespace)).await.unwrap() {
            let patch = Patch::Merge(json!({ "data": { "change": change } }));
            self.notes().patch(&note.name_any(), &how, &patch).await.unwrap();
        }
        for widget in self.widgets().list(&selected(&self.namespace)).await.unwrap() {
            let patch = Patch::Merge(json!({ "spec": { "change": change } }));
            self.widgets().patch(&widget.name_any(), &how, &patch).await.unwrap();
        }
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        for space in spaces.list(&selected(&self.namespace)).await.unwrap() {
            // A Namespace has no data, so the beginning of its deletion is the change.
            spaces.delete(&space.name_any(), &kube::api::DeleteParams::default()).await.unwrap();
        }
    }

    /// Adds finalizers of others, one after the other.
    pub async fn add_finalizers_of_others(&self, name: &str, count: usize) {
        for number in 0..count {
            let finalizer = format!("tests.example.com/other-{number}");
            loop {
                let note = self.notes().get(name).await.unwrap();
                let mut all = note.metadata.finalizers.clone().unwrap_or_default();
                all.push(finalizer.clone());
                let patch =
                    json!({ "metadata": { "finalizers": all, "resourceVersion": note.resource_version() } });
                if self.notes().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                    break;
                }
            }
        }
    }

    pub async fn finalizers(&self, name: &str) -> Vec<String> {
        self.notes().get(name).await.unwrap().metadata.finalizers.unwrap_or_default()
    }

    pub async fn delete(&self, name: &str) {
        self.notes().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until no replica has worked on anything for a while.
    pub async fn settled(&self) {
        let mut before = 0;
        loop {
            tokio::time::sleep(patient(Duration::from_secs(2))).await;
            let now = self.log.lock().unwrap().len();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Starts a replica of the family in the ring of this site. It is a member when this returns.
    pub async fn replica(&self, name: &'static str) -> Replica {
        let clock = Clock::default();
        let config = RingConfig {
            name: "family".into(),
            namespace: self.namespace.clone(),
            timing: timing(),
            slots: 16,
            pod: name.into(),
            container: None,
            started: clocks::now(),
            release: "tests".into(),
            pod_labels: None,
            families: BTreeSet::from([self.namespace.clone()]),
            scope: None,
            dry_run: false,
            termination_log: None,
        };
        let reference = ring::reference(&config.name, &config.namespace);
        let (handle, run) = ring::start(self.client.clone(), config).unwrap();
        let ownership = Arc::new(RingOwnership::new(handle.clone(), timing().call()));
        let services = Services::new((self.client.clone(), clock), None, ownership.clone(), name.into());
        let (ring_handle, run) = (handle.clone(), Box::pin(run));
        let ring = RingPart { handle, ownership, run, reference, beside: Vec::new() };
        let limits = Limits { passes: 8, shutdown: patient(Duration::from_secs(20)) };
        let process = Process::new(services, vec![self.family(name)], Some(ring), limits);
        let stop = CancellationToken::new();
        let task = tokio::spawn(process.run(stop.clone()));
        eventually("the replica is a member", || ring_handle.is_in_ring()).await;
        Replica { stop, task }
    }

    fn family(&self, replica: &'static str) -> Family {
        let selector = format!("{LABEL}={}", self.namespace);
        let of_kind = |kind, served: Served| {
            Arc::new(Table::<Item>::new(served.with_labels(&selector)).keyed_by_name(kind))
        };
        let notes = of_kind(KINDS[0], Served::namespaced::<ConfigMap>());
        let spaces = of_kind(KINDS[1], Served::cluster::<Namespace>());
        let key = |object: &booking_runtime::store::object::RuntimeObject| {
            let (namespace, name) = (object.metadata.namespace.clone(), object.metadata.name.clone());
            vec![Key::new(KINDS[2], namespace.unwrap_or_default(), name.unwrap_or_default())]
        };
        let widgets = Arc::new(RuntimeKinds::new(Some(selector.clone()), key));
        let log = self.log.clone();
        Family {
            name: "tests",
            controllers: vec![
                Driven::of(Arc::new(Worker::<0> {
                    replica,
                    log: log.clone(),
                    items: notes.clone(),
                    widgets: widgets.clone(),
                })),
                Driven::of(Arc::new(Worker::<1> {
                    replica,
                    log: log.clone(),
                    items: spaces,
                    widgets: widgets.clone(),
                })),
                Driven::of(Arc::new(Worker::<2> { replica, log, items: notes, widgets })),
            ],
            predecessor: None,
            vital: Vec::new(),
            background: Vec::new(),
            measure: Arc::new(|| async {}.boxed()),
        }
    }
}

fn timing() -> Timing {
    let ms = |ms: u64| patient(Duration::from_millis(ms));
    Timing::new(ms(3000), ms(600), ms(1600), ms(800)).unwrap()
}

fn selected(site: &str) -> kube::api::ListParams {
    kube::api::ListParams::default().labels(&format!("{LABEL}={site}"))
}

/// Waits until something is true.
pub async fn eventually(what: &str, is: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + patient(PATIENCE);
    while !is() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until something is true that must be asked for.
pub async fn eventually_async(what: &str, is: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + patient(PATIENCE);
    while !is().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
