//! The cloud of a ring: its machines, and what its call log says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use testbed::{
    ec2::{
        AddInstances, CallQuery, CallRecord, Ec2Config, Ec2Simulator, FaultEffect, FaultRule, GROUP_TAG,
        InstanceState, SettingsPatch,
    },
    replica::REGION,
};
use tokio::time::sleep;

use super::{LOOK, MANAGED, Ring};
use crate::{
    clock::At,
    history::{Call, KeyId, Verb},
    load::Key,
    site::Failure,
};

/// How long the cloud takes for a call that changes something.
const CALL_LATENCY_MS: u64 = 700;

impl Ring {
    /// Waits, for at most `limit`, until each key has seen a call at `from` or later by a process that is not in
    /// `gone`. Returns the time of that call for each key, or None.
    pub(crate) async fn taken_over(
        &self,
        keys: &BTreeSet<KeyId>,
        gone: &BTreeSet<Arc<str>>,
        from: At,
        limit: Duration,
    ) -> Option<BTreeMap<KeyId, At>> {
        let mut firsts: BTreeMap<KeyId, At> = BTreeMap::new();
        let mut since = 0;
        while At::now() < from.plus(limit) {
            let page = self.ec2.world().calls(&CallQuery { since, ..CallQuery::default() });
            since = page.next;
            let calls = page.calls.iter().flat_map(|record| self.read(record));
            for call in calls.filter(|call| call.arrived >= from && !gone.contains(&call.process)) {
                firsts.entry(call.key).or_insert(call.arrived);
            }
            if keys.iter().all(|key| firsts.contains_key(key)) {
                firsts.retain(|key, _| keys.contains(key));
                return Some(firsts);
            }
            sleep(LOOK).await;
        }
        None
    }

    /// Waits, for at most `limit`, for the first call at `from` or later that changes something.
    pub(crate) async fn first_change(&self, from: At, limit: Duration) -> Option<At> {
        let mut since = 0;
        while At::now() < from.plus(limit) {
            let page = self.ec2.world().calls(&CallQuery { since, ..CallQuery::default() });
            since = page.next;
            let mut calls = page.calls.iter().flat_map(|record| self.read(record));
            if let Some(call) = calls.find(|call| call.arrived >= from && call.mutates()) {
                return Some(call.arrived);
            }
            sleep(LOOK).await;
        }
        None
    }

    /// When the last call of a process ended, or `at` if that is later.
    pub(crate) fn calls_ended(&self, process: &str, at: At) -> At {
        let calls = self.calls().into_iter().filter(|call| &*call.process == process && call.mutates());
        calls.filter_map(|call| call.completed).fold(at, At::max)
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut since = 0;
        loop {
            let page = self.ec2.world().calls(&CallQuery { since, ..CallQuery::default() });
            since = page.next;
            calls.extend(page.calls.iter().flat_map(|record| self.read(record)));
            if !page.more {
                return calls;
            }
        }
    }

    /// A call, once for each of its keys.
    fn read(&self, record: &CallRecord) -> Vec<Call> {
        let facts = &record.facts;
        let (verb, keys): (Verb, BTreeSet<KeyId>) = match facts.action.as_str() {
            "StartInstances" => (Verb::Start, self.named(&facts.instance_ids)),
            "StopInstances" => (Verb::Stop, self.named(&facts.instance_ids)),
            "CreateTags" | "DeleteTags" => (Verb::Tag, self.named(&facts.instance_ids)),
            _ => {
                let values = facts.filters.iter().flat_map(|filter| &filter.values);
                let key = |value: &String| self.keys.iter().position(|key| key.tag == *value).map(KeyId);
                (Verb::Describe, values.filter_map(key).chain(self.named(&facts.instance_ids)).collect())
            }
        };
        let process: Arc<str> = Arc::from(facts.caller.as_str());
        let pod = self.pods.get(&process).cloned().unwrap_or_else(|| process.clone());
        let call = |key| Call {
            key,
            process: process.clone(),
            pod: pod.clone(),
            verb,
            signed: facts.signed.as_deref().and_then(signed_at),
            arrived: At(record.arrived.wall.unix_micros()),
            completed: record.completed.map(|completed| At(completed.wall.unix_micros())),
            took_effect: record.took_effect,
        };
        keys.into_iter().map(call).collect()
    }

    fn named(&self, ids: &[String]) -> BTreeSet<KeyId> {
        ids.iter().filter_map(|id| self.machines.get(id)).copied().collect()
    }
}

/// The time in `X-Amz-Date`.
fn signed_at(text: &str) -> Option<At> {
    let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    signed.in_tz("UTC").ok().map(|signed| At(signed.timestamp().as_microsecond()))
}

/// A cloud with one stopped machine for each key.
pub(super) async fn cloud(keys: &[Key]) -> Result<(Ec2Simulator, BTreeMap<String, KeyId>), Failure> {
    let ec2 = Ec2Simulator::start(Ec2Config::default()).await?;
    ec2.world().change_settings(&SettingsPatch {
        pending_ms: Some(400),
        stopping_ms: Some(300),
        ..SettingsPatch::default()
    });
    // The cloud is slow, so that faults meet calls under way.
    for action in ["StartInstances", "StopInstances", "CreateTags", "DeleteTags"] {
        ec2.world().add_fault(FaultRule::on(action, FaultEffect::Latency { ms: CALL_LATENCY_MS }));
    }
    let mut machines = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        let machine = AddInstances::count(1).tag(GROUP_TAG, &key.tag).tag(MANAGED, "true");
        let machine = AddInstances { region: REGION.to_owned(), ..machine.state(InstanceState::Stopped) };
        let ids = ec2.world().add_instances(&machine)?;
        machines.extend(ids.into_iter().map(|id| (id, KeyId(index))));
    }
    Ok((ec2, machines))
}
