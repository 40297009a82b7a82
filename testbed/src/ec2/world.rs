//! The simulated cloud as a state machine. It has no input or output, and `now` is an argument of everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::error::{AdminError, ApiError};
use super::index::{ScopeIndex, Slot};
use super::instance::{Instance, phase_of, shut_down_by_user};
use super::mix::mix;
use super::model::{
    AddInstances, InstanceQuery, InstanceState, InstanceView, Scope, Settings, StateReason, Tags,
};
use super::text::check_text;
use super::time::SimTime;
use super::versions::Versions;

/// Instances that do not begin pending have existed for this long.
const LONG_AGO: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) instances: BTreeMap<Slot, Instance>,
    slots: HashMap<Arc<str>, Slot>,
    pub(crate) scopes: HashMap<Arc<Scope>, ScopeIndex>,
    /// When terminated instances leave the listings. If an instance was revived meanwhile, its entry does not count.
    departures: BTreeSet<(SimTime, Slot)>,
    next_slot: Slot,
    ids_drawn: u64,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    pub(crate) fn add(&mut self, now: SimTime, add: &AddInstances) -> Result<Vec<String>, AdminError> {
        let ids = self.ids_to_add(add)?;
        let texts = add.tags.iter().flat_map(|(key, value)| [key, value]);
        for text in texts {
            check_text(text).map_err(|error| AdminError::Refused(error.message))?;
        }
        let scope = Arc::new(Scope { account: add.account.clone(), region: add.region.clone() });
        let zone: Arc<str> = add.zone.clone().unwrap_or_else(|| format!("{}a", add.region)).into();
        let kind: Arc<str> = add.instance_type.as_str().into();
        let tags = Arc::new(add.tags.clone());
        let born = if add.state == InstanceState::Pending { now } else { now.before(LONG_AGO) };
        for id in &ids {
            let reason = needs_reason(add.state).then(shut_down_by_user);
            let mut instance = Instance {
                id: id.as_str().into(),
                scope: Arc::clone(&scope),
                zone: Arc::clone(&zone),
                kind: Arc::clone(&kind),
                falls_back: add.falls_back.clone(),
                born,
                gone_at: None,
                phases: Versions::new(born, phase_of(add.state, reason, born, born)),
                tags: Versions::new(born, Arc::clone(&tags)),
            };
            if !matches!(add.state, InstanceState::Running | InstanceState::Stopped) {
                instance.enter(now, add.state, None, &self.settings);
            }
            self.insert(instance, &tags);
        }
        Ok(ids)
    }

    fn insert(&mut self, instance: Instance, tags: &Tags) {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.slots.insert(Arc::clone(&instance.id), slot);
        self.scopes.entry(Arc::clone(&instance.scope)).or_default().add(slot, tags);
        self.departures.extend(instance.gone_at.map(|gone| (gone, slot)));
        self.instances.insert(slot, instance);
    }

    fn ids_to_add(&mut self, add: &AddInstances) -> Result<Vec<String>, AdminError> {
        if add.ids.is_empty() {
            if add.count == 0 {
                return Err(AdminError::Refused("neither ids nor a count".to_owned()));
            }
            return Ok((0..add.count).map(|_| self.draw_id()).collect());
        }
        let mut seen = BTreeSet::new();
        for id in &add.ids {
            if !is_well_formed(id) {
                return Err(AdminError::Refused(format!("{id} is no instance id")));
            }
            if self.slots.contains_key(id.as_str()) || !seen.insert(id) {
                return Err(AdminError::Refused(format!("{id} exists already")));
            }
        }
        Ok(add.ids.clone())
    }

    fn draw_id(&mut self) -> String {
        loop {
            self.ids_drawn += 1;
            // Real ids begin with i-0. The mixing is a bijection, so it makes no duplicates.
            let id = format!("i-0{:016x}", mix(self.ids_drawn));
            if !self.slots.contains_key(id.as_str()) {
                return id;
            }
        }
    }

    /// Removes the terminated instances whose time is over.
    pub(crate) fn sweep(&mut self, now: SimTime) {
        // Lagging reads still see an instance for a while after it has left.
        let horizon = now.before(self.settings.lag());
        while let Some(&(gone, slot)) = self.departures.first() {
            if gone > horizon {
                return;
            }
            self.departures.pop_first();
            if self.instances.get(&slot).is_some_and(|instance| instance.gone_at == Some(gone)) {
                self.remove(slot);
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(instance) = self.instances.remove(&slot) else {
            return;
        };
        self.slots.remove(&instance.id);
        let Some(index) = self.scopes.get_mut(&instance.scope) else {
            return;
        };
        index.remove(slot);
        for tags in instance.tags.values() {
            for (key, value) in tags.iter() {
                index.remove_tag(slot, key, value);
            }
        }
    }

    pub(crate) fn slot(&self, id: &str) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    pub(crate) fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.get(&self.slot(id)?)
    }

    pub(crate) fn view(&self, now: SimTime, id: &str) -> Option<InstanceView> {
        self.instance(id).filter(|instance| instance.is_listed_at(now)).map(|instance| instance.view(now))
    }

    /// The true states, in the order of creation.
    pub(crate) fn views(&self, now: SimTime, query: &InstanceQuery) -> Vec<InstanceView> {
        let wanted = |instance: &&Instance| {
            let tags = instance.tags.at(now).1;
            let tagged = query.tag_key.as_ref().is_none_or(|key| {
                tags.get(key)
                    .is_some_and(|value| query.tag_value.as_ref().is_none_or(|wanted| wanted == value))
            });
            tagged
                && instance.is_listed_at(now)
                && query.account.as_ref().is_none_or(|account| *account == instance.scope.account)
                && query.region.as_ref().is_none_or(|region| *region == instance.scope.region)
                && query.state.is_none_or(|state| state == instance.state_at(now))
        };
        self.instances.values().filter(wanted).map(|instance| instance.view(now)).collect()
    }

    /// Resolves the ids of a call in `scope`, each once, in the given order. The error names all wrong ids.
    pub(crate) fn resolve(
        &self,
        scope: &Scope,
        as_of: SimTime,
        ids: &[String],
    ) -> Result<Vec<Slot>, ApiError> {
        if let Some(id) = ids.iter().find(|id| !is_well_formed(id)) {
            return Err(ApiError::malformed_id(id));
        }
        let mut slots = Vec::with_capacity(ids.len());
        let mut unknown = Vec::new();
        let mut seen = BTreeSet::new();
        for id in ids.iter().filter(|id| seen.insert(id.as_str())) {
            let listed = |slot: &Slot| {
                let instance = self.instances.get(slot);
                instance.is_some_and(|instance| *instance.scope == *scope && instance.is_listed_at(as_of))
            };
            match self.slot(id).filter(listed) {
                Some(slot) => slots.push(slot),
                None => unknown.push(id.as_str()),
            }
        }
        if unknown.is_empty() { Ok(slots) } else { Err(ApiError::unknown_ids(&unknown)) }
    }

    /// Puts instances into a state, even if the EC2 API would not allow it.
    pub(crate) fn force(
        &mut self,
        now: SimTime,
        ids: &[String],
        state: InstanceState,
        reason: Option<&StateReason>,
    ) -> Result<(), AdminError> {
        for slot in self.known(now, ids)? {
            self.enter(now, slot, state, reason.cloned());
        }
        Ok(())
    }

    /// Shuts instances down for good.
    pub(crate) fn terminate(&mut self, now: SimTime, ids: &[String]) -> Result<(), AdminError> {
        for slot in self.known(now, ids)? {
            let state = self.instances.get(&slot).map(|instance| instance.state_at(now));
            if !matches!(state, Some(InstanceState::ShuttingDown | InstanceState::Terminated)) {
                self.enter(now, slot, InstanceState::ShuttingDown, None);
            }
        }
        Ok(())
    }

    pub(crate) fn enter(
        &mut self,
        now: SimTime,
        slot: Slot,
        state: InstanceState,
        reason: Option<StateReason>,
    ) {
        let Some(instance) = self.instances.get_mut(&slot) else {
            return;
        };
        instance.enter(now, state, reason, &self.settings);
        self.departures.extend(instance.gone_at.map(|gone| (gone, slot)));
    }

    /// All of the instances, or an error if one is unknown.
    pub(crate) fn known(&self, now: SimTime, ids: &[String]) -> Result<Vec<Slot>, AdminError> {
        let find = |id: &String| {
            let slot = self.slot(id);
            let slot =
                slot.filter(|slot| self.instances.get(slot).is_some_and(|known| known.is_listed_at(now)));
            slot.ok_or_else(|| AdminError::UnknownInstance(id.clone()))
        };
        ids.iter().map(find).collect()
    }
}

fn needs_reason(state: InstanceState) -> bool {
    !matches!(state, InstanceState::Pending | InstanceState::Running)
}

/// Whether an id is `i-` and 17 lower-case hex digits, or 8 as before 2016.
pub(crate) fn is_well_formed(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
