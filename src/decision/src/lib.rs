//! The parts that the decisions of all families share: pure values, no client, no clock.
//!
//! A *decision* is a pure function of objects, observations and the time. Its result says what to write, what to
//! call, what to tell users, and when to decide again.
//!
//! | module | what it holds |
//! |---|---|
//! | [`condition`] | conditions, which are rewritten only if they change |
//! | [`wake`] | the instant at which a decision must be made again |
//! | [`backoff`] | waiting times that double |
//! | [`names`] | names of objects that are made from other texts |
//! | [`meta`] | the fields of an object's metadata that are read |
//! | [`text`] | rules for texts in a spec |
//! | [`spec`] | what is wrong with a spec |
//! | [`note`] | what users are told, as Events |
//! | [`delivery`] | the result of sending something |
//! | [`permit`] | whether an effect may still happen |
//! | [`mod@impossible`] | reports what cannot happen |
//! | [`injected_bugs`] | the switch for injected bugs, with which the checkers are tested |

pub mod backoff;
pub mod condition;
pub mod delivery;
pub mod impossible;
pub mod injected_bugs;
pub mod meta;
pub mod names;
pub mod note;
pub mod permit;
pub mod spec;
pub mod text;
pub mod wake;

pub use backoff::Backoff;
pub use delivery::Delivery;
pub use impossible::impossible;
pub use note::{EventType, Note};
pub use permit::{Permit, PermitLapsed, RunningCall, Unlimited};
pub use spec::InvalidSpec;
