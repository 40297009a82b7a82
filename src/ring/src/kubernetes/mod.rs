//! The ring on a real cluster: member and leader are Leases, the ring is an object of kind `Ring`
//! ([`crd`]).
//!
//! | module | what it does | asks the cluster |
//! |---|---|---|
//! | [`at_work()`] | whether workers are there, for a dry run | yes |
//! | `neighbours` | lists members of other rings | yes |
//! | [`crd`] | the kind and the policy that guards it | no |
//! | [`convert`] | objects to records and back | no |
//! | [`requests`] | carries out each request once | yes |
//! | [`watch`] | turns watches into events | yes |
//! | [`clocks`] | reads the clocks | no |
//! | [`run`] | the loop that hosts the state machine | through the others |
//! | [`handle`] | what the rest of the process sees of it | no |
//! | [`telemetry`] | metrics, log lines, Events | Events only |

pub mod at_work;
pub mod clocks;
pub mod convert;
pub mod crd;
pub mod handle;
pub mod names;
mod neighbours;
mod pods;
pub mod ranges;
pub mod requests;
pub mod run;
pub mod telemetry;
pub mod watch;

pub use at_work::{AtWorkError, at_work};
pub use handle::{CallGuard, Change, Changes, RingHandle};
pub use run::{ConfigError, RingConfig, start};
pub use telemetry::reference;
