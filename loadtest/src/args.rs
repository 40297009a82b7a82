//! The command line.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures an operator of this API under load; exits with 1 where something is not as promised.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// What to measure, separated by commas; everything unless told.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Smaller numbers: some minutes instead of half an hour.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Operator processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) replicas: u8,
    /// Bookings that fall due at once; 1,000, or 100 with --quick.
    #[arg(long)]
    pub(crate) due: Option<usize>,
    /// Resources at rest; 10,000, or 500 with --quick (200 for memory).
    #[arg(long)]
    pub(crate) resources: Option<usize>,
    /// Bookings in memory; 100,000, or 2,000 with --quick.
    #[arg(long)]
    pub(crate) bookings: Option<usize>,
    /// How long rest and churn are measured, in seconds; 120 and 60, or 10 each with --quick.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// The operator to measure, a shell command; the one beside this program unless told. It finds in its environment
    /// KUBECONFIG, AWS_ENDPOINT_URL, AWS_REGION, credentials, METRICS_BIND_ADDRESS, HEALTH_PROBE_BIND_ADDRESS,
    /// POD_NAME.
    #[arg(long, global = true)]
    pub(crate) operator_command: Option<String>,
    /// Where report.json, the pictures and logs go.
    #[arg(long, default_value = "target/loadtest", global = true)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measures how cost grows with Bookings, Resources and replicas: growth.json, growth.svg; 20 minutes with --quick.
    Growth,
    /// Compares two reports, figure by figure.
    Compare {
        /// The report of before.
        before: PathBuf,
        /// The report of after.
        after: PathBuf,
    },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Many bookings begin in the same second.
    DueAtOnce,
    /// Ten times as many machines as EC2's buckets hold, in virtual time.
    Limit,
    /// Nothing is due.
    Steady,
    /// What one booking costs.
    Life,
    /// Bookings are made and edited all the while.
    Churn,
    /// The same work on more and more replicas.
    Scaleout,
    /// Very many bookings, and a restart.
    Memory,
    /// Bookings with 250 KiB of annotations each, and a restart.
    Fat,
    /// An account that does not work beside one that does.
    Isolation,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Scenario {
    /// Whose time it is measured in.
    pub(crate) fn time(self) -> &'static str {
        if self == Self::Limit { "virtual" } else { "real" }
    }

    /// Its key in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DueAtOnce => "due_at_once",
            Self::Limit => "limit",
            Self::Steady => "steady",
            Self::Life => "life",
            Self::Churn => "churn",
            Self::Scaleout => "scaleout",
            Self::Memory => "memory",
            Self::Fat => "fat",
            Self::Isolation => "isolation",
        }
    }
}

impl Args {
    /// In the order in which they run.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.scenario.is_empty() { Scenario::value_variants().to_vec() } else { self.scenario.clone() }
    }

    /// Whether it measures this operator with the numbers of a whole run.
    pub(crate) fn is_full(&self) -> bool {
        let told = [self.due, self.resources, self.bookings].iter().any(Option::is_some);
        !self.quick && !told && self.seconds.is_none() && self.operator_command.is_none()
    }

    /// One number, or a smaller one with `--quick`.
    pub(crate) fn sized(&self, told: Option<usize>, full: usize, quick: usize) -> usize {
        told.unwrap_or(if self.quick { quick } else { full })
    }
}
