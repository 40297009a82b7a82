//! Decides what each machine of a group needs. Each machine is driven on its own, so that a machine that fails does
//! not hold up the others.

use std::collections::BTreeMap;

use crate::api::Lock;
use jiff::Timestamp;

use crate::decide::groups::{
    attempts::{Action, Attempts, Permission},
    locks::{LockHistory, LockStanding, is_unexpired, lock_standing},
    machine::{Machine, MachineState},
};

/// The state that the group should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Running, with these lock tags.
    Held(Lock),
    /// Unlocked, and stopped if `stop`.
    Idle {
        /// Whether running machines are stopped.
        stop: bool,
    },
    /// Still stopped, but with a prelock: a window is about to begin.
    Prelocked {
        /// The lock tags.
        lock: Lock,
        /// Whether there is still time to write them.
        write: bool,
    },
}

impl Goal {
    /// The lock that machines should show.
    fn lock(&self) -> Option<&Lock> {
        match self {
            Self::Held(lock) | Self::Prelocked { lock, .. } => Some(lock),
            Self::Idle { .. } => None,
        }
    }
}

/// The actions to send now, grouped by action, and the progress of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineActions {
    /// Machines to start.
    pub start: Vec<String>,
    /// Machines to stop.
    pub stop: Vec<String>,
    /// Machines to lock with the goal's lock.
    pub lock: Vec<String>,
    /// Machines to unlock, by the lock that they must still carry.
    pub unlock: BTreeMap<Lock, Vec<String>>,
    /// The progress of the group.
    pub summary: GroupSummary,
}

/// The progress of a group. Machines that another controller owns are counted separately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSummary {
    /// Machines, terminated ones not counted.
    pub total: usize,
    /// Machines that run.
    pub running: usize,
    /// Machines to which the goal applies: those that no other controller owns.
    pub managed: usize,
    /// Of the managed machines, those that change state, even if they do not show it yet.
    pub moving: usize,
    /// Of the managed machines, those that are stopped.
    pub stopped: usize,
    /// Of the managed machines, those that run without a lock that would keep them from being stopped while nobody
    /// holds the group.
    pub idle_running: usize,
    /// Of the managed machines, those that have reached the goal.
    pub done: usize,
    /// Machines with another owner's lock that has not expired: id and lock.
    pub foreign: Vec<(String, Lock)>,
    /// Machines with lock tags that do not form a lock.
    pub malformed: Vec<String>,
    /// Machines that another controller owns: id and owner.
    pub owned: Vec<(String, String)>,
    /// Machines that cannot be stopped: id and why.
    pub unstoppable: Vec<(String, String)>,
    /// Machines that should be stopped but are busy with something that does not allow it: id and what.
    pub busy: Vec<(String, String)>,
    /// Machines that are neither stopped nor usable.
    pub broken: usize,
    /// When the cloud will start the first of the stopped machines by itself.
    pub restarts_at: Option<Timestamp>,
    /// Machines whose last call failed or had no effect: id and what happened.
    pub failing: Vec<(String, String)>,
    /// Machines may wait for their turn in the action budget. This is when the last of them gets it.
    pub queued_until: Option<Timestamp>,
    /// When the next postponed call may be sent.
    pub retry_at: Option<Timestamp>,
    /// When the first foreign lock expires.
    pub foreign_until: Option<Timestamp>,
}

/// Decides the actions for each machine.
pub fn actions(
    instances: &[Machine],
    goal: &Goal,
    lock_history: &LockHistory,
    attempts: &Attempts,
    now: Timestamp,
) -> MachineActions {
    let mut actions = MachineActions::default();
    let wanted = goal.lock();
    for instance in instances.iter().filter(|instance| instance.state != MachineState::Terminated) {
        let standing = lock_standing(&instance.lock, wanted, lock_history, now);
        let turning = attempts.turning_until(instance, now);
        actions.summary.count(instance, goal, &standing, turning);
        let needs = match (&instance.owner, &standing) {
            (Some(_), LockStanding::Stale(lock))
                if lock_history.is_ours(lock) || !is_unexpired(lock, now) =>
            {
                vec![Action::Unlock(lock.clone())]
            }
            (Some(_), _) | (None, LockStanding::Foreign(..)) => vec![],
            (None, _) => needs(instance, goal, &standing),
        };
        for action in needs {
            actions.consider(instance, action, attempts, now);
        }
    }
    actions
}

/// The actions that a managed machine needs to reach the goal.
fn needs(instance: &Machine, goal: &Goal, standing: &LockStanding) -> Vec<Action> {
    let mut needs = Vec::new();
    match (goal, instance.state) {
        (Goal::Held(_), MachineState::Stopped) => needs.push(Action::Start),
        // Half a lock may belong to somebody, so a machine with malformed lock tags is not stopped.
        (Goal::Idle { stop: true }, MachineState::Running)
            if *standing != LockStanding::Malformed && instance.unstoppable.is_none() =>
        {
            needs.push(Action::Stop);
        }
        _ => {}
    }
    match (goal, standing) {
        (Goal::Prelocked { lock, write: true }, LockStanding::Free | LockStanding::Stale(_)) => {
            needs.push(Action::Lock(lock.clone()));
        }
        (Goal::Held(_), LockStanding::AsWanted) | (Goal::Prelocked { .. }, _) => {}
        // A malformed lock cannot be respected, so it does not keep a Booking from its group.
        (Goal::Held(lock), _) => needs.push(Action::Lock(lock.clone())),
        (Goal::Idle { .. }, LockStanding::Stale(lock)) => needs.push(Action::Unlock(lock.clone())),
        (Goal::Idle { .. }, _) => {}
    }
    needs
}

fn is_done(instance: &Machine, goal: &Goal, standing: &LockStanding) -> bool {
    match goal {
        Goal::Held(_) => instance.state.runs() && *standing == LockStanding::AsWanted,
        Goal::Idle { stop } => {
            let rests = instance.state == MachineState::Stopped
                || (instance.unstoppable.is_some() && instance.state.runs());
            (!stop || rests) && *standing == LockStanding::Free
        }
        Goal::Prelocked { .. } => {
            instance.state == MachineState::Stopped
                && matches!(standing, LockStanding::Free | LockStanding::AsWanted)
        }
    }
}

impl MachineActions {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty() && self.lock.is_empty() && self.unlock.is_empty()
    }

    /// Adds an action to those that are sent now, or records when it may be sent again.
    fn consider(&mut self, instance: &Machine, action: Action, attempts: &Attempts, now: Timestamp) {
        let id = &instance.id;
        if let Some(error) = attempts.error(id, &action) {
            self.summary.failing.push((id.clone(), error.to_owned()));
        } else if attempts.fruitless(id, &action, now) > 0 {
            self.summary.failing.push((id.clone(), fell_back(instance, &action)));
        }
        // A lock that waits keeps no user from the machine.
        let power = matches!(action, Action::Start | Action::Stop);
        if let Some(turn) = attempts.turn_of(id, &action, now).filter(|_| power) {
            self.summary.queued_until = self.summary.queued_until.max(Some(turn));
        }
        if let Permission::Later(time) = attempts.permission(id, &action, now) {
            self.summary.try_again_at(time);
            return;
        }
        match action {
            Action::Start => self.start.push(id.clone()),
            Action::Stop => self.stop.push(id.clone()),
            Action::Lock(_) => self.lock.push(id.clone()),
            Action::Unlock(lock) => self.unlock.entry(lock).or_default().push(id.clone()),
        }
    }
}

fn fell_back(instance: &Machine, action: &Action) -> String {
    let what = match action {
        Action::Start => "was started but does not run",
        Action::Stop => "was stopped but still runs",
        Action::Lock(_) => "was locked but does not show the lock",
        Action::Unlock(_) => "was unlocked but still shows the lock",
    };
    match &instance.state_reason {
        Some(reason) if *action == Action::Start => format!("{what}: {reason}"),
        _ => what.to_owned(),
    }
}

impl GroupSummary {
    /// Counts one machine. `turning` is set while the machine is about to leave the state that it shows.
    fn count(
        &mut self,
        instance: &Machine,
        goal: &Goal,
        standing: &LockStanding,
        turning: Option<Timestamp>,
    ) {
        let runs = instance.state.runs();
        self.total += 1;
        self.running += usize::from(runs);
        if let LockStanding::Foreign(_, until) = standing {
            self.foreign_until = Some(self.foreign_until.map_or(*until, |known| known.min(*until)));
        }
        if let Some(owner) = &instance.owner {
            self.owned.push((instance.id.clone(), owner.clone()));
            return;
        }
        self.managed += 1;
        if let Some(until) = turning {
            self.try_again_at(until);
        }
        self.count_databases(instance, goal);
        self.moving += usize::from(instance.state.is_moving() || turning.is_some());
        self.done += usize::from(turning.is_none() && is_done(instance, goal, standing));
        self.stopped += usize::from(turning.is_none() && instance.state == MachineState::Stopped);
        match standing {
            LockStanding::Foreign(lock, _) => self.foreign.push((instance.id.clone(), lock.clone())),
            LockStanding::Malformed => self.malformed.push(instance.id.clone()),
            _ => self.idle_running += usize::from(runs && instance.unstoppable.is_none()),
        }
    }

    /// Counts what only databases have.
    fn count_databases(&mut self, instance: &Machine, goal: &Goal) {
        let named = |what: &str| (instance.id.clone(), what.to_owned());
        let reason = instance.state_reason.as_deref().unwrap_or("busy");
        if let Some(why) = &instance.unstoppable {
            self.unstoppable.push(named(why));
        } else if instance.state == MachineState::Busy && *goal == (Goal::Idle { stop: true }) {
            self.busy.push(named(reason));
        }
        match instance.state {
            MachineState::Broken => {
                self.broken += 1;
                self.failing.push(named(&format!("{reason}: of no use before somebody has mended it")));
            }
            MachineState::Stopped => {
                let at = [self.restarts_at, instance.restarts_at].into_iter().flatten().min();
                self.restarts_at = at;
            }
            _ => {}
        }
    }

    fn try_again_at(&mut self, time: Timestamp) {
        self.retry_at = Some(self.retry_at.map_or(time, |known| known.min(time)));
    }
}

#[cfg(test)]
mod tests {
    use crate::api::ResourceStatus;

    use super::*;
    use crate::decide::groups::{hold::ManualHold, machine::LockTag};
    use booking_decision::Backoff;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW + second).unwrap()
    }

    fn lock() -> Lock {
        Lock { user: "ann".into(), until: at(3600).to_string() }
    }

    fn machine(state: MachineState, locked: bool) -> Machine {
        let held = LockTag::Held { raw: lock(), until: at(3600) };
        let lock = if locked { held } else { LockTag::Absent };
        let state_reason = Some("User initiated".into());
        Machine { state_reason, lock, ..Machine::new("i-1", state) }
    }

    /// The message about a machine to which an action was sent twice, the last time just now.
    fn said(instance: Machine, goal: &Goal, action: &Action) -> String {
        let lock_history = LockHistory { released: vec![lock()], ..LockHistory::default() };
        let mut attempts = Attempts::default();
        attempts.succeeded("i-1", action.clone(), at(-60));
        attempts.succeeded("i-1", action.clone(), at(0));
        let actions = actions(&[instance], goal, &lock_history, &attempts, at(1));
        assert!(actions.is_empty(), "it is too early to repeat it");
        actions.summary.failing.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn a_call_without_effect_is_told_and_only_a_start_has_the_clouds_reason() {
        let (held, idle) = (Goal::Held(lock()), Goal::Idle { stop: true });
        let table = [
            (
                MachineState::Stopped,
                true,
                &held,
                Action::Start,
                "was started but does not run: User initiated",
            ),
            (MachineState::Running, false, &idle, Action::Stop, "was stopped but still runs"),
            (
                MachineState::Running,
                false,
                &held,
                Action::Lock(lock()),
                "was locked but does not show the lock",
            ),
            (
                MachineState::Stopped,
                true,
                &idle,
                Action::Unlock(lock()),
                "was unlocked but still shows the lock",
            ),
        ];
        for (state, locked, goal, action, expected) in table {
            assert_eq!(said(machine(state, locked), goal, &action), expected);
        }
    }

    #[test]
    fn the_first_retry_and_the_first_expiry_of_several_count() {
        // given two failed starts, and two foreign locks
        let mut attempts = Attempts::default();
        let backoff = |seconds| Backoff {
            base: std::time::Duration::from_secs(seconds),
            cap: std::time::Duration::from_mins(1),
        };
        let named = |id: &str, lock| Machine { id: id.into(), lock, ..machine(MachineState::Stopped, false) };
        let foreign = |second| LockTag::Held {
            raw: Lock { user: "eve".into(), until: at(second).to_string() },
            until: at(second),
        };
        for (id, seconds) in [("i-1", 20), ("i-2", 10), ("i-3", 30)] {
            attempts.failed(id, Action::Start, at(0), "refused".into(), backoff(seconds));
        }
        let machines = [
            named("i-1", LockTag::Absent),
            named("i-2", LockTag::Absent),
            named("i-3", LockTag::Absent),
            named("i-4", foreign(200)),
            named("i-5", foreign(100)),
        ];
        let lock_history = LockHistory::next(&ResourceStatus::default(), None, &ManualHold::None, at(0));
        let summary = actions(&machines, &Goal::Held(lock()), &lock_history, &attempts, at(1)).summary;
        assert_eq!((summary.retry_at, summary.foreign_until), (Some(at(10)), Some(at(100))));
        assert_eq!((summary.failing.len(), summary.foreign.len()), (3, 2));
    }
}
