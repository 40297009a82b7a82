//! The booking operator: the binary that runs families of kinds.
//!
//! | module | what it does |
//! |---|---|
//! | [`app`] | wires the process: the one file that names every part |
//! | [`families`] | the families that this binary has |
//! | [`args`] | command line and environment, turned once into a validated [`args::Config`] |
//! | [`crds`] | prints the CRDs |
//! | [`ring_membership`] | the process's part in the ring |
//! | [`telemetry`] | logs and metrics |

pub mod app;
pub mod args;
pub mod crds;
pub mod families;
pub mod ring_membership;
pub mod telemetry;
