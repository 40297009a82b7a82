//! Errors.

/// Why a scenario cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
