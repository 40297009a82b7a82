//! The installed operator: kubectl and Pods.

use std::time::Duration;

use k8s_openapi::api::core::v1 as api;
use serde_json::{Value, json};
use testbed::ec2::Ec2AdminClient;
use tokio::time::{Instant, sleep};

use crate::{
    failure::Failure,
    host::root,
    image,
    names::{NAMESPACE, USERS, is_ours},
    site::Site,
};

const REPLICAS: &str = "app.kubernetes.io/name=booking-operator";
const DEPLOYMENT: &str = "deployment/booking-operator";
const OVERLAY: &str = "deploy/overlays/simulator";
const PATIENCE: Duration = Duration::from_mins(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A cluster with the installed operator.
pub(crate) struct Cluster<'a> {
    pub(crate) site: &'a Site,
    pub(crate) cloud: Ec2AdminClient,
    /// How long the installation took until all replicas were ready.
    pub(crate) installed: Duration,
}

/// The Pod of a replica.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    /// The id of its container in the node's runtime.
    pub(crate) container: String,
    pub(crate) is_ready: bool,
    pub(crate) restarts: i32,
    /// How the previous container ended: exit code, reason, termination message.
    pub(crate) ended: Option<(i32, String, String)>,
}

impl Pod {
    fn read(pod: &api::Pod) -> Self {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let container = statuses.into_iter().next();
        let last =
            container.and_then(|it| it.last_state.as_ref()).and_then(|state| state.terminated.as_ref());
        let id = container.and_then(|it| it.container_id.as_deref()).unwrap_or_default();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            container: id.split("://").last().unwrap_or_default().to_owned(),
            is_ready: container.is_some_and(|it| it.ready),
            restarts: container.map_or(0, |it| it.restart_count),
            ended: last.map(|it| {
                (it.exit_code, it.reason.clone().unwrap_or_default(), it.message.clone().unwrap_or_default())
            }),
        }
    }
}

impl<'a> Cluster<'a> {
    /// Runs `kubectl apply -k`, and waits until everything is up.
    pub(crate) async fn install(site: &'a Site) -> Result<Self, Failure> {
        println!("kubectl apply -k {OVERLAY} ...");
        let begun = Instant::now();
        if site.tag() == image::TAG {
            site.kubectl(&["apply", "-k", &overlay()]).await?;
        } else {
            let objects = site.kubectl(&["kustomize", &overlay()]).await?;
            let tag = |tag: &str| format!(":{tag}\n");
            let file = written(&objects.replace(&tag(image::TAG), &tag(site.tag())))?;
            site.kubectl(&["apply", "-f", &file.path().display().to_string()]).await?;
        }
        for deployment in ["deployment/cloud-simulator", DEPLOYMENT] {
            rolled_out(site, deployment).await?;
        }
        let installed = begun.elapsed();
        site.kubectl(&["create", "namespace", USERS]).await?;
        let service =
            ["get", "service", "cloud-simulator", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"];
        let url = site.cloud_url(&site.kubectl(&service).await?).await?;
        Ok(Self { site, cloud: Ec2AdminClient::new(&url)?, installed })
    }

    /// Runs kubectl.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        self.site.kubectl(args).await
    }

    /// Runs `kubectl wait` for a condition of one of the users' objects.
    pub(crate) async fn wait_for(&self, what: &str, object: &str) -> Result<(), Failure> {
        let condition = format!("--for={what}");
        self.kubectl(&["wait", &condition, object, "-n", USERS, "--timeout=90s"]).await.map(drop)
    }

    /// Waits until the roll-out is done.
    pub(crate) async fn rolled_out(&self) -> Result<(), Failure> {
        rolled_out(self.site, DEPLOYMENT).await
    }

    /// The Pod whose replica is the leader. It waits until there is a leader whose Pod is not being deleted.
    pub(crate) async fn leader(&self) -> Result<Pod, Failure> {
        let ring = ["get", "ring", "booking-operator", "-n", NAMESPACE, "-o", "jsonpath={.status.leader}"];
        let begun = Instant::now();
        loop {
            let incarnation = self.kubectl(&ring).await?;
            let pods = self.pods().await?;
            if let Some(leads) = pods.into_iter().find(|pod| incarnation.starts_with(&pod.name)) {
                return Ok(leads);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{incarnation} leads, and is no Pod").into());
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The replicas' Pods that are not being deleted.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>, Failure> {
        let list = self.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", REPLICAS, "-o", "json"]).await?;
        let mut list: Value = serde_json::from_str(&list)?;
        let items = list.get_mut("items").map(Value::take).ok_or("no list")?;
        let pods: Vec<api::Pod> = serde_json::from_value(items)?;
        Ok(pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(Pod::read).collect())
    }

    /// The Pod of this name.
    pub(crate) async fn pod(&self, name: &str) -> Result<Pod, Failure> {
        let pods = self.pods().await?;
        Ok(pods.into_iter().find(|pod| pod.name == name).ok_or_else(|| format!("no Pod {name}"))?)
    }

    /// Asks for the eviction of a Pod, as a drain does. If the API server refuses, its answer is returned.
    pub(crate) async fn evict(&self, pod: &str) -> Result<(), String> {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": NAMESPACE },
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
        let file = written(&eviction.to_string()).map_err(|error| error.to_string())?;
        let create = ["create", "--raw", &path, "-f", &file.path().display().to_string()];
        self.kubectl(&create).await.map(drop).map_err(|error| error.to_string())
    }

    /// Waits until a condition is true.
    pub(crate) async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        is: impl Fn() -> F,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        while !is().await {
            if begun.elapsed() > PATIENCE {
                let pods = self
                    .kubectl(&["get", "pods,bookings,resources", "-A", "-o", "wide"])
                    .await
                    .unwrap_or_default();
                return Err(format!("never: {what}\n{pods}").into());
            }
            sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }
}

/// Deletes the objects, then everything that was installed, and reports what remains. It tries each step even if
/// another one fails.
pub(crate) async fn uninstall(site: &Site) -> Result<(), Failure> {
    println!("uninstalling ...");
    let kinds = "bookings,bookingschedulers,resourcemonitors,resources";
    let overlay = overlay();
    let steps: [&[&str]; 3] = [
        &["delete", kinds, "--all", "-n", USERS, "--timeout=60s"],
        &["delete", "-k", &overlay, "--ignore-not-found", "--timeout=90s"],
        &["delete", "namespace", USERS, "--ignore-not-found", "--timeout=60s"],
    ];
    let mut problems = Vec::new();
    for step in steps {
        if let Err(error) = site.kubectl(step).await {
            problems.push(error.to_string());
        }
    }
    let left = site.kubectl(&["get", "crds,namespaces", "-o", "name"]).await?;
    if is_ours(&left) {
        problems.push(format!("left behind: {left}"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

async fn rolled_out(site: &Site, deployment: &str) -> Result<(), Failure> {
    let status = ["rollout", "status", deployment, "-n", NAMESPACE, "--timeout=120s"];
    let Err(error) = site.kubectl(&status).await else { return Ok(()) };
    let told = site.kubectl(&["describe", "pods", "-n", NAMESPACE]).await.unwrap_or_default();
    let last: Vec<&str> = told.lines().rev().take(40).collect();
    Err(format!("{error}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n")).into())
}

/// Objects in a file, for kubectl.
pub(crate) fn written(objects: &str) -> Result<tempfile::NamedTempFile, Failure> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), objects)?;
    Ok(file)
}

fn overlay() -> String {
    root().join(OVERLAY).display().to_string()
}
