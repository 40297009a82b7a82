//! What the provider makes of everything that can go wrong, on the EC2 simulator.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy's exception for tests does not reach their helper functions"
)]

mod common;
mod faults {
    mod cloud;
    mod codes;
    mod connections;
    mod credentials;
    mod isolation;
    mod permits;
}
