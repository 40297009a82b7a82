//! `chaos-live` causes faults in live operator processes, on a real API server, with a simulated EC2.
//!
//! Several rings of three replicas run side by side, each with a namespace, a cloud and bookings of its own. A proxy
//! stands between each process and the API server, and faults happen there. Afterwards the checker reads the cloud's
//! call log and the history of the ring objects. It finds two owners at the same time, and missed or early starts and
//! stops. It measures how long each key was without an owner.

mod checker;
mod clock;
mod cpu;
mod history;
mod kinds;
mod load;
mod picture;
mod process;
mod proxy;
mod ring;
mod run;
mod scenario;
mod shared;
mod site;
mod tally;
mod view;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use chaos::report;
use checker::Breach;
use clap::Parser;
use kinds::Kind;
use run::{Order, Outcome};
use serde_json::{Value, json};
use site::{Failure, Site};
use tally::{Tally, millis, percentile, table, tallies};

/// Causes faults in live operator processes. It exits with 1 if a promise is broken.
#[derive(Debug, Parser)]
#[command(name = "chaos-live", version)]
struct Args {
    /// The number of faults of each kind.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    kills: u16,
    /// The kinds of faults, separated by commas. Without it, all kinds.
    #[arg(long, value_delimiter = ',')]
    kind: Vec<Kind>,
    /// The number of rings side by side, of three replicas each. With fewer rings, latencies disturb each other less.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    rings: u16,
    /// The seed of all random choices (not of the machine's own timing). Without it, a random one.
    #[arg(long)]
    seed: Option<u64>,
    /// Adds to each ring a process that works on what the others own. It fails unless the checker finds that, because a
    /// checker that cannot fail proves nothing. It writes no report.
    #[arg(long)]
    rogue: bool,
    /// The binary of the release before. All processes begin with it, and each rollout replaces those of one release by
    /// those of the other.
    #[arg(long)]
    old: Option<PathBuf>,
    /// The folder for report.json, the picture and logs.
    #[arg(long, default_value = "target/chaos")]
    out: PathBuf,
}

/// If more than this part of all processors is used, the times measure the machine and not the operator.
const BUSY: f64 = 0.8;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let stopped = async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            pressed = tokio::signal::ctrl_c() => pressed,
        }
    };
    let result = tokio::select! {
        result = chaos(&args) => result,
        _ = stopped => Err("stopped".into()),
    };
    match result {
        Ok(broken) if broken.is_empty() => {
            println!("chaos: ok");
            ExitCode::SUCCESS
        }
        Ok(broken) => {
            for line in broken {
                println!("chaos: broken: {line}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("chaos: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the faults. Returns the broken promises.
async fn chaos(args: &Args) -> Result<Vec<String>, Failure> {
    let begun = Instant::now();
    let kinds = if args.kind.is_empty() { Kind::ALL.to_vec() } else { args.kind.clone() };
    let order = Order {
        kills: args.kills.into(),
        kinds,
        rings: args.rings.into(),
        rogue: args.rogue,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    println!("seed {}", order.seed);
    let site = Arc::new(Site::start(&args.out.join("live"), args.old.clone()).await?);
    let outcome = run::run(site.clone(), &order).await?;
    let tallies = tallies(&outcome.samples, &outcome.findings);
    for finding in &outcome.findings {
        let kind = finding.kind.map_or("no fault", Kind::name);
        println!("{:?} ({kind}): {}", finding.breach, finding.text);
    }
    println!("\n{}\n", table(&tallies));
    let late = |part| percentile(&outcome.lateness, part).map_or(0, millis);
    println!(
        "seed {}, {} s, cpu {:.0} %; late without a fault: p50 {} ms, p99 {} ms, max {} ms",
        order.seed,
        begun.elapsed().as_secs(),
        outcome.cpu * 100.0,
        late(0.5),
        late(0.99),
        late(1.0)
    );
    if order.rogue {
        let found = outcome.findings.iter().any(|finding| finding.breach == Breach::DoubleOwner);
        let missing = "a process that works on what others own was not found";
        return Ok(if found { Vec::new() } else { vec![missing.to_owned()] });
    }
    if outcome.cpu > BUSY {
        println!("the machine was too busy for its times to say much: fewer rings, or nothing beside it");
    }
    let path = args.out.join("report.json");
    report::merge_part(&path, "live", tally::entries(&tallies))?;
    report::write_part(&path, "live_run", run_part(&order, &outcome, begun.elapsed().as_secs()))?;
    let picture = picture::write(&path)?;
    println!("{}, {}; logs in {}", path.display(), picture.display(), site.directory.display());
    Ok(broken(&order, &tallies, &outcome))
}

fn run_part(order: &Order, outcome: &Outcome, seconds: u64) -> Value {
    let late = |part| percentile(&outcome.lateness, part).map(millis);
    json!({
        "seed": order.seed,
        "rings": order.rings,
        "replicas": ring::REPLICAS,
        "seconds": seconds,
        "cpu": outcome.cpu,
        "transitions": outcome.lateness.len(),
        "lateness_ms": {"p50": late(0.5), "p99": late(0.99), "max": late(1.0)},
    })
}

fn broken(
    order: &Order,
    tallies: &std::collections::BTreeMap<Kind, Tally>,
    outcome: &Outcome,
) -> Vec<String> {
    let mut broken: Vec<String> = tallies.iter().flat_map(|(kind, tally)| tally.broken(*kind)).collect();
    for kind in &order.kinds {
        let n = tallies.get(kind).map_or(0, |tally| tally.n);
        if n < order.kills {
            broken.push(format!("{kind}: only {n} of {} faults came to their end", order.kills));
        }
    }
    let unknown =
        |finding: &&checker::Finding| finding.kind.is_none() && finding.breach != Breach::LateInFlight;
    let before = outcome.findings.iter().filter(unknown).count();
    if before > 0 {
        broken.push(format!("{before} findings before any fault"));
    }
    broken
}
