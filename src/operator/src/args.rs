//! Turns the command line and the environment into a validated [`Config`], once.
//!
//! The predecessor's flags are accepted in Go's syntax: with one dash or two, booleans with or without a value. Flags
//! that have no meaning here have no effect.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

mod notify;
mod ring;
mod values;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::ArgPredicate};

use crate::families::{self, FamilyInfo};

pub use self::{notify::NotifyArgs, ring::RingArgs};
use self::{
    ring::{RingFlags, ring},
    values::{
        Address, Families, double_dash, parse_address, parse_duration, parse_families, parse_role, zap_filter,
    },
};

/// The subcommand.
pub enum Command {
    /// Run the operator.
    Run(Box<Config>),
    /// Print the CRDs of one family, or those of bookings and the Ring.
    Crds(Option<String>),
}

/// The validated configuration.
#[derive(Clone)]
pub struct Config {
    /// Which families run.
    pub families: Vec<FamilyInfo>,
    /// The namespace to work in. None means all.
    pub namespace: Option<String>,
    /// Where `/metrics` listens. None means that it does not.
    pub metrics_address: Option<SocketAddr>,
    /// Where the probes listen. None means that they do not.
    pub probe_address: Option<SocketAddr>,
    /// The configuration of logging.
    pub log: LogConfig,
    /// Decide and report only.
    pub dry_run: bool,
    /// How long a shutdown waits for running passes.
    pub shutdown_timeout: Duration,
    /// How replicas share the work.
    pub ring: RingArgs,
    /// The configuration of the family of bookings.
    pub bookings: bookings::run::Config,
}

/// The configuration of logging.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Text or JSON lines.
    pub format: LogFormat,
    /// A `tracing` filter, for example `info` or `info,booking_operator=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For humans.
    Text,
    /// For log collectors.
    Json,
}

/// The command line was refused, or the user asked for help.
#[derive(Debug)]
pub struct ParseError(clap::Error);

impl ParseError {
    /// Prints it and returns the exit code.
    pub fn report(self) -> ExitCode {
        // If printing fails, there is no other place to report that.
        let _ = self.0.print();
        ExitCode::from(u8::try_from(self.0.exit_code()).unwrap_or(2))
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "booking-operator",
    version,
    args_override_self = true,
    about = "Runs booked groups of cloud machines, stops idle ones"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Run the operator (the default without a subcommand).
    Run,
    /// Print the CustomResourceDefinitions as YAML.
    Crds {
        /// Only those of one family: bookings or ring.
        #[arg(long)]
        family: Option<String>,
    },
}

#[derive(Debug, Args)]
#[allow(clippy::struct_field_names, reason = "a field is named after its flag")]
struct Run {
    /// Families of kinds to work on, separated by commas, or all. Known: bookings.
    #[arg(long, env = "FAMILIES", default_value = "bookings", value_parser = parse_families, global = true)]
    families: Families,
    /// Namespace to work in; empty means all.
    #[arg(long, env = "NAMESPACE", default_value = "", global = true)]
    namespace: String,
    /// Address of /metrics, host:port or :port; 0 means none.
    #[arg(long, env = "METRICS_BIND_ADDRESS", default_value = ":8080", value_parser = parse_address, global = true)]
    metrics_bind_address: Address,
    /// Address of /livez, /readyz and /healthz, host:port or :port; 0 means none.
    #[arg(
        long, env = "HEALTH_PROBE_BIND_ADDRESS", default_value = ":8081", value_parser = parse_address,
        global = true,
    )]
    health_probe_bind_address: Address,
    /// How long unbooked machines that run when their Resource is first seen may go on running if when_idle is
    /// absent, for example 30m.
    #[arg(long, env = "ADOPTION_GRACE", default_value = "30m", value_parser = parse_duration, global = true)]
    adoption_grace: Duration,
    /// Decide, report and write statuses, but send no mutation to the cloud.
    #[arg(
        long, env = "DRY_RUN", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", global = true,
    )]
    dry_run: bool,
    /// Act even if the predecessor (the original operator) renews its Lease. Two operators then work on the same
    /// objects.
    #[arg(
        long, env = "IGNORE_ORIGINAL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", global = true,
    )]
    ignore_original: bool,
    /// Shortest time between two observations of machines that change state.
    #[arg(long, env = "POLL_SHORTEST", default_value = "1s", value_parser = parse_duration, global = true)]
    poll_shortest: Duration,
    /// Longest time between two observations of machines that change state.
    #[arg(long, env = "POLL_LONGEST", default_value = "10s", value_parser = parse_duration, global = true)]
    poll_longest: Duration,
    /// Time between two observations of a group at rest.
    #[arg(long, env = "OBSERVE_INTERVAL", default_value = "60s", value_parser = parse_duration, global = true)]
    observe_interval: Duration,
    /// How long the deletion of a Resource waits for a cloud that does not answer.
    #[arg(long, env = "RELEASE_TIMEOUT", default_value = "5m", value_parser = parse_duration, global = true)]
    release_timeout: Duration,
    /// How many groups of one account are worked on at once, 1 to 4096. They share calls.
    #[arg(
        long, env = "CONCURRENCY", default_value_t = 1024,
        value_parser = clap::value_parser!(u16).range(1..=4096), global = true,
    )]
    concurrency: u16,
    /// How long a shutdown waits for running calls.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "20s", value_parser = parse_duration, global = true)]
    shutdown_timeout: Duration,
    /// Role to assume for Resources that name none; empty means none. The predecessor has the same variable.
    #[arg(long, env = "AWS_ASSUME_ROLE_ARN", default_value = "", value_parser = parse_role, global = true)]
    assume_role_arn: String,
    /// File that says which namespaces may use which accounts (roles) and regions. Without it they may use only the
    /// operator's own.
    #[arg(long, env = "ACCOUNTS_FILE", global = true)]
    accounts_file: Option<PathBuf>,
    #[command(flatten)]
    notify: NotifyArgs,
    #[command(flatten)]
    ring: RingFlags,
    /// Form of log lines.
    #[arg(
        long, env = "LOG_FORMAT", value_enum, default_value = "text",
        default_value_if("zap_encoder", ArgPredicate::Equals("json".into()), "json"), global = true,
    )]
    log_format: LogFormat,
    /// What to log: a level, or a filter such as info,booking_operator=debug.
    #[arg(long, env = "LOG_LEVEL", global = true)]
    log_level: Option<String>,
    #[command(flatten)]
    original: Original,
}

/// The predecessor's flags that have little or no meaning here.
#[derive(Debug, Args)]
struct Original {
    /// Accepted for compatibility, without effect: replicas always share the work.
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide = true, global = true,
    )]
    leader_elect: bool,
    /// Accepted for compatibility: true means --log-level=debug.
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide = true, global = true,
    )]
    zap_devel: bool,
    /// Accepted for compatibility: json means --log-format=json.
    #[arg(long, value_parser = ["json", "console"], hide = true, global = true)]
    zap_encoder: Option<String>,
    /// Accepted for compatibility: debug, info, error, panic, or a number.
    #[arg(long, hide = true, global = true)]
    zap_log_level: Option<String>,
    /// Accepted for compatibility, without effect.
    #[arg(long, hide = true, global = true)]
    zap_stacktrace_level: Option<String>,
    /// Accepted for compatibility, without effect.
    #[arg(long, hide = true, global = true)]
    zap_time_encoding: Option<String>,
}

/// Parses a command line. The environment supplies values that the command line does not set.
///
/// # Errors
/// [`ParseError`], also if the user asked for help or the version.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, ParseError> {
    let cli = Cli::try_parse_from(args.into_iter().map(double_dash)).map_err(ParseError)?;
    Ok(match cli.command {
        Some(Sub::Crds { family }) => Command::Crds(family),
        Some(Sub::Run) | None => Command::Run(Box::new(config(cli.run)?)),
    })
}

fn config(run: Run) -> Result<Config, ParseError> {
    let ring = ring(run.ring)?;
    let zap_level = run.original.zap_log_level.as_deref().map(zap_filter);
    let devel = run.original.zap_devel.then(|| "debug".to_owned());
    let filter = run.log_level.or(zap_level).or(devel).unwrap_or_else(|| "info".to_owned());
    let namespace = Some(run.namespace).filter(|namespace| !namespace.is_empty());
    families::check(&run.families.0, run.dry_run, namespace.as_deref()).map_err(|error| refused(&error))?;
    Ok(Config {
        families: run.families.0,
        namespace,
        metrics_address: run.metrics_bind_address.0,
        probe_address: run.health_probe_bind_address.0,
        log: LogConfig { format: run.log_format, filter },
        dry_run: run.dry_run,
        shutdown_timeout: run.shutdown_timeout,
        ring,
        bookings: bookings::run::Config {
            adoption_grace: run.adoption_grace,
            dry_run: run.dry_run,
            ignore_predecessor: run.ignore_original,
            poll: (run.poll_shortest, run.poll_longest),
            observe_interval: run.observe_interval,
            release_timeout: run.release_timeout,
            concurrency: usize::from(run.concurrency),
            role_arn: run.assume_role_arn,
            accounts_file: run.accounts_file.filter(|path| !path.as_os_str().is_empty()),
            channels: run.notify.settings(),
        },
    })
}

/// An error about flags that are valid one by one but do not fit together.
fn refused(why: &str) -> ParseError {
    let command = <Cli as clap::CommandFactory>::command();
    let text = why.to_owned();
    ParseError(clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).with_cmd(&command))
}

#[cfg(test)]
mod tests {
    use booking_ring::timing::Timing;

    use super::*;

    fn run(args: &[&str]) -> Config {
        let args = std::iter::once("booking-operator").chain(args.iter().copied()).map(OsString::from);
        match parse(args) {
            Ok(Command::Run(config)) => *config,
            Ok(Command::Crds(_)) => panic!("it is no run"),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn refusal(args: &[&str]) -> String {
        let args = std::iter::once("booking-operator").chain(args.iter().copied()).map(OsString::from);
        match parse(args) {
            Err(error) => error.0.to_string(),
            Ok(_) => panic!("it is accepted"),
        }
    }

    #[test]
    fn without_flags_it_works_in_all_namespaces_and_keeps_the_grace() {
        let config = run(&[]);
        assert_eq!(config.bookings.adoption_grace, Duration::from_mins(30));
        assert_eq!(config.metrics_address.unwrap().port(), 8080);
        assert_eq!(config.probe_address.unwrap().port(), 8081);
        assert!(!config.dry_run);
    }

    #[test]
    fn the_command_line_of_the_original_is_accepted() {
        let config = run(&[
            "--metrics-bind-address=127.0.0.1:8080",
            "-health-probe-bind-address=:9090",
            "--leader-elect",
            "--zap-devel=true",
            "--zap-encoder=json",
            "--zap-stacktrace-level=error",
            "--zap-time-encoding=iso8601",
        ]);
        assert_eq!(config.metrics_address.unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(config.probe_address.unwrap().port(), 9090);
        assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Json, "debug"));
    }

    #[test]
    fn zaps_levels_become_filters() {
        for (level, filter) in
            [("debug", "debug"), ("error", "error"), ("panic", "error"), ("1", "debug"), ("5", "trace")]
        {
            assert_eq!(run(&["--zap-log-level", level]).log.filter, filter, "{level}");
        }
    }

    #[test]
    fn of_a_flag_given_twice_the_last_counts() {
        let config = run(&["--adoption-grace=1m", "--dry-run", "--dry-run=false", "--adoption-grace=2m"]);
        assert_eq!((config.bookings.adoption_grace, config.dry_run), (Duration::from_mins(2), false));
    }

    #[test]
    fn zero_turns_a_listener_off() {
        assert_eq!(run(&["--metrics-bind-address=0"]).metrics_address, None);
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(run(&["--adoption-grace", text]).bookings.adoption_grace.as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn durations_of_the_ring_are_checked_together() {
        let timing = run(&[]).ring.timing;
        assert_eq!(timing, Timing::default());
        let shrunk = [
            "--lease-duration=1500ms",
            "--renew-interval=300ms",
            "--permit-duration=800ms",
            "--call-timeout=400ms",
        ];
        assert_eq!(run(&shrunk).ring.timing.lease(), Duration::from_millis(1500));
        let text = refusal(&["--lease-duration=12s"]);
        assert!(
            text.contains("--lease-duration") && text.contains("12s") && text.contains("nine tenths"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_names_the_flag_the_value_and_what_is_allowed() {
        let text = refusal(&["--adoption-grace", "soon"]);
        assert!(
            text.contains("--adoption-grace") && text.contains("\"soon\"") && text.contains("30m"),
            "{text}"
        );
        let text = refusal(&["--metrics-bind-address", "nowhere"]);
        assert!(text.contains("host:port"), "{text}");
        let text = refusal(&["--concurrency", "0"]);
        assert!(text.contains("1..=4096"), "{text}");
    }
}
