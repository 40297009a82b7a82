//! The conditions of the Resource in addition to Ready.

use crate::api::ResourceStatus;
use jiff::Timestamp;

use crate::decide::groups::{
    builder::DecisionBuilder,
    machines::{Goal, GroupSummary, MachineActions},
    progress,
};
use booking_calendar::instant;
use booking_decision::condition::Draft;

/// Reasons of the condition Unmanageable.
const OWNED_BY_OTHERS: &str = "OwnedByOthers";
const CANNOT_BE_STOPPED: &str = "CannotBeStopped";

impl DecisionBuilder<'_> {
    /// The conditions of the Resource in addition to Ready. While the group cannot be observed, the conditions of the
    /// last observation are kept. If they were dropped and came back, their Events would be published again.
    pub(crate) fn more_conditions(
        &self,
        old: &ResourceStatus,
        actions: Option<&MachineActions>,
        goal: &Goal,
        grace_end: Option<Timestamp>,
    ) -> Vec<Draft> {
        let mut more = Vec::new();
        if let Some(actions) = actions {
            more = seen_conditions(&actions.summary, grace_end);
        } else {
            let mut seen = vec![
                ("Unmanageable", OWNED_BY_OTHERS),
                ("Unmanageable", CANNOT_BE_STOPPED),
                ("LockMalformed", "LockMalformed"),
            ];
            if grace_end.is_some() {
                seen.insert(0, ("IdleStopPending", "AdoptionGrace"));
            }
            for (type_, reason) in seen {
                let stands = old.conditions.iter().find(|it| it.type_ == type_ && it.reason == reason);
                more.extend(stands.map(|known| Draft::new(type_, true, reason, known.message.clone())));
            }
        }
        if self.settings.dry_run {
            let calls = actions.map_or(0, |actions| actions.clone().into_calls(goal).len());
            let message = format!("decided, but not sent: calls of {calls} kinds");
            more.push(Draft::new("DryRun", true, "DryRun", message));
        }
        more
    }
}

fn seen_conditions(summary: &GroupSummary, grace_end: Option<Timestamp>) -> Vec<Draft> {
    let mut more = Vec::new();
    if let Some(end) = grace_end.filter(|_| summary.idle_running > 0) {
        let message = format!(
            "runs unbooked; stopped at {} unless booked, or when_idle is Keep",
            instant::seconds(end)
        );
        more.push(Draft::new("IdleStopPending", true, "AdoptionGrace", message));
    }
    if !summary.owned.is_empty() || !summary.unstoppable.is_empty() {
        let reason = if summary.owned.is_empty() { CANNOT_BE_STOPPED } else { OWNED_BY_OTHERS };
        more.push(Draft::new("Unmanageable", true, reason, progress::unmanageable(summary)));
    }
    if !summary.malformed.is_empty() {
        more.push(Draft::new("LockMalformed", true, "LockMalformed", progress::malformed(summary)));
    }
    more
}
