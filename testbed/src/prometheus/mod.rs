//! A real Prometheus: its programs, a server that scrapes, and the kinds of its operator.

mod crds;
mod programs;
mod server;

pub use crds::crds;
pub use programs::program;
pub use server::{Prometheus, Target};
