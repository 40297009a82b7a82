//! How the API server treats our CRDs: what it accepts, what it refuses and with which words, and what kubectl shows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's exception for tests does not reach their helper functions"
)]

mod cases;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod crds;
mod fields;
mod instants;
mod kubectl;
