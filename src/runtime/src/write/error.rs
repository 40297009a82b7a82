//! Why a write failed.

use booking_decision::PermitLapsed;

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object has changed or is gone. Decide again from its present state.
    #[error("changed meanwhile")]
    Conflict,
    /// No answer arrived in time. The write may have taken effect.
    #[error("no answer in time")]
    Timeout,
    /// Another replica may own the object's key by now. Nothing was sent.
    #[error(transparent)]
    PermitLapsed(#[from] PermitLapsed),
    /// The API server refused this change of this object. It will refuse it again.
    #[error("refused: {0}")]
    Refused(String),
    /// The API server failed or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl WriteError {
    /// A stable word, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::PermitLapsed(_) => "permit_lapsed",
            Self::Refused(_) => "refused",
            Self::Api(_) => "api",
        }
    }
}
