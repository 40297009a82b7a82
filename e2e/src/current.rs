//! The cluster that kubectl points at, if it is a cluster of kind or k3d. Its nodes are containers of Docker, and the
//! tool loads the images.

use std::{process::Stdio, sync::Mutex, time::Duration};

use testbed::ports::free_port;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    failure::Failure,
    host::{is_there, run},
    image::{self, INSTALLED},
    names::{NAMESPACE, is_ours},
};

/// The tag of our images. It differs from the tag that `make image` gives.
pub(crate) const TAG: &str = "e2e";
const FORWARDED_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Kind,
    K3d,
}

/// The current cluster.
pub(crate) struct Current {
    /// The context is kept, because somebody may make another one the current one meanwhile.
    context: String,
    tool: Tool,
    name: String,
    /// kubectl's port-forward to the simulated cloud.
    forward: Mutex<Option<Child>>,
}

impl Current {
    /// The current cluster, if it is of a known kind and the tools to use it are there.
    pub(crate) async fn find() -> Option<Self> {
        let context = run("kubectl", &["config", "current-context"]).await.ok()?;
        let context = context.trim().to_owned();
        let (tool, name) = of_context(&context)?;
        let program = if tool == Tool::Kind { "kind" } else { "k3d" };
        let name = name.to_owned();
        (is_there(program) && is_there("docker")).then(|| Self {
            context,
            tool,
            name,
            forward: Mutex::default(),
        })
    }

    /// Refuses a cluster that has our kinds already, because at the end they are removed with all Bookings.
    pub(crate) async fn is_free(&self) -> Result<(), Failure> {
        let there = self.kubectl(&["get", "crds,namespaces", "-o", "name"]).await?;
        if is_ours(&there) {
            return Err(
                "the current cluster has a booking operator already; --own takes a node of its own".into()
            );
        }
        Ok(())
    }

    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        run("kubectl", &[&["--context", &self.context], args].concat()).await
    }

    pub(crate) async fn load_images(&self) -> Result<(), Failure> {
        image::build(&INSTALLED.each_ref(), "docker", TAG, None).await?;
        for image in INSTALLED.iter().map(|image| image.tagged(TAG)) {
            match self.tool {
                Tool::Kind => run("kind", &["load", "docker-image", &image, "--name", &self.name]).await?,
                Tool::K3d => run("k3d", &["image", "import", &image, "--cluster", &self.name]).await?,
            };
            let _ = run("docker", &["rmi", &image]).await;
        }
        Ok(())
    }

    /// Runs a script on a node. Nodes are containers with the same names.
    pub(crate) async fn shell(&self, node: &str, script: &str) -> Result<String, Failure> {
        run("docker", &["exec", node, "sh", "-c", script]).await
    }

    /// Forwards a port of this machine to the cloud's Service, until this value is dropped.
    pub(crate) async fn forward_cloud(&self) -> Result<String, Failure> {
        let port = free_port()?;
        let child = Command::new("kubectl")
            .args([
                "--context",
                &self.context,
                "port-forward",
                "service/cloud-simulator",
                "-n",
                NAMESPACE,
                "--address=127.0.0.1",
            ])
            .arg(format!("{port}:8000"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.forward.lock().map_err(|_| "poisoned")?.replace(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if begun.elapsed() > FORWARDED_WITHIN {
                return Err("kubectl port-forward does not listen".into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(format!("http://127.0.0.1:{port}"))
    }
}

/// The tool that made a context, and the cluster's name.
fn of_context(context: &str) -> Option<(Tool, &str)> {
    let kind = context.strip_prefix("kind-").map(|name| (Tool::Kind, name));
    kind.or_else(|| context.strip_prefix("k3d-").map(|name| (Tool::K3d, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_tells_tool_and_cluster() {
        assert_eq!(of_context("kind-kind"), Some((Tool::Kind, "kind")));
        assert_eq!(of_context("k3d-my-lab"), Some((Tool::K3d, "my-lab")));
        assert_eq!(of_context("arn:aws:eks:eu-central-1:1:cluster/kind-of"), None);
    }
}
