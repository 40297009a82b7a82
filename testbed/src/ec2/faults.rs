//! Fault rules, which select calls and make them fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call_log::CallFacts;
use super::error::ApiError;
use super::filter::Pattern;
use super::model::Tags;
use super::time::SimTime;
use super::world::World;
use crate::rds::Databases;

/// The calls that a rule selects. Absent fields exclude nothing.
///
/// An instance may also be a database. Then `instance_id` is the identifier or the ARN, as the call names it.
/// `instance_id`, `zone` and the tag must all match the same instance among those that the call names. If a call names
/// none, a rule with a tag selects it if the call filters by that tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultMatch {
    /// The action, for example `StartInstances`.
    pub action: Option<String>,
    /// The call names this instance.
    pub instance_id: Option<String>,
    /// The call names an instance in this availability zone.
    pub zone: Option<String>,
    /// The name of the caller, as in the call log.
    pub caller: Option<String>,
    /// The caller's account.
    pub account: Option<String>,
    /// The region of the call.
    pub region: Option<String>,
    /// The call names an instance with this tag key.
    pub tag_key: Option<String>,
    /// The value of `tag_key`, literally.
    pub tag_value: Option<String>,
}

/// The effect of a rule on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultEffect {
    /// The call gets this error.
    Error {
        /// The code, for example `InternalError`.
        code: String,
        /// The message. `{ids}` stands for the instances that made the rule apply.
        message: String,
        /// The HTTP status. The default is the one that EC2 uses for the code.
        #[serde(default)]
        status: Option<u16>,
    },
    /// The call's connection is reset.
    Reset,
    /// The call never gets an answer.
    Hang,
    /// The call takes this much longer, in real time. Nothing else happens to it, and other rules apply, too.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
}

impl FaultEffect {
    /// An error with the HTTP status that EC2 gives to its code.
    pub fn error(code: &str, message: &str) -> Self {
        Self::Error { code: code.to_owned(), message: message.to_owned(), status: None }
    }
}

/// A rule. If several apply, all latencies add up, and of the other effects the oldest rule decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The calls that it selects.
    #[serde(default)]
    pub when: FaultMatch,
    /// The effect.
    pub then: FaultEffect,
    /// Whether the fault comes after the call has taken effect. Otherwise it comes instead of the effect (a latency
    /// only delays the effect).
    #[serde(default)]
    pub after_effect: bool,
    /// The number of calls. If it is absent, the rule applies to all calls until it is removed.
    #[serde(default)]
    pub times: Option<u64>,
}

impl FaultRule {
    /// A rule for the calls of one action, before the effect, until it is removed.
    pub fn on(action: &str, then: FaultEffect) -> Self {
        let when = FaultMatch { action: Some(action.to_owned()), ..FaultMatch::default() };
        Self { when, then, after_effect: false, times: None }
    }

    /// The same rule for this number of calls only.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// The same rule, after the effect.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// The id, to remove the rule.
    pub id: u64,
    /// The rule; `times` counts down.
    pub rule: FaultRule,
    /// The number of calls to which it was applied.
    pub hits: u64,
}

/// The end of a call that is not its own result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spoiled {
    Error(ApiError),
    Reset,
    Hang,
}

/// The effects of the rules on one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay_before_ms: u64,
    pub(crate) delay_after_ms: u64,
    pub(crate) spoiled_before: Option<Spoiled>,
    pub(crate) spoiled_after: Option<Spoiled>,
    pub(crate) rules: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: BTreeMap<u64, FaultView>,
    last_id: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: FaultRule) -> u64 {
        self.last_id += 1;
        self.rules.insert(self.last_id, FaultView { id: self.last_id, rule, hits: 0 });
        self.last_id
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.rules.remove(&id).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn views(&self) -> Vec<FaultView> {
        self.rules.values().cloned().collect()
    }

    /// Applies the rules to a call, and counts them down.
    pub(crate) fn plan(&mut self, now: SimTime, call: &CallFacts, machines: &impl Machines) -> Plan {
        let mut plan = Plan::default();
        let mut decided = false;
        for view in self.rules.values_mut() {
            let rule = &view.rule;
            let is_latency = matches!(rule.then, FaultEffect::Latency { .. });
            if decided && !is_latency {
                continue;
            }
            let Some(ids) = rule.when.picks(now, call, machines) else {
                continue;
            };
            decided |= !is_latency;
            plan.include(rule, &ids);
            plan.rules.push(view.id);
            view.hits += 1;
            view.rule.times = view.rule.times.map(|times| times.saturating_sub(1));
        }
        self.rules.retain(|_, view| view.rule.times != Some(0));
        plan
    }
}

impl Plan {
    fn include(&mut self, rule: &FaultRule, ids: &[&str]) {
        let spoiled = match &rule.then {
            FaultEffect::Latency { ms } => {
                let delay =
                    if rule.after_effect { &mut self.delay_after_ms } else { &mut self.delay_before_ms };
                *delay = delay.saturating_add(*ms);
                return;
            }
            FaultEffect::Error { code, message, status } => {
                let mut error = ApiError::new(code, message.replace("{ids}", &ids.join(", ")));
                error.status = status.unwrap_or(error.status);
                Spoiled::Error(error)
            }
            FaultEffect::Reset => Spoiled::Reset,
            FaultEffect::Hang => Spoiled::Hang,
        };
        let place = if rule.after_effect { &mut self.spoiled_after } else { &mut self.spoiled_before };
        *place = Some(spoiled);
    }
}

/// Tells the rules about the instances that a call names.
pub(crate) trait Machines {
    fn place_and_tags(&self, now: SimTime, call: &CallFacts, id: &str) -> Option<(&str, &Tags)>;
}

impl Machines for World {
    fn place_and_tags(&self, now: SimTime, _: &CallFacts, id: &str) -> Option<(&str, &Tags)> {
        self.instance(id).map(|instance| (&*instance.zone, &**instance.tags.at(now).1))
    }
}

impl Machines for (&World, &Databases) {
    fn place_and_tags(&self, now: SimTime, call: &CallFacts, id: &str) -> Option<(&str, &Tags)> {
        self.0.place_and_tags(now, call, id).or_else(|| self.1.named(call, id))
    }
}

impl FaultMatch {
    /// The instances because of which the rule applies to the call. `None` if it does not apply.
    fn picks<'a>(&self, now: SimTime, call: &'a CallFacts, machines: &impl Machines) -> Option<Vec<&'a str>> {
        let is =
            |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted == actual);
        let about_the_call = is(&self.action, &call.action)
            && is(&self.caller, &call.caller)
            && is(&self.account, &call.scope.account)
            && is(&self.region, &call.scope.region);
        if !about_the_call {
            return None;
        }
        let any_tag = self.tag_key.is_none();
        let any_place = self.instance_id.is_none() && self.zone.is_none();
        if any_place && any_tag {
            return Some(call.instance_ids.iter().map(String::as_str).collect());
        }
        let selected = |id: &&str| {
            is(&self.instance_id, id)
                && (self.zone.is_none() && any_tag
                    || machines.place_and_tags(now, call, id).is_some_and(|found| self.selects(found)))
        };
        let ids: Vec<&str> = call.instance_ids.iter().map(String::as_str).filter(selected).collect();
        (!ids.is_empty() || any_place && self.is_filtered_by(call)).then_some(ids)
    }

    fn selects(&self, (place, tags): (&str, &Tags)) -> bool {
        self.zone.as_ref().is_none_or(|zone| zone == place)
            && self.tag_key.as_ref().is_none_or(|key| {
                let value = tags.get(key);
                value.is_some_and(|value| self.tag_value.as_ref().is_none_or(|wanted| wanted == value))
            })
    }

    fn is_filtered_by(&self, call: &CallFacts) -> bool {
        let Some(key) = &self.tag_key else {
            return false;
        };
        call.filters.iter().filter(|filter| filter.name.strip_prefix("tag:") == Some(key)).any(|filter| {
            let wanted = self.tag_value.as_ref();
            wanted
                .is_none_or(|wanted| filter.values.iter().any(|value| Pattern::parse(value).matches(wanted)))
        })
    }
}
