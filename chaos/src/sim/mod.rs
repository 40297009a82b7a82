//! The simulation. Replicas with the real state machine of the ring and the real decisions run against a model API
//! server and a model cloud, in virtual time. The same seed always gives the same run.
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | the plan of a run: replicas, groups, Bookings, faults, noise |
//! | [`world`], [`event`] | the whole state of a run, and one event after the other |
//! | [`messages`] | the messages between processes, the API server and the cloud |
//! | [`store`], [`server`], [`watch`] | the API server: objects, requests, watches |
//! | [`cloud`] | machines and their tags |
//! | [`process`], [`host`], [`clock`] | replicas: clocks, standstills, the member of the ring |
//! | [`controller`], [`keys`], [`pass`], [`cache`] | replicas: what the operator does with the slots that it owns |
//! | `steps` | the effects of a pass, one by one |
//! | `budgets` | the operator's own token buckets |
//! | [`inject`], [`users`] | faults and users |
//! | [`audit`], [`known`], [`verdict`] | checks against the truth, in addition to the checker of calls |
//! | [`runner`], [`shrink`], [`injected_bugs`] | many runs, the reduction of a failing one, injected bugs |
//!
//! The model is at least as unkind as reality: every message may be late, lost, or doubled if the real one may. It
//! leaves out objects that cannot be decoded, credentials, and other namespaces.

pub mod audit;
mod budgets;
pub mod cache;
pub mod clock;
pub mod cloud;
pub mod controller;
pub mod dice;
pub mod event;
pub mod host;
pub mod inject;
pub mod injected_bugs;
pub mod keys;
pub mod known;
pub mod messages;
pub mod pass;
pub mod plan;
pub mod process;
pub mod queue;
pub mod runner;
pub mod server;
pub mod shrink;
pub mod stats;
mod steps;
pub mod store;
#[cfg(test)]
mod tests;
pub mod users;
pub mod verdict;
pub mod watch;
pub mod world;
