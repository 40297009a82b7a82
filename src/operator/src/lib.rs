//! The booking operator: the binary that runs the families.
//!
//! | module | what it does |
//! |---|---|
//! | [`app`] | builds the process from its parts; the only file that names every part |
//! | [`families`] | the families in this binary |
//! | [`args`] | turns the command line and the environment into a validated [`args::Config`] |
//! | [`crds`] | prints the CRDs |
//! | [`ring_membership`] | how the process takes part in the ring |
//! | [`telemetry`] | logs and metrics |

pub mod app;
pub mod args;
pub mod crds;
pub mod families;
pub mod ring_membership;
pub mod telemetry;
