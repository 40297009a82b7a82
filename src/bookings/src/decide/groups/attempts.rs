//! What this process sent to each machine, and when: a hint, safe to lose.
//!
//! A describe may lag behind a call by seconds, sometimes minutes. Without a memory each pass in
//! between would repeat the call and burn the account's tokens. After a restart the memory is empty
//! and a call is repeated once; all calls are idempotent.

use booking_decision::Backoff;
use std::{collections::BTreeMap, time::Duration};

use crate::api::Lock;
use jiff::Timestamp;

use crate::decide::groups::machine::{LockTag, Machine, MachineState, same_lock};
use booking_calendar::instant::{after, elapsed};

/// How long a successful call is given to show before it is repeated; doubles each time. EC2 is
/// eventually consistent: mostly within seconds.
const SETTLE: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_mins(5) };

/// How long a call is remembered after its effect was seen: a machine that is started and stops again
/// within this time is started ever more slowly. Also how long one without effect is remembered after
/// it could have been repeated: by then it is not wanted any more.
const REMEMBER: Duration = Duration::from_mins(1);

/// How long until an action that waits for its turn is asked for again, at most.
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
    /// Remove lock tags that hold exactly this.
    Unlock(Lock),
}

/// Power and lock tags are remembered apart: both change in one pass.
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

/// The last thing done to one machine on one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    action: Action,
    at: Timestamp,
    /// How often in a row it came to the same.
    count: u32,
    backoff: Backoff,
    not_before: Timestamp,
    error: Option<String>,
    /// Nothing was sent: when its turn is expected.
    turn: Option<Timestamp>,
}

impl Attempt {
    /// Whether it was sent and taken.
    fn was_taken(&self) -> bool {
        self.error.is_none() && self.turn.is_none()
    }
}

/// Whether an action may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may; it was sent `times` before without lasting effect.
    Now {
        /// How often this very action was sent before.
        times: u32,
    },
    /// It was sent, and may be sent again at this time.
    Later(Timestamp),
}

/// The memory of one process for one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    by_instance: BTreeMap<(String, Topic), Attempt>,
    /// Machines seen on their way, and since when.
    moving_since: BTreeMap<String, Timestamp>,
    observe_failures: u32,
    failed_look: Option<Timestamp>,
}

impl Attempts {
    /// An action was sent and taken.
    pub fn succeeded(&mut self, id: &str, action: Action, now: Timestamp) {
        self.record(id, action, now, None, SETTLE);
    }

    /// An action was sent and refused, or its outcome is unknown.
    pub fn failed(&mut self, id: &str, action: Action, now: Timestamp, error: String, backoff: Backoff) {
        self.record(id, action, now, Some(error), backoff);
    }

    /// An action was not sent, for its turn in the cloud's budget comes later. It is asked for again a while before,
    /// for it may come sooner.
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

    /// When something was last sent, whatever came of it, or a look failed: what was seen before is older than that.
    pub fn last(&self) -> Option<Timestamp> {
        let sent = self.by_instance.values().filter(|attempt| attempt.turn.is_none());
        sent.map(|attempt| attempt.at).chain(self.failed_look).max()
    }

    /// When the turn of an action comes that waits for one.
    pub fn turn_of(&self, id: &str, action: &Action, now: Timestamp) -> Option<Timestamp> {
        self.of(id, action)?.turn.filter(|turn| *turn > now)
    }

    fn record(&mut self, id: &str, action: Action, now: Timestamp, error: Option<String>, backoff: Backoff) {
        let key = (id.to_owned(), action.topic());
        // Errors of another kind begin to count anew: what is short of capacity was not so often before.
        let same = |attempt: &&Attempt| attempt.action == action && attempt.backoff == backoff;
        let before = self.by_instance.get(&key).filter(same);
        let count = before.map_or(0, |attempt| attempt.count).saturating_add(1);
        let not_before = after(now, backoff.wait(count));
        self.by_instance
            .insert(key, Attempt { action, at: now, count, backoff, not_before, error, turn: None });
    }

    /// The group could not be observed, that many times in a row with this one.
    pub fn observe_failed(&mut self, now: Timestamp) -> u32 {
        self.failed_look = Some(now);
        self.observe_failures = self.observe_failures.saturating_add(1);
        self.observe_failures
    }

    /// Takes note of what was observed: forgets what has had its effect for a while, and machines
    /// that are gone.
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

    /// Whether this action was taken before.
    pub fn was_taken(&self, id: &str, action: &Action) -> bool {
        self.of(id, action).is_some_and(Attempt::was_taken)
    }

    /// The error of the last try of this action, if it failed.
    pub fn error(&self, id: &str, action: &Action) -> Option<&str> {
        self.of(id, action)?.error.as_deref()
    }

    /// How often this action was taken without effect so far; 0 after an error.
    pub fn fruitless(&self, id: &str, action: &Action, now: Timestamp) -> u32 {
        self.of(id, action)
            .filter(|attempt| attempt.was_taken())
            .map_or(0, |attempt| attempt.count - u32::from(attempt.not_before > now))
    }

    /// Until when a machine is taken to be leaving the state that it shows: it was started or stopped
    /// so shortly ago that a describe may not show it yet.
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

    /// When something was last sent to any machine that has not shown yet, or a machine was first seen
    /// on its way.
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
