//! What the provider does, on the EC2 simulator and on moto alike.
//!
//! If the two differ, the test says which of them EC2 agrees with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's exception for tests does not reach their helper functions"
)]

mod common;
mod suite;
