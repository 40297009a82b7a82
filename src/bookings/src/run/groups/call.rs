//! Sends the calls of a decision to the cloud, with a permit.

use std::sync::Arc;

use booking_budget::Rank;
use booking_calendar::instant::{after, elapsed};
use booking_cloud::{Dispatcher, ErrorClass, Mutation, Request, Results, Tag};
use booking_decision::Permit;
use booking_runtime::Key;
use jiff::Timestamp;

use crate::{
    api::Lock,
    decide::groups::{
        attempts::{Action, Attempts},
        machine::{TAG_LOCKED_BY, TAG_LOCKED_UNTIL},
        output::Call,
        priority::CallPriority,
    },
    run::{lateness, observe::backoff},
};

/// The result of a call.
#[derive(Debug)]
pub struct CallReport {
    /// What was sent to each machine.
    action: Action,
    /// One result per machine.
    results: Results,
}

/// Sends one call. The dispatcher joins it with calls of other keys.
pub async fn send(
    cloud: &Dispatcher,
    key: &Key,
    permit: &Arc<dyn Permit>,
    (call, priority): (&Call, &CallPriority),
) -> CallReport {
    let mutation = match call {
        Call::Start(_) => Mutation::Start,
        Call::Stop(_) => Mutation::Stop,
        Call::Lock(lock, _) => Mutation::Tag(tags(lock).into()),
        Call::Unlock(lock, _) => Mutation::Untag(tags(lock).into()),
    };
    let asker = call.asker(&key.to_string()).into();
    let request = Request {
        mutation,
        ids: call.ids().to_vec(),
        asker,
        priority: priority.into(),
        permit: permit.clone(),
    };
    CallReport { action: call.action(), results: cloud.mutate(request).await }
}

/// The tags that make a lock.
pub fn tags(lock: &Lock) -> [Tag; 2] {
    [(TAG_LOCKED_BY.to_owned(), lock.user.clone()), (TAG_LOCKED_UNTIL.to_owned(), lock.until.clone())]
}

impl CallReport {
    /// Whether the cloud accepted the call, and had accepted this action for none of the machines before.
    fn is_first(&self, attempts: &Attempts) -> bool {
        let taken = self.results.iter().filter(|(_, result)| result.is_ok());
        let mut before = taken.map(|(id, _)| attempts.was_taken(id, &self.action)).peekable();
        before.peek().is_some() && !before.any(|before| before)
    }

    /// Remembers what was sent, and logs it: one line per call, and one line per machine that failed.
    pub fn record(self, key: &Key, attempts: &mut Attempts, priority: &CallPriority, now: Timestamp) {
        let verb = verb(&self.action);
        let done = self.results.values().filter(|result| result.is_ok()).count();
        if self.is_first(attempts) && priority.rank == Rank::Due {
            lateness::sent(&self.action, elapsed(priority.due, now));
        }
        if done > 0 {
            tracing::info!(%key, verb, machines = done, "sent");
        }
        for (id, result) in self.results {
            match result {
                Ok(()) => attempts.succeeded(&id, self.action.clone(), now),
                // Nothing was sent. The replica that owns the group now will send it.
                Err(error) if error.class == ErrorClass::PermitLapsed => {
                    tracing::warn!(%key, verb, machine = id, "not sent: {error}");
                }
                Err(error) if error.class == ErrorClass::Queued => {
                    let turn = after(now, error.retry_after.unwrap_or_default());
                    attempts.queued(&id, self.action.clone(), now, turn);
                }
                Err(error) => {
                    tracing::warn!(%key, verb, machine = id, class = error.class.as_str(), "{error}");
                    attempts.failed(&id, self.action.clone(), now, error.to_string(), backoff(&error));
                }
            }
        }
    }
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Lock(_) => "lock",
        Action::Unlock(_) => "unlock",
    }
}
