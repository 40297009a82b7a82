//! What the operator tells about itself: logs, metrics, probes.

pub mod gauges;
pub mod lateness;
pub mod log;
pub mod metered;
pub mod metrics;
pub mod probes;
