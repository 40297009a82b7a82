//! The life of one instance over time.

use std::sync::Arc;

use super::model::{FallsBack, InstanceState, InstanceView, Scope, Settings, StateReason, Tags};
use super::time::SimTime;
use super::versions::Versions;

/// A phase of an instance's life.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) state: InstanceState,
    pub(crate) reason: Option<Arc<StateReason>>,
    /// The older, textual reason. It is empty unless a user or a failure caused this state.
    pub(crate) transition: Arc<str>,
    pub(crate) launched_at: SimTime,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: Arc<str>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) zone: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) falls_back: Option<FallsBack>,
    /// When it was created. Reads of an earlier moment do not know it.
    pub(crate) born: SimTime,
    /// When it leaves the listings.
    pub(crate) gone_at: Option<SimTime>,
    pub(crate) phases: Versions<Phase>,
    pub(crate) tags: Versions<Arc<Tags>>,
}

/// An instance, as a describe shows it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: Arc<str>,
    pub(crate) zone: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) phase: Phase,
    pub(crate) tags: Arc<Tags>,
}

impl Instance {
    /// What a read as of `at` shows. `None` before its birth and after it has left the listings.
    pub(crate) fn seen_at(&self, at: SimTime) -> Option<Seen> {
        self.is_listed_at(at).then(|| Seen {
            id: Arc::clone(&self.id),
            zone: Arc::clone(&self.zone),
            kind: Arc::clone(&self.kind),
            phase: self.phases.at(at).1.clone(),
            tags: Arc::clone(self.tags.at(at).1),
        })
    }

    pub(crate) fn is_listed_at(&self, at: SimTime) -> bool {
        self.born <= at && self.gone_at.is_none_or(|gone| at < gone)
    }

    pub(crate) fn state_at(&self, at: SimTime) -> InstanceState {
        self.phases.at(at).1.state
    }

    pub(crate) fn view(&self, now: SimTime) -> InstanceView {
        let (since, phase) = self.phases.at(now);
        InstanceView {
            id: self.id.to_string(),
            scope: Scope::clone(&self.scope),
            zone: self.zone.to_string(),
            instance_type: self.kind.to_string(),
            state: phase.state,
            since,
            launched_at: phase.launched_at,
            state_reason: phase.reason.as_deref().cloned(),
            tags: Tags::clone(self.tags.at(now).1),
            falls_back: self.falls_back.clone(),
        }
    }

    /// Enters `state` now, and plans the states that follow. A given `reason` replaces EC2's usual one.
    pub(crate) fn enter(
        &mut self,
        now: SimTime,
        state: InstanceState,
        reason: Option<StateReason>,
        settings: &Settings,
    ) {
        self.phases.forget_before(now.before(settings.lag()));
        self.gone_at = None;
        match state {
            InstanceState::Pending => self.launch(now, reason, settings),
            InstanceState::Running => self.change(now, state, reason),
            InstanceState::Stopped => {
                self.change(now, state, Some(reason.unwrap_or_else(shut_down_by_user)));
            }
            InstanceState::Stopping => {
                let reason = reason.unwrap_or_else(shut_down_by_user);
                self.change(now, state, Some(reason));
                self.follow(now, now.after(settings.stopping()), InstanceState::Stopped);
            }
            InstanceState::ShuttingDown => {
                let reason = reason.unwrap_or_else(shut_down_by_user);
                let end = now.after(settings.shutting_down());
                self.change(now, state, Some(reason));
                self.follow(now, end, InstanceState::Terminated);
                self.gone_at = Some(end.after(settings.terminated_listed()));
            }
            InstanceState::Terminated => {
                self.change(now, state, Some(reason.unwrap_or_else(shut_down_by_user)));
                self.gone_at = Some(now.after(settings.terminated_listed()));
            }
        }
    }

    fn launch(&mut self, now: SimTime, reason: Option<StateReason>, settings: &Settings) {
        let mut phase = phase_of(InstanceState::Pending, reason, now, now);
        self.phases.change(now, phase.clone());
        phase.state = InstanceState::Running;
        phase.reason = None;
        if let Some(failure) = self.next_failure() {
            phase.state = InstanceState::Stopped;
            phase.transition = failure.code.as_str().into();
            phase.reason = Some(Arc::new(failure));
        }
        self.phases.schedule(now.after(settings.pending()), phase);
    }

    /// Uses up one of the failing starts, if any is left.
    fn next_failure(&mut self) -> Option<StateReason> {
        let falls_back = self.falls_back.as_mut()?;
        let reason = falls_back.reason.clone();
        match falls_back.times.as_mut() {
            None => return Some(reason),
            Some(0) => self.falls_back = None,
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    self.falls_back = None;
                }
                return Some(reason);
            }
        }
        None
    }

    fn change(&mut self, now: SimTime, state: InstanceState, reason: Option<StateReason>) {
        let launched_at = self.phases.at(now).1.launched_at;
        self.phases.change(now, phase_of(state, reason, now, launched_at));
    }

    /// Plans that the present phase becomes `state` at `at`, for the same reason.
    fn follow(&mut self, now: SimTime, at: SimTime, state: InstanceState) {
        let mut phase = self.phases.at(now).1.clone();
        phase.state = state;
        self.phases.schedule(at, phase);
    }
}

pub(crate) fn phase_of(
    state: InstanceState,
    reason: Option<StateReason>,
    now: SimTime,
    launched_at: SimTime,
) -> Phase {
    let transition = match (&reason, state) {
        (_, InstanceState::Pending | InstanceState::Running) | (None, _) => String::new(),
        (Some(reason), _) if reason.code == USER_SHUTDOWN => {
            format!("User initiated ({})", now.gmt())
        }
        (Some(reason), _) => reason.code.clone(),
    };
    Phase { state, reason: reason.map(Arc::new), transition: transition.into(), launched_at }
}

const USER_SHUTDOWN: &str = "Client.UserInitiatedShutdown";

pub(crate) fn shut_down_by_user() -> StateReason {
    StateReason {
        code: USER_SHUTDOWN.to_owned(),
        message: format!("{USER_SHUTDOWN}: User initiated shutdown"),
    }
}
