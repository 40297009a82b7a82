//! Leave to mutate.

use std::time::Duration;

/// Leave to mutate, as a value that is asked at the moment of each call, not when the work began.
/// Whoever owns the work implements it.
pub trait Permit: Send + Sync {
    /// Begins a call. It must go out now, and its reply must be reported: until then the work cannot be
    /// handed to anybody else.
    ///
    /// # Errors
    /// [`PermitLapsed`] when it must not go out.
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed>;

    /// Longest time that a call may take, all its attempts together: whoever takes the work over waits
    /// as long.
    fn call_timeout(&self) -> Duration;
}

/// A call under way. One that is dropped without a reply counts as under way until its time-out, for the
/// other side may still be at it.
#[must_use = "a call that is dropped counts as running until its time-out"]
pub trait RunningCall: Send {
    /// The other side has replied: the call is over.
    fn replied(self: Box<Self>);
}

/// The permit has run out: somebody else may own the work by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the permit to mutate has run out")]
pub struct PermitLapsed;

/// Time of a call that nobody waits for.
pub const UNLIMITED_CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// The permit of a process that shares its work with nobody.
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
