//! Where the operator is installed: a node of our own, or the cluster that kubectl points at.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::{
    current::{self, Current},
    failure::Failure,
    image,
    node::Node,
};

/// See the module.
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

    /// Builds the images of what is installed, and lets the cluster have them.
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

    /// Where the simulated cloud answers, given the address of its Service.
    pub(crate) async fn cloud_url(&self, cluster_ip: &str) -> Result<String, Failure> {
        match self {
            Self::Own(_) => Ok(format!("http://{cluster_ip}:8000")),
            Self::Current(current) => current.forward_cloud().await,
        }
    }

    /// Runs a script of the shell on a node as root.
    async fn on_node(&self, node: &str, script: &str) -> Result<String, Failure> {
        match self {
            Self::Own(own) => own.shell(script).await,
            Self::Current(current) => current.shell(node, script).await,
        }
    }

    /// Kills a container's process, as nothing but the kernel does; when it was gone.
    pub(crate) async fn kill(&self, node: &str, container: &str) -> Result<Timestamp, Failure> {
        self.end(node, container, "kill -9 $pid").await
    }

    /// Leaves a container no memory to get: at some page more that it wants the kernel kills it. When it was gone.
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

    /// The API server's log of what service accounts have asked for, where that can be had.
    pub(crate) fn audit_log(&self) -> Option<Result<String, Failure>> {
        match self {
            Self::Own(node) => Some(node.audit_log()),
            Self::Current(_) => None,
        }
    }

    /// Where kubectl finds the cluster, if that is not the user's own setting.
    pub(crate) fn kubeconfig(&self) -> Option<PathBuf> {
        match self {
            Self::Own(node) => Some(node.kubeconfig()),
            Self::Current(_) => None,
        }
    }
}

/// Lowers the limit of the memory of `$pid`'s control group until nothing can be given back any more: step by step for the first
/// version of control groups, which refuses more; the second one kills at once.
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
