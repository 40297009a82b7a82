//! How many calls of each action a cloud lets an account make in a region.
//!
//! EC2: "Request throttling for the Amazon EC2 API" in its developer guide, tables of request and resource token
//! buckets. RDS documents no limits: the numbers here are a cautious guess.

use crate::{bucket::Rate, forecast::FORESEEN};

/// The kinds of calls that have a budget of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// A call that describes machines.
    Describe,
    /// A call that starts machines.
    Start,
    /// A call that stops machines.
    Stop,
    /// A call that sets tags.
    Tag,
    /// A call that removes tags.
    Untag,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 5] = [Self::Describe, Self::Start, Self::Stop, Self::Tag, Self::Untag];

    /// A stable word for metrics.
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
    /// Each call costs one token, however many machines it names. None: calls cost nothing.
    pub calls: Option<Rate>,
    /// Each machine costs one token. None: machines cost nothing.
    pub machines: Option<Rate>,
}

/// The number of calls of an action that an account can make within [`FORESEEN`], if its bucket is full to the part
/// `fill`, from 0 to 1. If calls cost nothing, it is the number of machines.
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
        // RDS needs one call for each database.
        ("rds", Action::Describe) => calls(100, 20),
        ("rds", _) => Limits { calls: None, machines: Some(Rate::new(50, 5)) },
        (_, Action::Describe) => calls(100, 20),
        (_, Action::Start) => Limits { machines: Some(Rate::new(1000, 2)), ..calls(5, 2) },
        (_, Action::Stop) => Limits { machines: Some(Rate::new(1000, 20)), ..calls(50, 5) },
        (_, Action::Tag | Action::Untag) => calls(100, 10),
    }
}
