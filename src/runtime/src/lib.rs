//! The runtime: a controller for any kinds. It knows no kind itself. Families register the kinds that they work on.
//!
//! ```text
//! watch -> store -> queue -> pass (a family's controller) -> effects through the gate -> sleep until wake_at
//! ```
//!
//! | module | what it does | touches |
//! |---|---|---|
//! | [`key`] | the unit of work | - |
//! | [`queue`] | keys that are due now or at an instant | - |
//! | [`controller`] | the interface: what a family provides, what a pass gets | - |
//! | [`store`] | objects by kind, with indexes, own writes included | - |
//! | [`watch`] | keeps the store current: list, watch, catch up | API server |
//! | [`ownership`] | decides which keys this replica owns, and issues permits | API server |
//! | [`gate`] | the effect gate for writes to the API server | - |
//! | [`mod@write`] | statuses, patches, creations, deletions: compare-and-swap | API server |
//! | [`events`] | Events | API server |
//! | [`outbox`] | mail and webhooks, outside of passes | mail servers, receivers |
//! | [`run`] | the pass loop: permits, memory, back-off, panics | - |
//! | [`process`] | start, readiness and stop of a process | API server |
//! | [`probes`] | `/livez`, `/readyz` and `/metrics` | HTTP |
//! | [`clock`] | the time | - |
//!
//! Without the feature `io` only [`key`] and [`queue`] exist. They are pure code that a simulation can run.

pub mod key;
pub mod queue;

#[cfg(feature = "io")]
pub mod clock;
#[cfg(feature = "io")]
pub mod controller;
#[cfg(feature = "io")]
pub mod events;
#[cfg(feature = "io")]
pub mod gate;
#[cfg(feature = "io")]
pub mod outbox;
#[cfg(feature = "io")]
pub mod ownership;
#[cfg(feature = "io")]
pub mod probes;
#[cfg(feature = "io")]
pub mod process;
#[cfg(feature = "io")]
pub mod run;
#[cfg(feature = "io")]
pub mod store;
#[cfg(feature = "io")]
pub mod watch;
#[cfg(feature = "io")]
pub mod write;

pub use key::Key;
