//! The decision, told as stories: a Resource, its Bookings, a cloud, and what must come of them.
//! One binary, so that it links once.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod build;
mod cloud;
mod stage;

mod adoption_grace;
mod ahead;
mod blocked;
mod databases;
mod deletion;
mod driving;
mod dry_run;
mod grants;
mod holder;
mod locks;
mod notices;
mod properties;
mod robustness;
mod statuses;
mod take_over;
mod wake;
