//! The simulation: replicas with the real state machine of the ring and the real decisions, against a
//! model API server and a model cloud, in virtual time. One seed, one run, always the same.
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | what a run is to be: replicas, groups, Bookings, faults, noise |
//! | [`world`], [`event`] | everything that there is; one event after the other |
//! | [`messages`] | what goes between processes, the API server and the cloud |
//! | [`store`], [`server`], [`watch`] | the API server: objects, requests, watches |
//! | [`cloud`] | machines and their tags |
//! | [`process`], [`host`], [`clock`] | replicas: clocks, standstills, the member of the ring |
//! | [`controller`], [`keys`], [`pass`], [`cache`] | replicas: what the operator does with what the ring gives it |
//! | `budgets` | the operator's own token buckets |
//! | [`inject`], [`users`] | faults and users |
//! | [`audit`], [`known`], [`verdict`] | what is checked against the truth, beside the checker of calls |
//! | [`runner`], [`shrink`], [`is_injected`] | many runs, a failing one made small, bugs put in on purpose |
//!
//! What the model promises to be no kinder than: every message may be late, lost, or doubled where the
//! real one may; what it leaves out: objects that cannot be decoded, credentials, other namespaces.

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
pub mod store;
#[cfg(test)]
mod tests;
pub mod users;
pub mod verdict;
pub mod watch;
pub mod world;
