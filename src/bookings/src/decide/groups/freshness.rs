//! Decides whether an earlier observation of a group is young enough for a decision, or the group must be observed
//! first.
//!
//! Groups at rest are observed once per `observe_interval`, many in one call. A group is observed on its own while
//! its machines change state, and immediately before a stop or a lock, because these must not be done in vain or harm
//! another user. A start harms nobody: it uses a recent observation, so that it is sent on time.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::{
    groups::{
        attempts::{Action, Attempts, Permission},
        builder::OBSERVE_AHEAD,
        machine::Machine,
        output::{Call, Decision, Finalizer},
    },
    settings::Settings,
};
use booking_calendar::instant::{after, elapsed};

/// The highest age of an observation that a start may use. A group is observed [`OBSERVE_AHEAD`] before its window
/// begins, and that observation may take a while.
const YOUNG: Duration = Duration::from_secs(15);
/// An observation is usable until it is older than this many intervals.
const INTERVALS: u32 = 2;

/// Whether the group must be observed before a decision that was made from the observation at `seen` is carried out.
pub fn must_observe(
    decision: &Decision,
    (instances, seen): (&[Machine], Timestamp),
    attempts: &Attempts,
    settings: &Settings,
    now: Timestamp,
) -> bool {
    let age = elapsed(seen, now);
    let on_its_way = instances.iter().any(|instance| instance.state.is_moving())
        || attempts.last_unseen(instances).is_some();
    let restarted = instances.iter().any(|instance| instance.restarts_at.is_some_and(|at| at <= now));
    // A call that was sent after the observation may have had an effect, even if it failed.
    let outdated = attempts.last().is_some_and(|last| last >= seen);
    let harmless = |call: &Call| matches!(call, Call::Start(_)) && age <= YOUNG;
    let begins_soon = decision.wake_at.is_some_and(|at| at <= after(now, OBSERVE_AHEAD));
    age > settings.observe_interval * INTERVALS
        || seen > now
        || on_its_way
        || restarted
        || outdated
        || decision.hints.forgets_locks
        || !decision.calls.iter().all(harmless)
        || decision.finalizer == Finalizer::Remove
        || (begins_soon && age > OBSERVE_AHEAD)
}

/// Whether the starts of a decision may be sent before the group is observed again. They may if they rest on stored
/// objects and the observation at `seen` is recent.
pub fn may_start_first(decision: &Decision, seen: Timestamp, attempts: &Attempts, now: Timestamp) -> bool {
    decision.hints.starts_first
        && decision.finalizer == Finalizer::Keep
        && seen <= now
        && elapsed(seen, now) <= YOUNG
        && attempts.last().is_none_or(|last| last < seen)
        // A start that had no effect is reported before it is tried again.
        && decision.calls.iter().filter(|call| matches!(call, Call::Start(_))).flat_map(Call::ids).all(|id| {
            attempts.permission(id, &Action::Start, now) == Permission::Now { times: 0 }
        })
}

#[cfg(test)]
mod tests {
    use crate::api::Lock;

    use super::*;
    use crate::decide::{
        groups::{machine::MachineState, output::Hints},
        settings::tests::settings,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn machine(state: MachineState) -> [Machine; 1] {
        [Machine::new("i-1", state)]
    }

    fn looks(decision: &Decision, state: MachineState, age: i64) -> bool {
        let instances = machine(state);
        must_observe(decision, (&instances, at(-age)), &Attempts::default(), &settings(), at(0))
    }

    fn calls(call: Call) -> Decision {
        Decision { calls: vec![call], ..Decision::default() }
    }

    #[test]
    fn what_rests_is_not_looked_at_unless_nobody_has_for_long() {
        let nothing = Decision { wake_at: Some(at(3600)), ..Decision::default() };
        assert!(!looks(&nothing, MachineState::Stopped, 500));
        assert!(looks(&nothing, MachineState::Stopped, 601), "twice the interval");
        assert!(looks(&nothing, MachineState::Stopped, -1), "the clock went back");
        assert!(looks(&nothing, MachineState::Stopping, 1), "it is on its way");
        let [mut database] = machine(MachineState::Stopped);
        database.restarts_at = Some(at(0));
        let known = (&[database][..], at(-1));
        assert!(
            must_observe(&nothing, known, &Attempts::default(), &settings(), at(0)),
            "RDS has started it"
        );
    }

    #[test]
    fn a_start_goes_by_what_was_seen_a_moment_ago_and_nothing_else_does() {
        let ids = || vec!["i-1".to_owned()];
        let lock = || Lock { user: "ann".into(), until: at(60).to_string() };
        assert!(!looks(&calls(Call::Start(ids())), MachineState::Stopped, 15));
        assert!(looks(&calls(Call::Start(ids())), MachineState::Stopped, 16));
        for call in [Call::Stop(ids()), Call::Lock(lock(), ids()), Call::Unlock(lock(), ids())] {
            assert!(looks(&calls(call), MachineState::Running, 0));
        }
        let remove = Decision { finalizer: Finalizer::Remove, ..Decision::default() };
        assert!(looks(&remove, MachineState::Stopped, 0));
    }

    #[test]
    fn a_group_is_looked_at_shortly_before_something_begins() {
        let soon = Decision { wake_at: Some(at(10)), ..Decision::default() };
        assert!(looks(&soon, MachineState::Stopped, 11));
        assert!(!looks(&soon, MachineState::Stopped, 10));
        let later = Decision { wake_at: Some(at(11)), ..Decision::default() };
        assert!(!looks(&later, MachineState::Stopped, 11));
    }

    #[test]
    fn what_was_sent_and_has_not_shown_is_looked_for() {
        let mut attempts = Attempts::default();
        attempts.succeeded("i-1", Action::Start, at(-2));
        let stopped = machine(MachineState::Stopped);
        let look = |attempts: &Attempts| {
            must_observe(&Decision::default(), (&stopped, at(-1)), attempts, &settings(), at(0))
        };
        assert!(look(&attempts));
        assert!(!look(&Attempts::default()));
        // even if it was refused, because nobody knows whether it was
        let mut attempts = Attempts::default();
        let backoff = booking_decision::Backoff { base: Duration::from_mins(1), cap: Duration::from_mins(1) };
        attempts.failed("i-1", Action::Start, at(0), "no answer".into(), backoff);
        assert!(look(&attempts));
        // and so is what is about to be forgotten
        let forgets =
            Decision { hints: Hints { forgets_locks: true, ..Hints::default() }, ..Decision::default() };
        assert!(looks(&forgets, MachineState::Stopped, 0));
    }

    #[test]
    fn starts_go_first_if_they_rest_on_what_is_stored_and_was_seen_a_moment_ago() {
        let start = |starts_first| Decision {
            hints: Hints { starts_first, ..Hints::default() },
            ..calls(Call::Start(vec!["i-1".into()]))
        };
        let may = |decision: &Decision, age: i64, attempts: &Attempts| {
            may_start_first(decision, at(-age), attempts, at(0))
        };
        let none = Attempts::default();
        assert!(may(&start(true), 15, &none));
        assert!(
            !may(&start(false), 1, &none) && !may(&start(true), 16, &none) && !may(&start(true), -1, &none)
        );
        assert!(!may(&Decision { finalizer: Finalizer::Add, ..start(true) }, 1, &none));
        let mut sent = Attempts::default();
        sent.succeeded("i-1", Action::Start, at(-5));
        assert!(!may(&start(true), 10, &sent) && !may(&start(true), 4, &sent), "it came to nothing once");
        let mut other = Attempts::default();
        other.succeeded("i-2", Action::Start, at(-5));
        assert!(!may(&start(true), 10, &other) && may(&start(true), 4, &other));
    }
}
