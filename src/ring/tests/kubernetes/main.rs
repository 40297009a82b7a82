//! The ring's driver on a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, their helpers too"
)]

mod beside;
mod common;
mod live;
mod policy;
mod requests;
mod rules;
mod without_crd;
