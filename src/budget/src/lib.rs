//! The calls that EC2 and RDS let an account make, as far as they are known: token buckets by account, region and
//! action, and the order in which requests get the tokens.
//!
//! Everything here is pure. Each method that depends on time takes `now` as an argument, nothing reads a clock, and
//! the same calls with the same arguments give the same answers. So a simulation can run the same code as the
//! operator.
//!
//! | module | what is there |
//! |---|---|
//! | [`mod@limits`] | the sizes of the buckets |
//! | [`bucket`] | one bucket, this replica's share of it, and how it slows down when the cloud throttles |
//! | [`share`] | the part of a bucket that each replica gets |
//! | [`priority`] | where a request stands among others |
//! | `queue` | the requests that wait, in their order |
//! | [`forecast`] | the requests that will come soon |
//! | [`action_budget`] | the budget of one action: which requests go now, in which calls, and when the others may |

pub mod action_budget;
pub mod bucket;
pub mod forecast;
pub mod limits;
pub mod priority;
mod queue;
pub mod share;

pub use action_budget::{ActionBudget, Ask, MACHINES_PER_CALL, Verdict};
pub use bucket::{Bucket, Rate};
pub use forecast::{Expected, FORESEEN};
pub use limits::{Action, Limits, limits, plenty};
pub use priority::{Priority, Rank};
