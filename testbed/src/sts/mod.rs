//! A simulated STS beside the simulated EC2: the same port, clock, call log, faults, throttling and accounts.
//!
//! `AssumeRole` gives credentials whose calls belong to the account of the role, until they expire: by the machine's
//! wall clock, also where the simulator's clock is virtual, because SDKs compare the expiration with it. The
//! administrator says which roles are trusted, and with which external id; any caller may assume those. Neither the
//! signature nor the session token of a call is checked.
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
