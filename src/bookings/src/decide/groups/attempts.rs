//! Attempts: what this process sent to each machine, and when. This memory is safe to lose.
//!
//! A describe may lag behind a call by seconds, sometimes minutes. Without this memory each pass in between would
//! repeat the call and spend the account's tokens. After a restart the memory is empty, and a call is repeated once.
//! All calls are idempotent.

use booking_decision::Backoff;
use std::{collections::BTreeMap, time::Duration};

use crate::api::Lock;
use jiff::Timestamp;

use crate::decide::groups::machine::{LockTag, Machine, MachineState, same_lock};
use booking_calendar::instant::{after, elapsed};

/// How long a successful call may take to show before it is repeated. The time doubles with each repetition. EC2 is
/// eventually consistent, mostly within seconds.
const SETTLE: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_mins(5) };

/// How long a call is remembered after its effect was seen. If a machine is started and stops again within this time,
/// the waits before further starts grow. A call without effect is remembered for the same time after it could have
/// been repeated: if it was not repeated by then, it is not wanted any more.
const REMEMBER: Duration = Duration::from_mins(1);

/// An action that waits for its turn is asked for again after this time at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// One thing done to one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Write these lock tags.
    Lock(Lock),
    /// Remove lock tags that have exactly these values.
    Unlock(Lock),
}

/// Power and lock tags are remembered separately, because one pass may change both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Power,
    Lock,
}

impl Action {
    fn topic(&self) -> Topic {
        match self {
            Self::Start | Self::Stop => Topic::Power,
            Self::Lock(_) | Self::Unlock(_) => Topic::Lock,
        }
    }

    /// Whether a machine shows the effect.
    fn shows_in(&self, instance: &Machine) -> bool {
        match (self, &instance.lock) {
            (Self::Start, _) => instance.state.runs(),
            (Self::Stop, _) => instance.state == MachineState::Stopped,
            (Self::Lock(lock), LockTag::Held { raw, .. }) => same_lock(lock, raw),
            (Self::Unlock(_), tag) => *tag == LockTag::Absent,
            (Self::Lock(_), _) => false,
        }
    }
}

/// The last action on one machine and one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    action: Action,
    at: Timestamp,
    /// How often in a row the same action had the same kind of result.
    count: u32,
    backoff: Backoff,
    not_before: Timestamp,
    error: Option<String>,
    /// Set if nothing was sent yet: when the turn is expected.
    turn: Option<Timestamp>,
}

impl Attempt {
    /// Whether the cloud accepted the call.
    fn was_taken(&self) -> bool {
        self.error.is_none() && self.turn.is_none()
    }
}

/// Whether an action may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may be sent.
    Now {
        /// How often this very action was sent before.
        times: u32,
    },
    /// It was sent, and it may be sent again at this time.
    Later(Timestamp),
}

/// The memory of one process for one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    by_instance: BTreeMap<(String, Topic), Attempt>,
    /// Machines that are changing state, and since when this process has seen that.
    moving_since: BTreeMap<String, Timestamp>,
    observe_failures: u32,
    failed_look: Option<Timestamp>,
}

impl Attempts {
    /// The action was sent and the cloud accepted it.
    pub fn succeeded(&mut self, id: &str, action: Action, now: Timestamp) {
        self.record(id, action, now, None, SETTLE);
    }

    /// The action was sent and the cloud refused it, or its outcome is unknown.
    pub fn failed(&mut self, id: &str, action: Action, now: Timestamp, error: String, backoff: Backoff) {
        self.record(id, action, now, Some(error), backoff);
    }

    /// The action was not sent, because its turn in the action budget comes later. It is asked for again somewhat
    /// earlier, because the turn may come sooner.
    pub fn queued(&mut self, id: &str, action: Action, now: Timestamp, turn: Timestamp) {
        let backoff = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
        let key = (id.to_owned(), action.topic());
        let not_before = turn.min(after(now, ASK_AGAIN));
        let turn = Some(turn);
        let attempt = Attempt { action, at: now, count: 0, backoff, not_before, error: None, turn };
        self.by_instance.insert(key, attempt);
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.by_instance.is_empty() && self.moving_since.is_empty() && self.observe_failures == 0
    }

    /// When the last call was sent (with any outcome) or the last observation failed. Earlier observations are
    /// outdated.
    pub fn last(&self) -> Option<Timestamp> {
        let sent = self.by_instance.values().filter(|attempt| attempt.turn.is_none());
        sent.map(|attempt| attempt.at).chain(self.failed_look).max()
    }

    /// When the turn of an action comes, if it waits for one.
    pub fn turn_of(&self, id: &str, action: &Action, now: Timestamp) -> Option<Timestamp> {
        self.of(id, action)?.turn.filter(|turn| *turn > now)
    }

    fn record(&mut self, id: &str, action: Action, now: Timestamp, error: Option<String>, backoff: Backoff) {
        let key = (id.to_owned(), action.topic());
        // An error of another kind starts a new count: for example, earlier errors say nothing about a lack of
        // capacity.
        let same = |attempt: &&Attempt| attempt.action == action && attempt.backoff == backoff;
        let before = self.by_instance.get(&key).filter(same);
        let count = before.map_or(0, |attempt| attempt.count).saturating_add(1);
        let not_before = after(now, backoff.wait(count));
        self.by_instance
            .insert(key, Attempt { action, at: now, count, backoff, not_before, error, turn: None });
    }

    /// The group could not be observed. Returns how often in a row that has happened, this time included.
    pub fn observe_failed(&mut self, now: Timestamp) -> u32 {
        self.failed_look = Some(now);
        self.observe_failures = self.observe_failures.saturating_add(1);
        self.observe_failures
    }

    /// Takes note of an observation. Forgets actions whose effect has shown for a while, and machines that are gone.
    pub fn observed(&mut self, instances: &[Machine], now: Timestamp) {
        (self.observe_failures, self.failed_look) = (0, None);
        let by_id: BTreeMap<&str, &Machine> =
            instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
        self.by_instance.retain(|(id, _), attempt| {
            let Some(instance) = by_id.get(id.as_str()) else {
                return false;
            };
            if attempt.action.shows_in(instance) {
                attempt.error = None;
                elapsed(attempt.at, now) < REMEMBER
            } else {
                instance.state.is_moving() || elapsed(attempt.not_before, now) < REMEMBER
            }
        });
        self.moving_since = instances
            .iter()
            .filter(|instance| instance.state.is_moving())
            .map(|i| (i.id.clone(), self.moving_since.get(&i.id).copied().unwrap_or(now)))
            .collect();
    }

    /// Whether an action may be sent to a machine that needs it.
    pub fn permission(&self, id: &str, action: &Action, now: Timestamp) -> Permission {
        match self.of(id, action) {
            Some(attempt) if attempt.not_before > now => Permission::Later(attempt.not_before),
            Some(attempt) => Permission::Now { times: attempt.count },
            None => Permission::Now { times: 0 },
        }
    }

    /// Whether the cloud accepted this action the last time.
    pub fn was_taken(&self, id: &str, action: &Action) -> bool {
        self.of(id, action).is_some_and(Attempt::was_taken)
    }

    /// The error of the last try of this action, if it failed.
    pub fn error(&self, id: &str, action: &Action) -> Option<&str> {
        self.of(id, action)?.error.as_deref()
    }

    /// How often the cloud accepted this action without effect so far; 0 after an error.
    pub fn fruitless(&self, id: &str, action: &Action, now: Timestamp) -> u32 {
        self.of(id, action)
            .filter(|attempt| attempt.was_taken())
            .map_or(0, |attempt| attempt.count - u32::from(attempt.not_before > now))
    }

    /// Until when a machine counts as leaving the state that it shows: it was started or stopped so recently that a
    /// describe may not show it yet.
    pub(crate) fn turning_until(&self, instance: &Machine, now: Timestamp) -> Option<Timestamp> {
        let attempt = self.by_instance.get(&(instance.id.clone(), Topic::Power))?;
        let turns = matches!(
            (&attempt.action, instance.state),
            (Action::Start, MachineState::Stopped) | (Action::Stop, MachineState::Running)
        );
        let shows_by = after(attempt.at, SETTLE.base);
        (turns && attempt.was_taken() && now < shows_by).then_some(shows_by)
    }

    fn of(&self, id: &str, action: &Action) -> Option<&Attempt> {
        let attempt = self.by_instance.get(&(id.to_owned(), action.topic()))?;
        (attempt.action == *action).then_some(attempt)
    }

    /// When the last call was sent to any of these machines that has not shown yet, or when a machine was first seen
    /// changing state.
    pub fn last_unseen(&self, instances: &[Machine]) -> Option<Timestamp> {
        instances
            .iter()
            .flat_map(|instance| [Topic::Power, Topic::Lock].map(|topic| (instance, topic)))
            .filter_map(|(instance, topic)| {
                let attempt = self.by_instance.get(&(instance.id.clone(), topic))?;
                (attempt.was_taken() && !attempt.action.shows_in(instance)).then_some(attempt.at)
            })
            .chain(instances.iter().filter_map(|instance| self.moving_since.get(&instance.id).copied()))
            .max()
    }
}

#[cfg(test)]
mod tests;
