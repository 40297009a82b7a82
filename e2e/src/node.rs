//! A node and its control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd, kubelet,
//! kube-proxy. Each is a process of its own that ends with this one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use testbed::{
    control_plane::{AUDIT_POLICY, Binaries, NodeBinaries},
    guard::{Guarded, GuardedCommand},
    ports::free_port,
};
use tokio::time::{Instant, sleep};

use crate::{
    failure::Failure,
    host::{self, ADDRESS, BRIDGE, Taken, run},
    image::{self, INSTALLED, Image, PAUSE, TAG},
    names::NODE,
    pki::Pki,
};

/// The port of the API server on the node's own address. Nobody else listens there.
const PORT: u16 = 6443;
/// How long the node may take to become ready.
const LIMIT: Duration = Duration::from_mins(2);
/// The name of the API server's audit log.
const AUDIT: &str = "audit.log";
const GRACE: Duration = Duration::from_secs(5);

/// Our own node.
pub(crate) struct Node {
    processes: Vec<(&'static str, Guarded)>,
    pki: Pki,
    kubectl: PathBuf,
}

impl Node {
    /// A node that is not started yet.
    pub(crate) fn new(taken: &Taken) -> Result<Self, Failure> {
        let pki = Pki::write(taken.directory(), &format!("https://{ADDRESS}:{PORT}"))?;
        Ok(Self { processes: Vec::new(), pki, kubectl: PathBuf::from("kubectl") })
    }

    /// Builds the node's programs, starts them, and waits until the node is ready.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        let [operator, simulator] = INSTALLED.each_ref();
        image::build(&[&PAUSE, operator, simulator], "buildah", TAG, Some(&self.pki.directory)).await?;
        let (control, node) = (Binaries::find_or_make().await?, NodeBinaries::find_or_make().await?);
        self.kubectl = control.kubectl.clone().ok_or("no kubectl")?;
        host::prepare().await?;
        println!("node ...");
        let etcd = format!("http://127.0.0.1:{}", free_port()?);
        self.spawn("etcd", &control.etcd, etcd_arguments(&self.pki, &etcd))?;
        std::fs::write(self.pki.path("audit-policy.yaml"), AUDIT_POLICY)?;
        self.spawn("kube-apiserver", &control.kube_apiserver, api_arguments(&self.pki, &etcd))?;
        self.spawn("containerd", Path::new("containerd"), containerd_arguments(&self.pki)?)?;
        self.until("the API server", || async { self.kubectl(&["get", "--raw", "/readyz"]).await.map(drop) })
            .await?;
        self.spawn("kube-controller-manager", &node.controller_manager, manager_arguments(&self.pki))?;
        self.spawn("kube-scheduler", &node.scheduler, scheduler_arguments(&self.pki))?;
        self.import(&PAUSE).await?;
        self.spawn("kubelet", &node.kubelet, kubelet_arguments(&self.pki)?)?;
        self.spawn("kube-proxy", &node.proxy, proxy_arguments(&self.pki)?)?;
        let is_ready = || async {
            let wait = ["wait", "--for=condition=Ready", "node", NODE, "--timeout=1s"];
            self.kubectl(&wait).await.map(drop)
        };
        self.until("the node", is_ready).await
    }

    fn spawn(&mut self, name: &'static str, program: &Path, args: Vec<String>) -> Result<(), Failure> {
        let command =
            GuardedCommand::new(program, self.pki.path(&format!("{name}.log"))).args(args).grace(GRACE);
        // containerd and kubelet run programs of the system.
        let process = command.env("PATH", host::system_path()).spawn()?;
        self.processes.push((name, process));
        Ok(())
    }

    /// Waits until a condition is true. It fails with the name of a process that ends meanwhile.
    async fn until<F>(&self, what: &str, is: impl Fn() -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let begun = Instant::now();
        loop {
            let Err(error) = is().await else { return Ok(()) };
            for (name, process) in &self.processes {
                if let Some(code) = process.try_wait() {
                    return Err(format!("{name} ended with {code}: {}", process.log_tail(15)).into());
                }
            }
            if begun.elapsed() > LIMIT {
                let logs =
                    self.processes.iter().map(|(name, process)| format!("{name}: {}", process.log_tail(3)));
                return Err(
                    format!("{what} is not ready: {error}\n{}", logs.collect::<Vec<_>>().join("\n")).into()
                );
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Imports the images of the installation into containerd.
    pub(crate) async fn load_images(&self) -> Result<(), Failure> {
        for image in &INSTALLED {
            self.import(image).await?;
        }
        Ok(())
    }

    async fn import(&self, image: &Image) -> Result<(), Failure> {
        let archive = image::archive(image, TAG, &self.pki.directory).await?;
        let ctr = self.ctr();
        self.shell(&format!("{ctr} images import {} >/dev/null", archive.display())).await.map(drop)
    }

    /// Runs a shell script.
    pub(crate) async fn shell(&self, script: &str) -> Result<String, Failure> {
        run("sh", &["-c", script]).await
    }

    /// A command that prints the process id of a container.
    pub(crate) fn pid(&self, container: &str) -> String {
        format!("{} task ls | awk '$1 == \"{container}\" {{ print $2 }}'", self.ctr())
    }

    /// The command line of containerd's own client.
    fn ctr(&self) -> String {
        format!("ctr -a {} -n k8s.io", self.pki.text("containerd.sock"))
    }

    /// The API server's log of the requests of service accounts, in lines of JSON.
    pub(crate) fn audit_log(&self) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.pki.path(AUDIT))?)
    }

    /// Runs kubectl as the administrator.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        let kubeconfig = self.kubeconfig().display().to_string();
        run(&self.kubectl.display().to_string(), &[&["--kubeconfig", &kubeconfig], args].concat()).await
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.pki.path("admin.kubeconfig")
    }

    /// Ends everything. Containers come first, because nothing else ends them.
    pub(crate) async fn stop(mut self) {
        let ctr = self.ctr();
        if let Some(kubelet) = self.processes.iter().position(|(name, _)| *name == "kubelet") {
            self.processes.remove(kubelet).1.stop().await;
        }
        let kill = format!(
            "for c in $({ctr} task ls -q); do {ctr} task kill -s SIGKILL $c; done; sleep 1; \
             for c in $({ctr} task ls -q); do {ctr} task rm -f $c; done"
        );
        let _ = run("sh", &["-c", &kill]).await;
        while let Some((_, process)) = self.processes.pop() {
            process.stop().await;
        }
    }
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> Vec<String> {
    flags.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn etcd_arguments(pki: &Pki, url: &str) -> Vec<String> {
    let text = ToOwned::to_owned;
    let mut args = flags([
        ("data-dir", pki.text("etcd")),
        ("listen-client-urls", text(url)),
        ("advertise-client-urls", text(url)),
        ("listen-peer-urls", text("http://127.0.0.1:0")),
        ("log-level", text("warn")),
    ]);
    args.push("--unsafe-no-fsync".to_owned());
    args
}

fn api_arguments(pki: &Pki, etcd: &str) -> Vec<String> {
    let text = ToOwned::to_owned;
    flags([
        ("etcd-servers", text(etcd)),
        ("bind-address", text(ADDRESS)),
        ("advertise-address", text(ADDRESS)),
        ("secure-port", PORT.to_string()),
        ("tls-cert-file", pki.text("apiserver.crt")),
        ("tls-private-key-file", pki.text("apiserver.key")),
        ("client-ca-file", pki.text("ca.crt")),
        ("kubelet-client-certificate", pki.text("kubelet-client.crt")),
        ("kubelet-client-key", pki.text("kubelet-client.key")),
        ("kubelet-preferred-address-types", text("InternalIP")),
        ("service-account-issuer", text("https://kubernetes.default.svc")),
        ("service-account-key-file", pki.text("service-account.pub")),
        ("service-account-signing-key-file", pki.text("service-account.key")),
        ("service-cluster-ip-range", text("10.96.0.0/24")),
        ("authorization-mode", text("RBAC,Node")),
        ("enable-admission-plugins", text("NodeRestriction")),
        ("allow-privileged", text("true")),
        ("audit-policy-file", pki.text("audit-policy.yaml")),
        ("audit-log-path", pki.text(AUDIT)),
    ])
}

fn manager_arguments(pki: &Pki) -> Vec<String> {
    let text = ToOwned::to_owned;
    flags([
        ("kubeconfig", pki.text("controller-manager.kubeconfig")),
        ("root-ca-file", pki.text("ca.crt")),
        ("service-account-private-key-file", pki.text("service-account.key")),
        ("use-service-account-credentials", text("true")),
        ("leader-elect", text("false")),
        ("bind-address", text("127.0.0.1")),
        ("secure-port", text("0")),
    ])
}

fn scheduler_arguments(pki: &Pki) -> Vec<String> {
    flags([
        ("kubeconfig", pki.text("scheduler.kubeconfig")),
        ("leader-elect", "false".to_owned()),
        ("secure-port", "0".to_owned()),
    ])
}

/// The arguments for old cgroups and for the lack of the right to lower OOM scores. Containers and small virtual
/// machines need them.
fn containerd_arguments(pki: &Pki) -> Result<Vec<String>, Failure> {
    let at = |name: &str| pki.text(name);
    let network = format!(
        r#"{{"cniVersion":"0.4.0","name":"e2e","plugins":[
{{"type":"bridge","bridge":"{BRIDGE}","isGateway":true,"ipMasq":true,"hairpinMode":true,
"ipam":{{"type":"host-local","ranges":[[{{"subnet":"10.244.0.0/24"}}]],"routes":[{{"dst":"0.0.0.0/0"}}],"dataDir":"{}"}}}},
{{"type":"portmap","capabilities":{{"portMappings":true}}}}]}}"#,
        at("ipam")
    );
    std::fs::create_dir_all(pki.path("cni"))?;
    std::fs::write(pki.path("cni/10-e2e.conflist"), network)?;
    let config = format!(
        r#"version = 2
root = "{}"
state = "{}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{}"
"#,
        at("containerd"),
        at("containerd-state"),
        at("containerd.sock"),
        PAUSE.tagged(TAG),
        at("cni")
    );
    std::fs::write(pki.path("containerd.toml"), config)?;
    Ok(vec!["--config".to_owned(), at("containerd.toml")])
}

fn kubelet_arguments(pki: &Pki) -> Result<Vec<String>, Failure> {
    let at = |name: &str| pki.text(name);
    let config = serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": false }, "x509": { "clientCAFile": at("ca.crt") } },
        "authorization": { "mode": "AlwaysAllow" },
        "tlsCertFile": at("kubelet-server.crt"), "tlsPrivateKeyFile": at("kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{}", at("containerd.sock")),
        "cgroupDriver": "cgroupfs", "failCgroupV1": false, "failSwapOn": false, "enforceNodeAllocatable": [],
        "podLogsDir": at("pod-logs"),
        "healthzBindAddress": "127.0.0.1", "healthzPort": 0, "readOnlyPort": 0,
        "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        "imageMinimumGCAge": "24h",
    });
    std::fs::write(pki.path("kubelet.json"), config.to_string())?;
    Ok(flags([
        ("config", at("kubelet.json")),
        ("kubeconfig", at("kubelet.kubeconfig")),
        ("root-dir", at("kubelet")),
        ("cert-dir", at("kubelet-pki")),
        ("hostname-override", NODE.to_owned()),
        ("node-ip", ADDRESS.to_owned()),
    ]))
}

fn proxy_arguments(pki: &Pki) -> Result<Vec<String>, Failure> {
    // All packets are masqueraded. Otherwise replies of Pods on the same bridge would not come back on the same way.
    let config = serde_json::json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "iptables", "iptables": { "masqueradeAll": true },
        "clientConnection": { "kubeconfig": pki.text("proxy.kubeconfig") },
        "clusterCIDR": "10.244.0.0/24", "hostnameOverride": NODE,
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "healthzBindAddress": format!("127.0.0.1:{}", free_port()?),
        "metricsBindAddress": format!("127.0.0.1:{}", free_port()?),
    });
    std::fs::write(pki.path("proxy.json"), config.to_string())?;
    Ok(vec![format!("--config={}", pki.text("proxy.json"))])
}
