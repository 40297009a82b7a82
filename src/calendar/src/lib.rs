//! Time in texts and Kubernetes objects, as pure values without a clock.
//!
//! | module | what it holds |
//! |---|---|
//! | [`instant`] | RFC 3339 instants, and arithmetic that saturates |
//! | [`window`] | spans of time |
//! | [`cron`] | cron schedules as Kubernetes' CronJobs accept them |
//! | [`zone`] | names of time zones |

pub mod cron;
pub mod instant;
pub mod window;
pub mod zone;
