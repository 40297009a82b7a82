//! The priority of a request among others.

use std::{sync::Arc, time::SystemTime};

/// The reason of a request. Within an action, `Due` goes before `Repair`, and `Repair` before `Upcoming`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Something has fallen due.
    #[default]
    Due,
    /// Something has to be put right.
    Repair,
    /// Something will fall due.
    Upcoming,
}

/// The priority of a request among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The reason of the request.
    pub rank: Rank,
    /// The time at which the request fell due, or will.
    pub due: SystemTime,
    /// The user whom the request serves. Requests that fall due in the same second alternate between users.
    pub user: Arc<str>,
}
