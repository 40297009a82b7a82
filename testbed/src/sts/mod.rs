//! A simulated STS beside the simulated EC2. It has the same port, clock, call log, faults, throttling and accounts.
//!
//! `AssumeRole` gives credentials, and calls with them belong to the account of the role until they expire. They expire
//! by the machine's wall clock, even if the simulator's clock is virtual, because SDKs compare the expiration with it.
//! The administrator says which roles are trusted, and with which external id. Any caller may assume those. The
//! signature and the session token of a call are not checked.
//!
//! Simulated: `AssumeRole`, `GetCallerIdentity`.

mod admin;
mod handle;
mod roles;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use admin::routes;
pub(crate) use roles::{Answer, Roles};
pub(crate) use wire::{API_VERSION, NAMESPACE, Request, is_action, read, render};
