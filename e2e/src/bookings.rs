//! Bookings that fall due, and the calls that the simulated cloud saw for them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::{
    ec2::{AddInstances, CallQuery, GROUP_TAG, InstanceState},
    replica::REGION,
};

use crate::{
    cluster::{Cluster, written},
    failure::Failure,
    names::USERS,
};

/// A booking that falls due, and its machine.
pub(crate) struct Due {
    pub(crate) name: String,
    pub(crate) machine: String,
    pub(crate) at: Timestamp,
}

/// The result for a machine.
pub(crate) struct Started {
    /// When the first call that started it arrived.
    pub(crate) at: Timestamp,
    /// The senders of calls that took effect: to start the machine, and to lock it. There is one of each if all is
    /// well.
    pub(crate) starts: Vec<String>,
    pub(crate) locks: Vec<String>,
}

impl Started {
    /// Whether no call was made twice.
    pub(crate) fn is_once(&self) -> bool {
        self.starts.len() == 1 && self.locks.len() == 1
    }
}

/// How many bookings fall due, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) count: usize,
    pub(crate) per_second: usize,
    /// The time from their creation to the first start.
    pub(crate) ahead: SignedDuration,
}

impl Cluster<'_> {
    /// Creates groups at rest with one machine each, and a booking of each.
    pub(crate) async fn bookings(&self, prefix: &str, pace: Pace) -> Result<Vec<Due>, Failure> {
        let mut machines = Vec::new();
        let names: Vec<String> = (0..pace.count).map(|number| format!("{prefix}-{number}")).collect();
        for name in &names {
            let add = AddInstances::count(1).tag(GROUP_TAG, name).state(InstanceState::Stopped);
            let added = self.cloud.add_instances(&AddInstances { region: REGION.to_owned(), ..add }).await?;
            machines.extend(added);
        }
        let resource = |name: &String| {
            object("Resource", name, &json!({ "type": "ec2", "tag": name, "when_idle": "Stop" }))
        };
        self.apply(names.iter().map(resource).collect()).await?;
        self.at_rest().await?;
        let first = Timestamp::from_second(Timestamp::now().as_second())? + pace.ahead;
        let mut due = Vec::new();
        for ((number, name), machine) in names.into_iter().enumerate().zip(machines) {
            let second = i64::try_from(number / pace.per_second)?;
            due.push(Due { name, machine, at: first + SignedDuration::from_secs(second) });
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

    /// Waits until no group runs.
    pub(crate) async fn at_rest(&self) -> Result<(), Failure> {
        let stopped = "--for=jsonpath={.status.status}=STOPPED";
        let wait = ["wait", stopped, "resources", "--all", "-n", USERS, "--timeout=30s"];
        self.until("the groups are at rest", || async { self.kubectl(&wait).await.is_ok() }).await
    }

    /// Ends the bookings and removes their groups.
    pub(crate) async fn over(&self, due: &[Due]) -> Result<(), Failure> {
        for kind in ["bookings", "resources"] {
            let names = due.iter().map(|due| due.name.as_str());
            let delete: Vec<&str> =
                ["delete", kind, "-n", USERS, "--timeout=60s"].into_iter().chain(names).collect();
            self.kubectl(&delete).await?;
        }
        Ok(())
    }

    async fn apply(&self, objects: Vec<Value>) -> Result<(), Failure> {
        let file = written(&json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string())?;
        self.kubectl(&["apply", "-n", USERS, "-f", &file.path().display().to_string()]).await.map(drop)
    }

    /// The calls that the cloud saw for the machines.
    pub(crate) async fn started(&self, due: &[Due]) -> Result<Vec<Started>, Failure> {
        let (starts, locks) = (self.calls("StartInstances").await?, self.calls("CreateTags").await?);
        let of = |due: &Due| {
            let calls = starts.get(&due.machine).map(Vec::as_slice).unwrap_or_default();
            let (at, _) = calls.first().ok_or_else(|| format!("{} was never started", due.name))?;
            let callers =
                |calls: &[(Timestamp, String)]| calls.iter().map(|(_, caller)| caller.clone()).collect();
            let locks = locks.get(&due.machine).map(Vec::as_slice).unwrap_or_default();
            Ok(Started { at: *at, starts: callers(calls), locks: callers(locks) })
        };
        due.iter().map(of).collect()
    }

    /// The calls of an action that took effect, by machine: when they arrived, and who sent them.
    async fn calls(&self, action: &str) -> Result<BTreeMap<String, Vec<(Timestamp, String)>>, Failure> {
        let mut calls = BTreeMap::<String, Vec<(Timestamp, String)>>::new();
        let mut query = CallQuery { action: Some(action.to_owned()), ..CallQuery::default() };
        loop {
            let page = self.cloud.calls(&query).await?;
            for call in page.calls.iter().filter(|call| call.took_effect) {
                let at = Timestamp::from_microsecond(call.arrived.wall.unix_micros())?;
                for id in &call.facts.instance_ids {
                    calls.entry(id.clone()).or_default().push((at, call.facts.caller.clone()));
                }
            }
            query.since = page.next;
            if !page.more {
                return Ok(calls);
            }
        }
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "manager.kotaico.de/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}
