//! An operator process behind its proxy, in the Pod that it seems to run in.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::{
    guard::Guarded,
    replica::{Replica, ReplicaConfig},
};
use tokio::time::{Instant, sleep};

use crate::{
    kinds::{CALL, LEASE, PERMIT, RENEW},
    proxy::Proxy,
    site::{Failure, Site},
};

/// The name of the ring object. Every ring here has a namespace of its own.
pub(crate) const RING: &str = "booking-operator";
/// The name of the ring of a process that shares nothing with the others.
pub(crate) const ROGUE: &str = "rogue";
/// The name of the container in the Pods.
const CONTAINER: &str = "booking-operator";
/// How long a process may take to become ready beside many others.
const READY_LIMIT: Duration = Duration::from_mins(1);
const READY_POLL: Duration = Duration::from_millis(50);
/// The number of tries to start a process. A port that was free may be taken before it is used.
const LAUNCHES: usize = 3;
/// Where Debian installs the library that `faketime` preloads.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A Pod: an object, and the network that its processes share.
#[derive(Clone)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) pod: Arc<str>,
    uid: String,
    /// The proxy between the Pod and the API server.
    pub(crate) proxy: Arc<Proxy>,
    kubeconfig: PathBuf,
}

impl Place {
    /// Creates the Pod.
    ///
    /// # Errors
    /// If the API server refuses, or there is no free port or file.
    pub(crate) async fn create(site: &Site, namespace: &str, name: &str) -> Result<Self, Failure> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "booking-operator"}},
            "spec": {"containers": [{"name": CONTAINER, "image": "none"}]},
        }))?;
        let created = pods(&site.client, namespace).create(&PostParams::default(), &pod).await?;
        let proxy = Proxy::start(site.upstream.clone()).await?;
        let kubeconfig = site.directory.join(format!("{namespace}-{name}.kubeconfig"));
        std::fs::write(&kubeconfig, kubeconfig_for(&proxy.url()))?;
        let uid = created.uid().unwrap_or_default();
        Ok(Self { pod: Arc::from(name), uid, proxy: Arc::new(proxy), kubeconfig })
    }

    /// Writes into the Pod's status what the kubelet writes when a container's process is gone.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) async fn report_death(
        &self,
        client: &Client,
        namespace: &str,
        incarnation: &str,
    ) -> Result<(), kube::Error> {
        let status = json!({"status": {"phase": "Running", "containerStatuses": [{
            "name": CONTAINER, "image": "none", "imageID": "none", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "Error", "message": incarnation}},
        }]}});
        let patch = Patch::Merge(&status);
        pods(client, namespace).patch_status(&self.pod, &PatchParams::default(), &patch).await.map(drop)
    }
}

fn pods(client: &Client, namespace: &str) -> Api<Pod> {
    Api::namespaced(client.clone(), namespace)
}

fn kubeconfig_for(url: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": url}}],
        "users": [{"name": "none", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "none"}}],
        "current-context": "proxy",
    })
    .to_string()
}

/// How to run a process.
#[derive(Clone, Debug)]
pub(crate) struct Launch<'a> {
    /// The namespace that it works for. Its ring is there, too.
    pub(crate) namespace: &'a str,
    /// The name of its ring.
    pub(crate) ring: &'a str,
    /// The URL of its EC2.
    pub(crate) ec2_url: &'a str,
    /// Its release.
    pub(crate) release: &'a str,
    /// The operator's binary of that release.
    pub(crate) binary: &'a Path,
    /// How far its wall clock is off, in the syntax of `faketime`.
    pub(crate) skew: Option<&'a str>,
    /// Its name in the cloud's call log. No other process has this name.
    pub(crate) name: &'a str,
}

/// A running process.
pub(crate) struct Process {
    /// The Pod in which it runs.
    pub(crate) place: Place,
    /// Its name in the cloud's call log.
    pub(crate) name: Arc<str>,
    replica: Replica,
}

impl Process {
    /// Starts a process. It is not ready yet.
    ///
    /// # Errors
    /// If it cannot be started, or its wall clock cannot be skewed.
    pub(crate) fn spawn(site: &Site, place: &Place, launch: &Launch<'_>) -> Result<Self, Failure> {
        let ms = |name: &str, span: Duration| format!("--{name}={}ms", span.as_millis());
        let args = [
            format!("--namespace={}", launch.namespace),
            format!("--ring-namespace={}", launch.namespace),
            format!("--ring-name={}", launch.ring),
            ms("lease-duration", LEASE),
            ms("renew-interval", RENEW),
            ms("permit-duration", PERMIT),
            ms("call-timeout", CALL),
            "--poll-shortest=250ms".to_owned(),
            "--metrics-bind-address=0".to_owned(),
            "--pod-labels=app.kubernetes.io/name=booking-operator".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let skew = launch.skew.map(faketime).transpose()?.unwrap_or_default();
        let mut env = vec![
            ("POD_UID", place.uid.as_str()),
            ("CONTAINER_NAME", CONTAINER),
            ("RELEASE", launch.release),
            ("AWS_SDK_UA_APP_ID", launch.name),
        ];
        env.extend(skew.iter().map(|(name, value)| (*name, value.as_str())));
        let log = site.directory.join(format!("{}.log", launch.name));
        let config = ReplicaConfig {
            name: &place.pod,
            kubeconfig: &place.kubeconfig,
            ec2_url: launch.ec2_url,
            log: &log,
            args: &args,
        };
        let replica = Replica::spawn_binary(launch.binary, &config, &env)?;
        Ok(Self { place: place.clone(), name: Arc::from(launch.name), replica })
    }

    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// The errors of [`Self::spawn`], and that it does not become ready.
    pub(crate) async fn start(site: &Site, place: &Place, launch: &Launch<'_>) -> Result<Self, Failure> {
        let mut last = String::new();
        for _ in 0..LAUNCHES {
            let process = Self::spawn(site, place, launch)?;
            if process.becomes_ready().await {
                return Ok(process);
            }
            last = process.guarded().log_tail(20);
        }
        Err(format!("{} does not become ready; its last words:\n{last}", launch.name).into())
    }

    async fn becomes_ready(&self) -> bool {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline && self.guarded().try_wait().is_none() {
            if self.replica.is_ready().await {
                return true;
            }
            sleep(READY_POLL).await;
        }
        false
    }

    /// Ends the process, gracefully if possible, and waits for its end.
    pub(crate) async fn stop(self) -> Option<i32> {
        self.replica.stop().await
    }

    /// The process as such.
    pub(crate) fn guarded(&self) -> &Guarded {
        self.replica.process()
    }

    /// The Pod that it runs in.
    pub(crate) fn pod(&self) -> &str {
        &self.place.pod
    }
}

/// The environment that skews a process's wall clock, and none of its other clocks.
fn faketime(skew: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
    let library = library.ok_or("the kind skew needs libfaketime: apt-get install faketime")?;
    Ok(vec![
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME", skew.to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}
