//! Errors.

/// Any error that ends the program. It is printed unchanged.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
