//! The booking operator: what runs the decisions of the families against a cluster and a cloud.
//!
//! | module | what is there |
//! |---|---|
//! | [`app`] | the one file that names every part and wires them |
//! | [`args`] | command line and environment, turned once into a validated [`args::Config`] |
//! | [`clock`] | the time |
//! | [`controller`] | watch, queue, pass |
//! | [`original`] | whether the original operator is still at work |
//! | [`crds`] | the CRDs: printed, and waited for |
//! | [`share`] | a process's share of the work |
//! | [`telemetry`] | logs, metrics, probes |

pub mod app;
pub mod args;
mod budgets;
pub mod clock;
pub mod clouds;
pub mod controller;
pub mod crds;
pub mod notify;
pub mod original;
pub mod places;
pub mod share;
pub mod telemetry;
