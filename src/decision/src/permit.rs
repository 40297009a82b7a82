//! The permit to begin effects.

use std::time::Duration;

/// The permit to begin effects. Each effect asks it immediately before it begins, not when the pass began. The part
/// that owns the work implements it.
pub trait Permit: Send + Sync {
    /// Begins a call. The caller must send it now and must report its reply. Until then the work is not handed to
    /// another replica.
    ///
    /// # Errors
    /// [`PermitLapsed`] if the call must not be sent.
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed>;

    /// The longest time that a call may take, with all its attempts. A replica that takes over the work waits as
    /// long.
    fn call_timeout(&self) -> Duration;
}

/// A running call. If it is dropped without a reply, it counts as running until its time-out, because the other side
/// may still be working on it.
#[must_use = "a call that is dropped counts as running until its time-out"]
pub trait RunningCall: Send {
    /// Reports that the other side has replied, so the call is over.
    fn replied(self: Box<Self>);
}

/// The permit has run out. Another replica may own the work by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the permit to mutate has run out")]
pub struct PermitLapsed;

/// The time limit of a call for which no other replica waits.
pub const UNLIMITED_CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// The permit of a process that shares its work with no other process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Permit for Unlimited {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        Ok(Box::new(Self))
    }

    fn call_timeout(&self) -> Duration {
        UNLIMITED_CALL_TIMEOUT
    }
}

impl RunningCall for Unlimited {
    fn replied(self: Box<Self>) {}
}
