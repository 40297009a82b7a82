//! What `deploy/` installs, on an API server of its own: whether the server accepts it, whether the operator's rights
//! are exact, and who may do what.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, their helpers too"
)]

mod attacks;
mod cluster;
mod families;
mod iam;
mod manifests;
mod monitoring;
mod people;
mod rights;
