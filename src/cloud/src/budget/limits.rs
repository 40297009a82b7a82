//! How much of each action a cloud lets an account do in a region.
//!
//! EC2: "Request throttling for the Amazon EC2 API" in its developer guide, tables of request and resource token
//! buckets. RDS documents none; what is here is a judgement on the safe side.

use std::time::Duration;

use super::bucket::Rate;

/// What a call does, as far as its budget is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Describes machines.
    Describe,
    /// Starts them.
    Start,
    /// Stops them.
    Stop,
    /// Sets tags.
    Tag,
    /// Removes tags.
    Untag,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Describe, Self::Start, Self::Stop, Self::Tag, Self::Untag];

    /// A stable word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Tag => "tag",
            Self::Untag => "untag",
        }
    }
}

/// The buckets of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// One token for each call, however many machines it names.
    pub calls: Option<Rate>,
    /// One token for each machine.
    pub machines: Option<Rate>,
}

/// How far ahead it is foreseen what will be needed: whoever will start something says so at most so long before.
pub const FORESEEN: Duration = Duration::from_secs(15);

/// So many calls an account takes of an action in the time that is foreseen, if its bucket is so full, of 1.
pub fn plenty(service: &str, action: Action, fill: f64) -> f64 {
    let limits = limits(service, action);
    let within = |rate: Rate| rate.size * fill.clamp(0.0, 1.0) + rate.refill * FORESEEN.as_secs_f64();
    limits.calls.or(limits.machines).map_or(f64::INFINITY, within)
}

const fn calls(size: u32, refill: u32) -> Limits {
    Limits { calls: Some(Rate::new(size, refill)), machines: None }
}

/// The buckets of an action of a service, `ec2` or `rds`.
pub fn limits(service: &str, action: Action) -> Limits {
    match (service, action) {
        // RDS: one call for each database.
        ("rds", Action::Describe) => calls(100, 20),
        ("rds", _) => Limits { calls: None, machines: Some(Rate::new(50, 5)) },
        (_, Action::Describe) => calls(100, 20),
        (_, Action::Start) => Limits { machines: Some(Rate::new(1000, 2)), ..calls(5, 2) },
        (_, Action::Stop) => Limits { machines: Some(Rate::new(1000, 20)), ..calls(50, 5) },
        (_, Action::Tag | Action::Untag) => calls(100, 10),
    }
}
