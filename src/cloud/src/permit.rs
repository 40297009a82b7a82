//! Leave to mutate.

use std::time::Duration;

/// Leave to mutate, as a value that is asked at the moment of each call, not when the work began.
/// Whoever owns the work implements it.
pub trait Permit: Send + Sync {
    /// Whether a call that may take as long as `call_timeout` may go out now.
    ///
    /// # Errors
    /// [`PermitLapsed`] when it may not.
    fn check(&self, call_timeout: Duration) -> Result<(), PermitLapsed>;
}

/// The permit has run out: somebody else may own the work by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the permit to mutate has run out")]
pub struct PermitLapsed;

/// The permit of a process that shares its work with nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Permit for Unlimited {
    fn check(&self, _: Duration) -> Result<(), PermitLapsed> {
        Ok(())
    }
}
