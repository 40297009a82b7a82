//! The simulated cloud for an administrator in the same process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::actions::Power;
use super::admission::{Admission, AdmissionCall, AdmitAll, Throttled};
use super::call_log::{CallFacts, CallLog, CallLogLimits, CallPage, CallQuery, Moment};
use super::error::{AdminError, ApiError};
use super::faults::{FaultRule, FaultView, Faults};
use super::model::{
    AddInstances, DEFAULT_ACCOUNT, FallsBack, InstanceQuery, InstanceState, InstanceView, Scope, Settings,
    SettingsPatch, StateReason, Tags,
};
use super::service::Service;
use super::time::{Clock, ClockMode, SimTime};
use super::world::World;
use crate::rds::Databases;
use crate::sts::Roles;

/// The configuration of a simulator. A reset restores it.
#[derive(Clone, Debug)]
pub struct Ec2Config {
    /// The host and port to listen on. Port 0 takes a free one.
    pub listen: String,
    /// The first settings of the cloud.
    pub settings: Settings,
    /// The source of its time.
    pub clock: ClockMode,
    /// Account by access key id. Other keys belong to [`DEFAULT_ACCOUNT`].
    pub accounts: BTreeMap<String, String>,
    /// The bounds of the call log.
    pub call_log: CallLogLimits,
    /// The throttling.
    pub admission: Arc<dyn Admission>,
}

impl Default for Ec2Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            settings: Settings::default(),
            clock: ClockMode::default(),
            accounts: BTreeMap::new(),
            call_log: CallLogLimits::default(),
            admission: Arc::new(AdmitAll),
        }
    }
}

impl Ec2Config {
    /// The same configuration with a clock that moves only when it is advanced. It begins with 2026.
    #[must_use]
    pub fn virtual_clock(mut self) -> Self {
        self.clock = ClockMode::Virtual { start: SimTime::from_unix_micros(1_767_225_600_000_000) };
        self
    }
}

/// The state of the simulator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// The simulator's time, in microseconds since the Unix epoch.
    pub now: SimTime,
    /// Whether it moves only when it is advanced.
    #[serde(rename = "virtual")]
    pub is_virtual: bool,
}

/// The simulated cloud. Clones share it.
#[derive(Clone, Debug)]
pub struct Ec2World {
    config: Arc<Ec2Config>,
    core: Arc<Mutex<Core>>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) databases: Databases,
    pub(crate) roles: Roles,
    pub(crate) faults: Faults,
    pub(crate) log: CallLog,
    clock: Clock,
    pub(crate) accounts: BTreeMap<String, String>,
    pub(crate) admission: Arc<dyn Admission>,
}

impl Core {
    fn new(config: &Ec2Config) -> Self {
        Self {
            world: World::new(config.settings.clone()),
            databases: Databases::default(),
            roles: Roles::default(),
            faults: Faults::default(),
            log: CallLog::new(config.call_log),
            clock: Clock::new(config.clock),
            accounts: config.accounts.clone(),
            admission: Arc::clone(&config.admission),
        }
    }

    /// The simulator's time. It first removes the instances whose time is over.
    pub(crate) fn now(&mut self) -> SimTime {
        let now = self.clock.now();
        self.world.sweep(now);
        now
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { wall: SimTime::wall_clock(), sim: self.clock.now() }
    }

    pub(crate) fn account(&self, access_key_id: &str) -> String {
        self.accounts.get(access_key_id).map_or(DEFAULT_ACCOUNT, String::as_str).to_owned()
    }
}

impl Ec2World {
    pub(crate) fn new(config: Ec2Config) -> Self {
        let core = Arc::new(Mutex::new(Core::new(&config)));
        Self { config: Arc::new(config), core }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // If a caller panicked, the world is still whole, because each change is made after all of its checks.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds instances. Returns their ids.
    ///
    /// # Errors
    ///
    /// If an id is malformed or taken, XML cannot carry a tag, or no instance is asked for. Then none is added.
    pub fn add_instances(&self, add: &AddInstances) -> Result<Vec<String>, AdminError> {
        let mut core = self.core();
        let now = core.now();
        core.world.add(now, add)
    }

    /// The true state of instances, in the order of creation.
    pub fn instances(&self, query: &InstanceQuery) -> Vec<InstanceView> {
        let mut core = self.core();
        let now = core.now();
        core.world.views(now, query)
    }

    /// The true state of an instance. `None` if it does not exist, or does not exist any more.
    pub fn instance(&self, id: &str) -> Option<InstanceView> {
        let mut core = self.core();
        let now = core.now();
        core.world.view(now, id)
    }

    /// Shuts instances down for good.
    ///
    /// # Errors
    ///
    /// If an instance does not exist. Then none is changed.
    pub fn terminate(&self, ids: &[String]) -> Result<(), AdminError> {
        let mut core = self.core();
        let now = core.now();
        core.world.terminate(now, ids)
    }

    /// Puts instances into a state, from any present state. Later states follow in their time. `reason`
    /// replaces the state reason that EC2 would give.
    ///
    /// # Errors
    ///
    /// If an instance does not exist. Then none is changed.
    pub fn set_state(
        &self,
        ids: &[String],
        state: InstanceState,
        reason: Option<&StateReason>,
    ) -> Result<(), AdminError> {
        let mut core = self.core();
        let now = core.now();
        core.world.force(now, ids, state, reason)
    }

    /// Sets tags as a third party would, without a call in the log.
    ///
    /// # Errors
    ///
    /// If an instance does not exist, or XML cannot carry a tag. Then none is changed.
    pub fn set_tags(&self, ids: &[String], tags: &Tags) -> Result<(), AdminError> {
        self.change_tags(ids, tags, &[])
    }

    /// Removes tags as a third party would.
    ///
    /// # Errors
    ///
    /// If an instance does not exist. Then none is changed.
    pub fn remove_tags(&self, ids: &[String], keys: &[String]) -> Result<(), AdminError> {
        self.change_tags(ids, &Tags::new(), keys)
    }

    pub(crate) fn change_tags(
        &self,
        ids: &[String],
        set: &Tags,
        remove: &[String],
    ) -> Result<(), AdminError> {
        let mut core = self.core();
        let now = core.now();
        core.world.force_tags(now, ids, set, remove)
    }

    /// Makes starts of instances fail, or succeed again (`None`).
    ///
    /// # Errors
    ///
    /// If an instance does not exist. Then none is changed.
    pub fn set_falls_back(&self, ids: &[String], falls_back: Option<&FallsBack>) -> Result<(), AdminError> {
        let mut core = self.core();
        let now = core.now();
        for slot in core.world.known(now, ids)? {
            if let Some(instance) = core.world.instances.get_mut(&slot) {
                instance.falls_back = falls_back.cloned();
            }
        }
        Ok(())
    }

    /// The settings of the cloud.
    pub fn settings(&self) -> Settings {
        self.core().world.settings.clone()
    }

    /// Changes settings of the cloud from now on. Returns all settings.
    pub fn change_settings(&self, patch: &SettingsPatch) -> Settings {
        let mut core = self.core();
        patch.apply(&mut core.world.settings);
        core.world.settings.clone()
    }

    /// Assigns an access key id to an account.
    pub fn set_account(&self, access_key_id: &str, account: &str) {
        self.core().accounts.insert(access_key_id.to_owned(), account.to_owned());
    }

    /// Adds a fault rule. Returns its id.
    pub fn add_fault(&self, rule: FaultRule) -> u64 {
        self.core().faults.add(rule)
    }

    /// The fault rules in force.
    pub fn faults(&self) -> Vec<FaultView> {
        self.core().faults.views()
    }

    /// Removes a fault rule. Returns whether there was one.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.core().faults.remove(id)
    }

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        self.core().faults.clear();
    }

    /// Starts instances as a call of `caller` does, but without a network. The call is throttled, logged and carried
    /// out.
    ///
    /// # Errors
    ///
    /// The error that the caller would get.
    pub fn start_call(&self, caller: &str, scope: &Scope, ids: &[String]) -> Result<(), ApiError> {
        let core = &mut *self.core();
        let (now, moment) = (core.now(), core.moment());
        let facts = CallFacts {
            action: "StartInstances".to_owned(),
            caller: caller.to_owned(),
            access_key_id: caller.to_owned(),
            signed: None,
            scope: scope.clone(),
            instance_ids: ids.to_vec(),
            filters: Vec::new(),
            tags: Vec::new(),
            paged: false,
            dry_run: false,
        };
        let call =
            AdmissionCall { now, scope, action: &facts.action, instance_ids: ids.len(), narrowed: true };
        let admitted = core.admission.admit(call);
        let number = core.log.arrive(moment, facts);
        let result = match admitted {
            Ok(()) => core.world.power(now, scope, ids, Power::Start, false).map(drop),
            Err(Throttled) => Err(Service::Ec2.throttled()),
        };
        if let Some(record) = core.log.record(number) {
            record.completed = Some(moment);
            record.took_effect = result.is_ok();
            record.outcome =
                Some(result.as_ref().map_or_else(|error| error.code.clone(), |()| "OK".to_owned()));
        }
        result
    }

    /// Reads the call log.
    pub fn calls(&self, query: &CallQuery) -> CallPage {
        self.core().log.read(query)
    }

    /// Forgets all calls. Their numbers go on.
    pub fn clear_calls(&self) {
        self.core().log.clear();
    }

    /// The state of the clock.
    pub fn clock(&self) -> ClockView {
        let core = self.core();
        ClockView { now: core.clock.now(), is_virtual: core.clock.is_virtual() }
    }

    /// Moves the virtual clock. Returns its new time.
    ///
    /// # Errors
    ///
    /// If the clock is real.
    pub fn advance(&self, span: Duration) -> Result<SimTime, AdminError> {
        self.core().clock.advance(span).ok_or(AdminError::ClockIsReal)
    }

    /// Resets the world to its configuration: no instances, no databases, no trusted roles, no faults, the first
    /// settings, and an empty call log (its numbers go on).
    pub fn reset(&self) {
        let mut core = self.core();
        let mut fresh = Core::new(&self.config);
        core.log.clear();
        std::mem::swap(&mut fresh.log, &mut core.log);
        *core = fresh;
    }
}
