//! The command line.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures an operator of this API under load. It exits with 1 if a figure is out of its bound.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The scenarios to measure, separated by commas. Without it, all are measured.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Smaller numbers: some minutes instead of half an hour.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// The number of operator processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) replicas: u8,
    /// The number of bookings that fall due at once; 1,000, or 100 with --quick.
    #[arg(long)]
    pub(crate) due: Option<usize>,
    /// The number of Resources at rest; 10,000, or 500 with --quick (200 for memory).
    #[arg(long)]
    pub(crate) resources: Option<usize>,
    /// The number of Bookings in memory; 100,000, or 2,000 with --quick.
    #[arg(long)]
    pub(crate) bookings: Option<usize>,
    /// How long rest and churn are measured, in seconds; 120 and 60, or 10 each with --quick.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// The operator to measure, as a shell command. Without it, the one beside this program is measured. The command
    /// finds in its environment KUBECONFIG, AWS_ENDPOINT_URL, AWS_REGION, credentials, METRICS_BIND_ADDRESS,
    /// HEALTH_PROBE_BIND_ADDRESS, POD_NAME.
    #[arg(long, global = true)]
    pub(crate) operator_command: Option<String>,
    /// The folder for report.json, the pictures and logs.
    #[arg(long, default_value = "target/loadtest", global = true)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measures how cost grows with Bookings, Resources and replicas. Writes growth.json and growth.svg. It takes 20
    /// minutes with --quick.
    Growth,
    /// Compares two reports, figure by figure.
    Compare {
        /// The earlier report.
        before: PathBuf,
        /// The later report.
        after: PathBuf,
    },
}

/// A scenario to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Many bookings begin in the same second.
    DueAtOnce,
    /// Ten times as many machines as EC2's buckets hold, in virtual time.
    Limit,
    /// Nothing is due.
    Steady,
    /// One booking, from its creation to its end.
    Life,
    /// Users create and edit Bookings all the time.
    Churn,
    /// The same work on one, three and five replicas.
    Scaleout,
    /// Very many bookings, and a restart.
    Memory,
    /// Bookings with 250 KiB of annotations each, and a restart.
    Fat,
    /// An account that does not work, beside one that does.
    Isolation,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Scenario {
    /// Whether the scenario runs in real or in virtual time.
    pub(crate) fn time(self) -> &'static str {
        if self == Self::Limit { "virtual" } else { "real" }
    }

    /// The key of the scenario in the report.
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
    /// The scenarios in the order in which they run.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.scenario.is_empty() { Scenario::value_variants().to_vec() } else { self.scenario.clone() }
    }

    /// Whether the run measures this operator with the full numbers.
    pub(crate) fn is_full(&self) -> bool {
        let told = [self.due, self.resources, self.bookings].iter().any(Option::is_some);
        !self.quick && !told && self.seconds.is_none() && self.operator_command.is_none()
    }

    /// The number that was given, or the default: a smaller one with `--quick`.
    pub(crate) fn sized(&self, told: Option<usize>, full: usize, quick: usize) -> usize {
        told.unwrap_or(if self.quick { quick } else { full })
    }
}
