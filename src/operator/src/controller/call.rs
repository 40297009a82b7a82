//! Mutations: a decision's calls, sent to the cloud with a permit.

use booking_api::Lock;
use booking_cloud::{ErrorClass, Permit, Provider, Results, Tag};
use booking_core::{
    Action, Attempts, Call,
    instance::{TAG_LOCKED_BY, TAG_LOCKED_UNTIL},
};
use jiff::Timestamp;

use super::{Key, observe::backoff};

/// What came of a call.
#[derive(Debug)]
pub struct Outcome {
    /// What was done to each machine.
    action: Action,
    /// One result per machine.
    results: Results,
}

/// Sends one call.
pub async fn send(provider: &dyn Provider, permit: &dyn Permit, call: &Call) -> Outcome {
    match call {
        Call::Start(ids) => Outcome { action: Action::Start, results: provider.start(permit, ids).await },
        Call::Stop(ids) => Outcome { action: Action::Stop, results: provider.stop(permit, ids).await },
        Call::Lock(lock, ids) => Outcome {
            action: Action::Lock(lock.clone()),
            results: provider.tag(permit, ids, &tags(lock)).await,
        },
        Call::Unlock(lock, ids) => Outcome {
            action: Action::Unlock(lock.clone()),
            results: provider.untag(permit, ids, &tags(lock)).await,
        },
    }
}

fn tags(lock: &Lock) -> [Tag; 2] {
    [(TAG_LOCKED_BY.to_owned(), lock.user.clone()), (TAG_LOCKED_UNTIL.to_owned(), lock.until.clone())]
}

impl Outcome {
    /// Remembers what was sent, and logs it: one line per call, one per machine that failed.
    pub fn record(self, key: &Key, attempts: &mut Attempts, now: Timestamp) {
        let verb = verb(&self.action);
        let done = self.results.values().filter(|result| result.is_ok()).count();
        if done > 0 {
            tracing::info!(%key, verb, machines = done, "sent");
        }
        for (id, result) in self.results {
            match result {
                Ok(()) => attempts.succeeded(&id, self.action.clone(), now),
                // Nothing was sent: whoever owns the group now will.
                Err(error) if error.class == ErrorClass::PermitLapsed => {
                    tracing::warn!(%key, verb, machine = id, "not sent: {error}");
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
