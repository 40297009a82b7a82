//! Why the program cannot go on.

/// Any error, told as it is.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
