//! Tests of the decision, written as stories: a Resource, its Bookings, a cloud, and the expected result. They are
//! one binary, so that it is linked once.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod build;
mod cloud;
mod stage;

mod adoption_grace;
mod blocked;
mod databases;
mod deletion;
mod driving;
mod dry_run;
mod grants;
mod holder;
mod locks;
mod notices;
mod prelocks;
mod properties;
mod robustness;
mod statuses;
mod take_over;
mod wake;
