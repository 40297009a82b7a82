//! The decision about a group of machines. The modules are listed in the order in which [`decide`] uses them.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`input`] | What does a decision depend on? |
//! | [`booking`] | What does a stored Booking mean, or what is wrong with it? |
//! | [`group`] | What does a stored Resource mean, or what is wrong with it? |
//! | [`claim`] | Which of several Resources on one group acts? |
//! | [`grant`] | Which window is each Booking granted? |
//! | [`hold`] | Who holds the group now, and which locks are ours? |
//! | [`prelock`] | Is the group locked before its window? |
//! | [`instance`] | What is a machine, as it was observed? |
//! | [`machines`] | What does each machine need? |
//! | [`attempts`] | What did this process send to each machine, and when may it send again? |
//! | [`freshness`] | Is the last observation young enough? |
//! | [`progress`] | How far is the group, in words for its conditions? |
//! | `status` | Which statuses are written? |
//! | `events` | Which Events are published? |
//! | [`notices`] | Who is told what, once? |
//! | `release` | May the Resource go? |
//! | `publish` | How do statuses, Events and calls become the answer? |
//! | [`output`] | What is the answer? |

pub mod attempts;
pub mod booking;
pub mod claim;
pub(crate) mod events;
pub mod freshness;
pub mod grant;
pub mod group;
pub mod hold;
pub mod input;
pub mod instance;
pub mod machines;
pub mod notices;
pub mod output;
mod pass;
pub mod prelock;
pub mod progress;
mod publish;
mod release;
mod status;

pub use self::pass::decide;
