//! What callers of the dispatcher ask for, and what they learn from it.

use std::sync::Arc;

use booking_budget::Priority;

use crate::provider::Mutation;
use booking_decision::permit::Permit;

/// Whether somebody waits for the answer of a describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Something is due: the describe goes out soon.
    Due,
    /// The describe may wait until others join it.
    Patient,
}

/// A request for a mutation.
#[derive(Clone)]
pub struct Request {
    /// The mutation.
    pub mutation: Mutation,
    /// The machines.
    pub ids: Vec<String>,
    /// The requester. A request that comes again after it was told to wait has the same asker.
    pub asker: Arc<str>,
    /// The priority of the request among others.
    pub priority: Priority,
    /// The permit, asked when the call goes out.
    pub permit: Arc<dyn Permit>,
}

/// The state of this replica's share of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetLevel {
    /// The machines that wait for tokens, or are announced. If machines cost nothing, the calls that wait.
    pub demand: usize,
    /// How full the share is, from 0 to 1.
    pub fill: f64,
}
