//! The work queue: keys that are due now, and keys that are due at an instant.

mod order;
#[cfg(feature = "io")]
mod wait;

pub use order::KeyOrder;
#[cfg(feature = "io")]
pub use wait::WorkQueue;
