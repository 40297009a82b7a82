//! The ring on a real cluster. Members and the leader have Leases, and the ring is an object of the kind `Ring`
//! ([`crd`]).
//!
//! | module | what it does | asks the cluster |
//! |---|---|---|
//! | [`at_work()`] | for a dry run: whether there are workers | yes |
//! | `neighbours` | lists members of other rings | yes |
//! | [`crd`] | the kind `Ring`, and the policy that protects it | no |
//! | [`convert`] | turns objects into records and back | no |
//! | [`requests`] | carries out each request once | yes |
//! | [`watch`] | turns watches into events | yes |
//! | [`clocks`] | reads the clocks | no |
//! | [`run`] | the loop that runs the state machine | through the others |
//! | [`handle`] | the ring as the rest of the process sees it | no |
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
