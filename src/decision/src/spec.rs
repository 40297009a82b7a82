//! What is wrong with a spec.

/// What is wrong with a spec: the field, its value, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field}: {problem}")]
pub struct InvalidSpec {
    /// Dotted path below `spec`.
    pub field: &'static str,
    /// The value, and what is allowed.
    pub problem: String,
}

impl InvalidSpec {
    /// Creates it from a field and what is wrong with it.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}
