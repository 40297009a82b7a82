//! The operator's logs and metrics.

pub mod log;
pub mod metrics;
