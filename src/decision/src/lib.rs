//! What the decisions of every family are made of: pure values, no client, no clock.
//!
//! A *decision* is a pure function of objects, observations and the time. Its answer says what to write, what to
//! call, what to tell people and when to decide again. This crate holds the parts that all decisions share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`condition`] | conditions, rewritten only when they say something new |
//! | [`wake`] | the instant at which a decision must be made again |
//! | [`backoff`] | waiting times that double |
//! | [`names`] | names of objects that are made of other texts |
//! | [`meta`] | what is read of an object's metadata |
//! | [`text`] | what a text in a spec may hold |
//! | [`spec`] | what is wrong with a spec |
//! | [`note`] | what people are told, as Events |
//! | [`delivery`] | what became of something that was sent |
//! | [`permit`] | whether an effect may still happen |
//! | [`impossible`] | how the program reports what cannot happen |
//! | [`injected_bugs`] | the switch for bugs that tests of the checkers put in |

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
