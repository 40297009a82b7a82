//! The life of a booking and what can happen to it, on a real API server and a simulated EC2.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod bad_input;
mod bookings;
mod groups;
mod monitors;
mod notifications;
mod original;
mod schedulers;
