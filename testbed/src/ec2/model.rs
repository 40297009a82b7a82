//! The types of the simulated EC2 that its users see: states, instances, settings. All of them travel as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::SimTime;

/// The only version of EC2's API that is served.
pub(crate) const API_VERSION: &str = "2016-11-15";
/// The account of callers that the account map does not name.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The region of instances that are added without a region.
pub const DEFAULT_REGION: &str = "eu-central-1";

/// Tags of one instance.
pub type Tags = BTreeMap<String, String>;

/// An account and a region. Instances of one scope are invisible to callers of another scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account, with twelve digits.
    pub account: String,
    /// The region, for example `eu-central-1`.
    pub region: String,
}

/// The life cycle of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Up, and paid for.
    #[default]
    Running,
    /// On the way to terminated.
    ShuttingDown,
    /// Gone for good, and listed for a while.
    Terminated,
    /// Being stopped.
    Stopping,
    /// Down. It can be started.
    Stopped,
}

impl InstanceState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::ShuttingDown, Self::Terminated, Self::Stopping, Self::Stopped];

    /// The numeric code of the EC2 API (low byte).
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// The name in the EC2 API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an instance is in its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    /// The code, for example `Server.InsufficientInstanceCapacity`.
    pub code: String,
    /// The message for people. EC2 begins it with the code.
    pub message: String,
}

/// The failure of starts: the instance becomes pending and falls back to stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallsBack {
    /// The state reason it then shows.
    #[serde(flatten)]
    pub reason: StateReason,
    /// The number of starts that fail. If it is absent, all fail.
    #[serde(default)]
    pub times: Option<u32>,
}

impl FallsBack {
    /// Every start fails for lack of capacity.
    pub fn for_capacity() -> Self {
        let code = "Server.InsufficientInstanceCapacity";
        Self::always(code, &format!("{code}: Insufficient capacity to satisfy instance request"))
    }

    /// Every start fails, for the given reason.
    pub fn always(code: &str, message: &str) -> Self {
        Self { reason: StateReason { code: code.to_owned(), message: message.to_owned() }, times: None }
    }
}

/// Instances to add: the given ids, or `count` instances with ids from the simulator's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddInstances {
    /// Ids of the instances, `i-` and 8 or 17 hex digits.
    pub ids: Vec<String>,
    /// The number of instances, if `ids` is empty.
    pub count: usize,
    /// Their account.
    pub account: String,
    /// Their region.
    pub region: String,
    /// Their availability zone. The default is the region's zone `a`.
    pub zone: Option<String>,
    /// Their type, for example `t3.micro`.
    pub instance_type: String,
    /// Their first state. An instance that begins pending is new, so the consistency lag applies to it. All others have
    /// existed for a day.
    pub state: InstanceState,
    /// Their tags. Reserved ones are allowed.
    pub tags: Tags,
    /// Whether their starts fail.
    pub falls_back: Option<FallsBack>,
}

impl Default for AddInstances {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            count: 0,
            account: DEFAULT_ACCOUNT.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            zone: None,
            instance_type: "t3.micro".to_owned(),
            state: InstanceState::default(),
            tags: Tags::new(),
            falls_back: None,
        }
    }
}

impl AddInstances {
    /// `count` running instances in the default account and region.
    pub fn count(count: usize) -> Self {
        Self { count, ..Self::default() }
    }

    /// The given ids, running, in the default account and region.
    pub fn ids<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self { ids: ids.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same instances with this tag, too.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same instances with this first state.
    #[must_use]
    pub fn state(mut self, state: InstanceState) -> Self {
        self.state = state;
        self
    }
}

/// The true state of an instance. Describes may still show an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its id.
    pub id: String,
    /// Its account and region.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its availability zone.
    pub zone: String,
    /// Its type.
    pub instance_type: String,
    /// Its state.
    pub state: InstanceState,
    /// Since when it has been in that state.
    pub since: SimTime,
    /// When it was last started.
    pub launched_at: SimTime,
    /// Why it is in that state, if EC2 would say so.
    pub state_reason: Option<StateReason>,
    /// Its tags.
    pub tags: Tags,
    /// Whether its next start fails.
    pub falls_back: Option<FallsBack>,
}

/// The instances that an administrator wants to see. Absent fields exclude nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceQuery {
    /// Only instances of this account.
    pub account: Option<String>,
    /// Only instances of this region.
    pub region: Option<String>,
    /// Only instances with this tag key.
    pub tag_key: Option<String>,
    /// Only instances with this value of `tag_key`, literally.
    pub tag_value: Option<String>,
    /// Only instances in this state.
    pub state: Option<InstanceState>,
}

/// The behaviour of the simulated cloud. A changed duration applies to transitions that begin afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The time from pending to running, in milliseconds.
    pub pending_ms: u64,
    /// The time from stopping to stopped, in milliseconds.
    pub stopping_ms: u64,
    /// The time from shutting-down to terminated, in milliseconds.
    pub shutting_down_ms: u64,
    /// How long a terminated instance stays listed, in milliseconds.
    pub terminated_listed_ms: u64,
    /// The age of the state and tags that a describe shows, in milliseconds. A change forgets what the present lag does
    /// not need. So a larger lag has an effect only from the next change on.
    pub lag_ms: u64,
    /// Whether each describe draws its own age between zero and `lag_ms`, so that reads can go back in time. Otherwise
    /// each is exactly `lag_ms` old.
    pub lag_varies: bool,
    /// Whether a pending instance can be stopped. EC2 sometimes allows it and sometimes refuses. The default refuses.
    pub pending_can_stop: bool,
    /// The number of instances that can run in an availability zone, of all accounts together. A start beyond that
    /// fails because there is no capacity. Zones that are not named have no limit.
    pub zone_capacity: BTreeMap<String, usize>,
    /// The time of databases from starting to available, in milliseconds.
    pub rds_starting_ms: u64,
    /// The time of databases from stopping to stopped, in milliseconds.
    pub rds_stopping_ms: u64,
    /// How long after its stop a database starts by itself, in milliseconds.
    pub rds_restart_ms: u64,
    /// The longest life of a role's credentials, in milliseconds of the wall clock. A call cannot get a longer one.
    pub credentials_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pending_ms: 1_000,
            stopping_ms: 1_000,
            shutting_down_ms: 1_000,
            terminated_listed_ms: 60 * 60 * 1_000,
            lag_ms: 0,
            lag_varies: false,
            pending_can_stop: false,
            zone_capacity: BTreeMap::new(),
            rds_starting_ms: 300_000,
            rds_stopping_ms: 300_000,
            rds_restart_ms: 7 * 24 * 60 * 60 * 1_000,
            credentials_ms: 12 * 60 * 60 * 1_000,
        }
    }
}

impl Settings {
    pub(crate) fn pending(&self) -> Duration {
        Duration::from_millis(self.pending_ms)
    }

    pub(crate) fn stopping(&self) -> Duration {
        Duration::from_millis(self.stopping_ms)
    }

    pub(crate) fn shutting_down(&self) -> Duration {
        Duration::from_millis(self.shutting_down_ms)
    }

    pub(crate) fn terminated_listed(&self) -> Duration {
        Duration::from_millis(self.terminated_listed_ms)
    }

    pub(crate) fn rds_starting(&self) -> Duration {
        Duration::from_millis(self.rds_starting_ms)
    }

    pub(crate) fn rds_stopping(&self) -> Duration {
        Duration::from_millis(self.rds_stopping_ms)
    }

    pub(crate) fn rds_restart(&self) -> Duration {
        Duration::from_millis(self.rds_restart_ms)
    }

    pub(crate) fn lag(&self) -> Duration {
        Duration::from_millis(self.lag_ms)
    }
}

/// Settings to change. Absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "each field is described at Settings")]
pub struct SettingsPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutting_down_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated_listed_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_varies: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_can_stop: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_capacity: Option<BTreeMap<String, usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_starting_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_stopping_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_restart_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_ms: Option<u64>,
}

impl SettingsPatch {
    pub(crate) fn apply(&self, to: &mut Settings) {
        fn set<T: Clone>(to: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *to = value;
            }
        }
        set(&mut to.zone_capacity, self.zone_capacity.clone());
        set(&mut to.pending_ms, self.pending_ms);
        set(&mut to.stopping_ms, self.stopping_ms);
        set(&mut to.shutting_down_ms, self.shutting_down_ms);
        set(&mut to.terminated_listed_ms, self.terminated_listed_ms);
        set(&mut to.lag_ms, self.lag_ms);
        set(&mut to.lag_varies, self.lag_varies);
        set(&mut to.pending_can_stop, self.pending_can_stop);
        set(&mut to.rds_starting_ms, self.rds_starting_ms);
        set(&mut to.rds_stopping_ms, self.rds_stopping_ms);
        set(&mut to.rds_restart_ms, self.rds_restart_ms);
        set(&mut to.credentials_ms, self.credentials_ms);
    }
}
