//! The place of the installation: our own node, or the cluster that kubectl points at.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::{
    current::{self, Current},
    failure::Failure,
    image,
    node::Node,
};

/// The place of the installation.
pub(crate) enum Site {
    Own(Box<Node>),
    Current(Box<Current>),
}

impl Site {
    /// Runs kubectl as the administrator.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        match self {
            Self::Own(node) => node.kubectl(args).await,
            Self::Current(current) => current.kubectl(args).await,
        }
    }

    /// Builds the images of the installation, and loads them into the cluster.
    pub(crate) async fn load_images(&self) -> Result<(), Failure> {
        match self {
            Self::Own(node) => node.load_images().await,
            Self::Current(current) => current.load_images().await,
        }
    }

    /// The tag of the images.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Self::Own(_) => image::TAG,
            Self::Current(_) => current::TAG,
        }
    }

    /// The address of the simulated cloud for this machine, given the address of its Service.
    pub(crate) async fn cloud_url(&self, cluster_ip: &str) -> Result<String, Failure> {
        match self {
            Self::Own(_) => Ok(format!("http://{cluster_ip}:8000")),
            Self::Current(current) => current.forward_cloud().await,
        }
    }

    /// Runs a shell script on a node as root.
    async fn on_node(&self, node: &str, script: &str) -> Result<String, Failure> {
        match self {
            Self::Own(own) => own.shell(script).await,
            Self::Current(current) => current.shell(node, script).await,
        }
    }

    /// Kills a container's process, as only the kernel does. Returns when the process was gone.
    pub(crate) async fn kill(&self, node: &str, container: &str) -> Result<Timestamp, Failure> {
        self.end(node, container, "kill -9 $pid").await
    }

    /// Takes a container's memory away. When the process wants one more page, the kernel kills it. Returns when the
    /// process was gone.
    pub(crate) async fn starve(&self, node: &str, container: &str) -> Result<Timestamp, Failure> {
        self.end(node, container, STARVE).await
    }

    async fn end(&self, node: &str, container: &str, how: &str) -> Result<Timestamp, Failure> {
        let gone = "for look in $(seq 600); do [ -d /proc/$pid ] || exit 0; sleep 0.05; done; exit 1";
        let script = format!("pid=$({}); [ -n \"$pid\" ] || exit 1; {how}; {gone}", self.pid(container));
        self.on_node(node, &script).await?;
        Ok(Timestamp::now())
    }

    /// A command that prints the process id of a container.
    fn pid(&self, container: &str) -> String {
        match self {
            Self::Own(own) => own.pid(container),
            Self::Current(_) => {
                format!("crictl inspect --output go-template --template '{{{{.info.pid}}}}' {container}")
            }
        }
    }

    /// The API server's log of the requests of service accounts, if it can be read.
    pub(crate) fn audit_log(&self) -> Option<Result<String, Failure>> {
        match self {
            Self::Own(node) => Some(node.audit_log()),
            Self::Current(_) => None,
        }
    }

    /// The kubeconfig of the cluster, if it is not the user's own setting.
    pub(crate) fn kubeconfig(&self) -> Option<PathBuf> {
        match self {
            Self::Own(node) => Some(node.kubeconfig()),
            Self::Current(_) => None,
        }
    }
}

/// Lowers the memory limit of `$pid`'s control group until no memory can be given back. The first version of control
/// groups needs small steps, because it refuses larger ones. The second version kills at once.
const STARVE: &str = r#"
own=$(sed -n 's/^[0-9]*:memory://p' /proc/$pid/cgroup)
if [ -n "$own" ]; then
  group=/sys/fs/cgroup/memory$own
  limit=$(cat $group/memory.usage_in_bytes)
  while [ $limit -gt 0 ] && echo $limit > $group/memory.limit_in_bytes; do limit=$((limit - 262144)); done 2>/dev/null
else
  group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$pid/cgroup)
  echo 0 > $group/memory.max
fi"#;
