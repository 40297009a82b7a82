//! The installed operator: kubectl, Pods, bookings that fall due, and what the simulated cloud saw.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::{
    ec2::{AddInstances, CallQuery, Ec2AdminClient, InstanceState},
    replica::REGION,
};
use tokio::time::{Instant, sleep};

use crate::{Failure, node::Node};

pub(crate) const NAMESPACE: &str = "booking-operator";
const DEPLOYMENT: &str = "deployment/booking-operator";
const OVERLAY: &str = "deploy/overlays/simulator";
const GROUP_TAG: &str = "resource-booking-application";
const PATIENCE: Duration = Duration::from_mins(2);

/// See the module.
pub(crate) struct Cluster<'a> {
    node: &'a Node,
    cloud: Ec2AdminClient,
    /// How long the installation took, until all replicas were ready.
    pub(crate) installed: Duration,
}

/// A booking that falls due, and the machine that it is about.
pub(crate) struct Due {
    pub(crate) name: String,
    pub(crate) machine: String,
    pub(crate) at: Timestamp,
}

/// What became of a machine's start.
pub(crate) struct Started {
    /// How late, in milliseconds.
    pub(crate) late_ms: i64,
    /// Who sent it, each once.
    pub(crate) callers: Vec<String>,
}

impl<'a> Cluster<'a> {
    /// `kubectl apply -k`, and waits until everything runs.
    pub(crate) async fn install(node: &'a Node) -> Result<Self, Failure> {
        println!("kubectl apply -k {OVERLAY} ...");
        let begun = Instant::now();
        node.kubectl(&["apply", "-k", &overlay()]).await?;
        for deployment in ["deployment/cloud-simulator", DEPLOYMENT] {
            rolled_out(node, deployment).await?;
        }
        let installed = begun.elapsed();
        let service =
            ["get", "service", "cloud-simulator", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"];
        let address = node.kubectl(&service).await?;
        Ok(Self { node, cloud: Ec2AdminClient::new(&format!("http://{address}:8000"))?, installed })
    }

    /// Deletes the objects, then what was installed; says what stays.
    pub(crate) async fn uninstall(&self) -> Result<(), Failure> {
        self.node
            .kubectl(&[
                "delete",
                "bookings,bookingschedulers,resourcemonitors,resources",
                "--all",
                "-n",
                "default",
                "--timeout=60s",
            ])
            .await?;
        self.node.kubectl(&["delete", "-k", &overlay(), "--timeout=90s"]).await?;
        let left = self.node.kubectl(&["get", "crds", "-o", "name"]).await?;
        if left.contains("kotaico") { Err(format!("left behind: {left}").into()) } else { Ok(()) }
    }

    /// Runs kubectl.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        self.node.kubectl(args).await
    }

    /// Waits until the roll-out is done.
    pub(crate) async fn rolled_out(&self) -> Result<(), Failure> {
        rolled_out(self.node, DEPLOYMENT).await
    }

    /// The Pod whose replica leads the ring.
    pub(crate) async fn leader(&self) -> Result<String, Failure> {
        let ring = ["get", "ring", "booking-operator", "-n", NAMESPACE, "-o", "jsonpath={.status.leader}"];
        let incarnation = self.kubectl(&ring).await?;
        let pods = self
            .kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "jsonpath={.items[*].metadata.name}"])
            .await?;
        let leads = pods.split(' ').find(|pod| incarnation.starts_with(pod));
        Ok(leads.ok_or_else(|| format!("{incarnation} is none of {pods}"))?.to_owned())
    }

    /// Groups of a machine each, at rest; and a booking of each, one a second from `ahead` on.
    pub(crate) async fn bookings(
        &self,
        prefix: &str,
        count: usize,
        ahead: SignedDuration,
    ) -> Result<Vec<Due>, Failure> {
        let mut machines = Vec::new();
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
        for name in &names {
            let add = AddInstances::count(1).tag(GROUP_TAG, name).state(InstanceState::Stopped);
            let added = self.cloud.add_instances(&AddInstances { region: REGION.to_owned(), ..add }).await?;
            machines.extend(added);
        }
        let resource = |name: &String| {
            object("Resource", name, &json!({ "type": "ec2", "tag": name, "when_idle": "Stop" }))
        };
        self.apply(names.iter().map(resource).collect()).await?;
        self.until("the groups are at rest", || async {
            let wait = [
                "wait",
                "--for=jsonpath={.status.status}=STOPPED",
                "resources",
                "--all",
                "-n",
                "default",
                "--timeout=30s",
            ];
            self.kubectl(&wait).await.is_ok()
        })
        .await?;
        let first = Timestamp::from_second(Timestamp::now().as_second())? + ahead;
        let mut due = Vec::new();
        for ((number, name), machine) in (0_i64..).zip(names).zip(machines) {
            due.push(Due { name, machine, at: first + SignedDuration::from_secs(number) });
        }
        let booking = |Due { name, at, .. }: &Due| {
            let until = *at + SignedDuration::from_mins(10);
            object(
                "Booking",
                name,
                &json!({ "resource_name": name, "user_id": "ann", "start_at": at.to_string(), "end_at": until.to_string() }),
            )
        };
        self.apply(due.iter().map(booking).collect()).await?;
        Ok(due)
    }

    /// Ends bookings, and removes their groups.
    pub(crate) async fn over(&self, due: &[Due]) -> Result<(), Failure> {
        for kind in ["bookings", "resources"] {
            let names = due.iter().map(|due| due.name.as_str());
            let delete: Vec<&str> =
                ["delete", kind, "-n", "default", "--timeout=60s"].into_iter().chain(names).collect();
            self.kubectl(&delete).await?;
        }
        Ok(())
    }

    async fn apply(&self, objects: Vec<Value>) -> Result<(), Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(
            file.path(),
            json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string(),
        )?;
        self.kubectl(&["apply", "-n", "default", "-f", &file.path().display().to_string()]).await.map(drop)
    }

    /// What the cloud saw of the machines' starts.
    pub(crate) async fn started(&self, due: &[Due]) -> Result<Vec<Started>, Failure> {
        let mut first = BTreeMap::<String, Timestamp>::new();
        let mut callers = BTreeMap::<String, Vec<String>>::new();
        let mut query = CallQuery { action: Some("StartInstances".to_owned()), ..CallQuery::default() };
        loop {
            let page = self.cloud.calls(&query).await?;
            for call in page.calls.iter().filter(|call| call.took_effect) {
                let at = Timestamp::from_microsecond(call.arrived.wall.unix_micros())?;
                for id in &call.facts.instance_ids {
                    first.entry(id.clone()).and_modify(|known| *known = at.min(*known)).or_insert(at);
                    let callers = callers.entry(id.clone()).or_default();
                    if !callers.contains(&call.facts.caller) {
                        callers.push(call.facts.caller.clone());
                    }
                }
            }
            query.since = page.next;
            if !page.more {
                break;
            }
        }
        let of = |due: &Due| {
            let at = first.get(&due.machine).ok_or_else(|| format!("{} was never started", due.name))?;
            let late_ms = at.as_millisecond() - due.at.as_millisecond();
            Ok(Started { late_ms, callers: callers.get(&due.machine).cloned().unwrap_or_default() })
        };
        due.iter().map(of).collect()
    }

    /// Waits for something.
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
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

async fn rolled_out(node: &Node, deployment: &str) -> Result<(), Failure> {
    let status = ["rollout", "status", deployment, "-n", NAMESPACE, "--timeout=120s"];
    let Err(error) = node.kubectl(&status).await else { return Ok(()) };
    let told = node.kubectl(&["describe", "pods", "-n", NAMESPACE]).await.unwrap_or_default();
    let last: Vec<&str> = told.lines().rev().take(40).collect();
    Err(format!("{error}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n")).into())
}

fn overlay() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(OVERLAY).display().to_string()
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "manager.kotaico.de/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}
