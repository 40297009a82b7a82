//! The operator's own token buckets in the simulation: one [`ActionBudget`] for each action of a process.
//!
//! The buckets have the sizes that EC2 documents, so requests of a handful of groups wait only after many starts.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use booking_budget::{Action, ActionBudget, Ask, Verdict, limits};
use bookings::decide::groups::{output::Call, priority::CallPriority};

use crate::Micros;

/// The token buckets of one process.
#[derive(Debug)]
pub(super) struct Budgets {
    /// The instant at which its monotonic clock showed 0. Only differences to it count.
    origin: Instant,
    by_action: BTreeMap<Action, ActionBudget>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { origin: Instant::now(), by_action: BTreeMap::new() }
    }
}

impl Budgets {
    /// Asks for the tokens of a call. Leaves in the call the machines that go now, and gives the others with the time
    /// until their turn.
    pub(super) fn admit(
        &mut self,
        call: &mut Call,
        (key, priority): (&str, &CallPriority),
        mono: Micros,
    ) -> Vec<(String, Duration)> {
        let asker = call.asker(key);
        let machines = call.ids().len();
        let ask = Ask { asker: Arc::from(asker), priority: priority.into(), machines, kind: 0 };
        let (budget, now) = self.budget(call, mono);
        let (goes, wait) = match budget.admit(std::slice::from_ref(&ask), now).first() {
            Some(Verdict::Go(machines)) => (*machines, Duration::ZERO),
            Some(Verdict::Wait(wait)) => (0, *wait),
            None => (0, Duration::ZERO),
        };
        let later = call.ids_mut().split_off(goes.min(machines));
        later.into_iter().map(|machine| (machine, wait)).collect()
    }

    /// The cloud has throttled a call.
    pub(super) fn throttled(&mut self, call: &Call, mono: Micros) {
        let (budget, now) = self.budget(call, mono);
        budget.throttled(now);
    }

    fn budget(&mut self, call: &Call, mono: Micros) -> (&mut ActionBudget, Instant) {
        let action = match call {
            Call::Start(_) => Action::Start,
            Call::Stop(_) => Action::Stop,
            Call::Lock(..) => Action::Tag,
            Call::Unlock(..) => Action::Untag,
        };
        let now = self.origin + Duration::from_micros(mono);
        let budget =
            self.by_action.entry(action).or_insert_with(|| ActionBudget::new(limits("ec2", action), now));
        (budget, now)
    }
}
