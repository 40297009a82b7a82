//! The scenarios. Each says what it does, what it promises, and where the bound comes from.

mod churn;
mod due_at_once;
mod fat;
mod isolation;
mod life;
mod limit;
pub(crate) mod memory;
pub(crate) mod scaleout;
mod steady;

use crate::{
    Failure,
    args::{Args, Scenario},
    report::Outcome,
};

/// Runs a scenario in a world of its own.
pub(crate) async fn run(scenario: Scenario, args: &Args) -> Result<Outcome, Failure> {
    match scenario {
        Scenario::DueAtOnce => due_at_once::run(args).await,
        Scenario::Limit => limit::run(args),
        Scenario::Steady => steady::run(args).await,
        Scenario::Life => life::run(args).await,
        Scenario::Churn => churn::run(args).await,
        Scenario::Memory => memory::run(args).await,
        Scenario::Fat => fat::run(args).await,
        Scenario::Scaleout => scaleout::run(args).await,
        Scenario::Isolation => isolation::run(args).await,
    }
}
