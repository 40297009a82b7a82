//! The effect gate: all writes to the API server pass through it, including Events and the records of deliveries. It
//! asks the permit immediately before each write, limits how many writes run at once and how long each takes, and
//! counts them.

use std::sync::Arc;

use booking_decision::Permit;
use tokio::{sync::Semaphore, time::Instant};

use crate::write::WriteError;

/// How many writes to the API server run at once. More would slow it down for everybody.
pub const WRITES_AT_ONCE: usize = 32;

/// The gate for the effects of one key in one pass.
#[derive(Clone)]
pub struct EffectGate {
    permit: Arc<dyn Permit>,
    /// Shared by all passes.
    slots: Arc<Semaphore>,
}

impl EffectGate {
    /// Creates a gate that asks this permit. `slots` limits how many effects run at once.
    pub fn new(permit: Arc<dyn Permit>, slots: Arc<Semaphore>) -> Self {
        Self { permit, slots }
    }

    /// The permit, for effects on other systems. The cloud dispatcher asks it itself.
    pub fn permit(&self) -> &Arc<dyn Permit> {
        &self.permit
    }

    /// The same gate with other slots, so that one sort of effect does not wait for another.
    #[must_use]
    pub fn with_slots(&self, slots: &Arc<Semaphore>) -> Self {
        Self { permit: self.permit.clone(), slots: slots.clone() }
    }

    /// Sends a write if the permit still holds, and waits for its reply. `what` is a metric label.
    ///
    /// # Errors
    /// [`WriteError`] if the permit has run out, or if the write failed or had no reply in time.
    pub async fn send<T>(
        &self,
        what: &'static str,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        counted(what, self.permitted(write).await)
    }

    async fn permitted<T>(
        &self,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let _slot = self.slots.acquire().await;
        let call = self.permit.begin()?;
        let Ok(answer) = tokio::time::timeout(self.permit.call_timeout(), write).await else {
            return Err(WriteError::Timeout);
        };
        // If there is no reply, or only one from a proxy in between, the write may still be running.
        let is_over = match &answer {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => status.code < 500,
            Err(_) => false,
        };
        if is_over {
            call.replied();
        }
        classified(answer)
    }
}

/// The gate for a write that is part of a running call: the record of a delivery. The running call keeps the key with
/// this replica until `until`, so the permit is not asked again.
#[derive(Clone, Debug)]
pub struct PartGate {
    slots: Arc<Semaphore>,
    until: Instant,
}

impl PartGate {
    pub(crate) fn new(slots: Arc<Semaphore>, until: Instant) -> Self {
        Self { slots, until }
    }

    /// Sends a write that must end before the call does, and waits for its reply.
    ///
    /// # Errors
    /// [`WriteError`] if the write failed or had no reply in time.
    pub async fn send<T>(
        &self,
        what: &'static str,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let within = async {
            let _slot = self.slots.acquire().await;
            // A time-out polls once before it looks at the clock.
            if Instant::now() >= self.until {
                return Err(WriteError::Timeout);
            }
            classified(write.await)
        };
        let answer = tokio::time::timeout_at(self.until, within).await.unwrap_or(Err(WriteError::Timeout));
        counted(what, answer)
    }
}

fn classified<T>(answer: Result<T, kube::Error>) -> Result<T, WriteError> {
    match answer {
        // 404: the object is gone, so the compare-and-swap has failed.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(WriteError::Conflict),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 413 | 422) => {
            Err(WriteError::Refused(status.message))
        }
        answer => answer.map_err(WriteError::from),
    }
}

fn counted<T>(what: &'static str, answer: Result<T, WriteError>) -> Result<T, WriteError> {
    let outcome = answer.as_ref().map_or_else(WriteError::category, |_| "ok");
    metrics::counter!("booking_operator_api_writes_total", "write" => what, "outcome" => outcome)
        .increment(1);
    answer
}
