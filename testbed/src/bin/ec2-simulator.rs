//! The simulated EC2, RDS and STS as a process of its own. It prints its URL and serves until it is interrupted.

use std::error::Error;
use std::sync::Arc;

use clap::Parser;
use jiff::Timestamp;
use testbed::ec2::{
    AddInstances, Admission, AdmitAll, ClockMode, Ec2Config, Ec2Simulator, GROUP_TAG, InstanceState,
    Settings, TokenBuckets,
};
use testbed::replica::REGION;
use tokio::signal::unix::{SignalKind, signal};

/// A simulated API of EC2, RDS and STS, administered under /_admin
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// How long an instance is pending
    #[arg(long, value_name = "MS", default_value_t = Settings::default().pending_ms)]
    pending_ms: u64,
    /// How long an instance is stopping
    #[arg(long, value_name = "MS", default_value_t = Settings::default().stopping_ms)]
    stopping_ms: u64,
    /// How long an instance is shutting down
    #[arg(long, value_name = "MS", default_value_t = Settings::default().shutting_down_ms)]
    shutting_down_ms: u64,
    /// How long a terminated instance stays listed
    #[arg(long, value_name = "MS", default_value_t = Settings::default().terminated_listed_ms)]
    terminated_listed_ms: u64,
    /// How old the state and tags are that a describe shows
    #[arg(long, value_name = "MS", default_value_t = 0)]
    consistency_lag_ms: u64,
    /// Each describe draws its own age, up to the lag
    #[arg(long)]
    lag_varies: bool,
    /// A pending instance can be stopped
    #[arg(long)]
    pending_can_stop: bool,
    /// Calls are throttled as EC2 documents it
    #[arg(long)]
    throttle: bool,
    /// How long a database is starting
    #[arg(long, value_name = "MS", default_value_t = Settings::default().rds_starting_ms)]
    rds_starting_ms: u64,
    /// How long a database is stopping
    #[arg(long, value_name = "MS", default_value_t = Settings::default().rds_stopping_ms)]
    rds_stopping_ms: u64,
    /// The clock begins at this moment (RFC 3339) and moves only when it is advanced
    #[arg(long, value_name = "TIME")]
    virtual_clock: Option<Timestamp>,
    /// Stopped machines of a group, that many with its tag; may be repeated
    #[arg(long = "group", value_name = "TAG=COUNT", value_parser = group)]
    groups: Vec<(String, usize)>,
    /// The region of these machines
    #[arg(long, default_value = REGION)]
    region: String,
    /// The account of an access key id; may be repeated
    #[arg(long = "account", value_name = "KEY=ACCOUNT", value_parser = key_and_account)]
    accounts: Vec<(String, String)>,
}

fn key_and_account(text: &str) -> Result<(String, String), String> {
    let (key, account) = text.split_once('=').ok_or("expected KEY=ACCOUNT")?;
    Ok((key.to_owned(), account.to_owned()))
}

fn group(text: &str) -> Result<(String, usize), String> {
    let (tag, count) = text.split_once('=').ok_or("expected TAG=COUNT")?;
    Ok((tag.to_owned(), count.parse().map_err(|error| format!("{count:?}: {error}"))?))
}

impl From<Arguments> for Ec2Config {
    fn from(arguments: Arguments) -> Self {
        let clock = arguments
            .virtual_clock
            .map_or(ClockMode::Real, |start| ClockMode::Virtual { start: start.into() });
        let settings = Settings {
            pending_ms: arguments.pending_ms,
            stopping_ms: arguments.stopping_ms,
            shutting_down_ms: arguments.shutting_down_ms,
            terminated_listed_ms: arguments.terminated_listed_ms,
            lag_ms: arguments.consistency_lag_ms,
            lag_varies: arguments.lag_varies,
            pending_can_stop: arguments.pending_can_stop,
            rds_starting_ms: arguments.rds_starting_ms,
            rds_stopping_ms: arguments.rds_stopping_ms,
            ..Settings::default()
        };
        let accounts = arguments.accounts.into_iter().collect();
        let admission: Arc<dyn Admission> =
            if arguments.throttle { Arc::new(TokenBuckets::default()) } else { Arc::new(AdmitAll) };
        Self { listen: arguments.listen, settings, clock, accounts, admission, ..Self::default() }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (groups, region) = (arguments.groups.clone(), arguments.region.clone());
    let simulator = Ec2Simulator::start(arguments.into()).await?;
    for (tag, count) in groups {
        let machines = AddInstances::count(count).tag(GROUP_TAG, &tag).state(InstanceState::Stopped);
        simulator.world().add_instances(&AddInstances { region: region.clone(), ..machines })?;
    }
    println!("{}", simulator.url());
    // In a container SIGTERM ends it. The first process of a container has no default action for that signal.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    simulator.stop().await;
    Ok(())
}
