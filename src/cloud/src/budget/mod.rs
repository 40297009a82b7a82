//! What clouds let an account do, as far as we know: token buckets by account, region and action, and the order in
//! which those who want tokens get them. Pure: `now` is an argument of everything.
//!
//! | module | what is there |
//! |---|---|
//! | [`mod@limits`] | the documented sizes |
//! | [`bucket`] | one bucket, our share of it, and what throttling teaches |
//! | [`turns`] | who is next |
//! | [`share`] | which part of a budget is whose |
//! | [`lane`] | one action: who may go now, in which calls, and when the others may |

pub mod bucket;
pub mod lane;
pub mod limits;
pub mod share;
pub mod turns;

pub use bucket::{Bucket, Rate as BucketRate};
pub use lane::{Ask, Expected, Lane, MACHINES_PER_CALL, Verdict};
pub use limits::{Action, FORESEEN, Limits, limits, plenty};
pub use turns::{Rank, Turn, Turns};
