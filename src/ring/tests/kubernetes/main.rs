//! The ring's driver on a real API server.

mod common;
mod live;
mod policy;
mod requests;
mod rules;
mod without_crd;
