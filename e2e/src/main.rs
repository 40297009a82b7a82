//! `e2e` tests the operator as people install it, with real Pods on a real node. It builds images and runs `kubectl
//! apply -k` `deploy/overlays/simulator`. Then it deletes, evicts, replaces, scales and kills Pods while bookings fall
//! due.
//!
//! | module | what is there |
//! |---|---|
//! | `site` | the place of the installation: our own node, or the current cluster |
//! | `node` | our own node: etcd, control plane, containerd, kubelet, kube-proxy |
//! | `host` | what the node uses of this machine, and its removal |
//! | `pki` | certificates and kubeconfigs of the node's programs |
//! | `current` | the current cluster of kind or k3d |
//! | `image` | static programs in images |
//! | `cluster` | the installation: kubectl, Pods |
//! | `bookings` | bookings that fall due, and the simulator's log |
//! | `scenarios` | what is done, and what is promised |
//! | `report` | what was measured |
//! | `names`, `failure` | names of what is installed, errors |

mod bookings;
mod cluster;
mod current;
mod failure;
mod host;
mod image;
mod names;
mod node;
mod pki;
mod report;
mod scenarios;
mod site;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use testbed::control_plane::NodeBinaries;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{cluster::Cluster, current::Current, failure::Failure, node::Node, report::Row, site::Site};

/// Installs the operator and disturbs its Pods while bookings fall due. It uses the current cluster if that is a
/// cluster of kind or k3d. Otherwise it uses a node of its own, which needs root on Linux.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Args {
    /// Only the scenarios that a change must pass: installation, one booking, the leader deleted, a roll-out.
    #[arg(long)]
    short: bool,
    /// Keeps everything up until Ctrl-C, and prints how to reach it.
    #[arg(long)]
    keep: bool,
    /// Only builds the programs of our own node, which takes minutes the first time.
    #[arg(long)]
    prepare: bool,
    /// Uses a node of our own, even if there is a current cluster.
    #[arg(long)]
    own: bool,
    /// The file of the report.
    #[arg(long, default_value = "target/e2e/report.json")]
    report: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let current = if args.own { None } else { Current::find().await };
    if let (None, Err(why)) = (&current, host::can_have_a_node()) {
        println!("e2e: skipped: {why}");
        return ExitCode::SUCCESS;
    }
    if args.prepare {
        return match NodeBinaries::find_or_make().await {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                println!("e2e: failed: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let begun = Instant::now();
    let stop = asked_to_stop();
    let mut rows = Vec::new();
    let outcome = match current {
        Some(current) => on_current(current, &args, &stop, &mut rows).await,
        None => on_own_node(&args, &stop, &mut rows).await,
    };
    // The figures that were measured before a failure are reported, too.
    let passes = report::publish(&rows, &args.report);
    match outcome.and(passes) {
        Ok(true) => {
            println!("e2e: ok, {} s", begun.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("e2e: failed: not as promised");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("e2e: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A token that is cancelled at Ctrl-C, or when the process is told to end. Everything is removed before the end.
fn asked_to_stop() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        asked.cancel();
    });
    stop
}

async fn on_current(
    current: Current,
    args: &Args,
    stop: &CancellationToken,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    println!("on the current cluster");
    current.is_free().await?;
    let site = Site::Current(Box::new(current));
    let worked = work(&site, args, stop, rows).await;
    let begun = Instant::now();
    let uninstalled = cluster::uninstall(&site).await;
    worked.and(uninstalled)?;
    rows.push(Row::took("uninstalled, nothing left", begun.elapsed()));
    Ok(())
}

async fn on_own_node(args: &Args, stop: &CancellationToken, rows: &mut Vec<Row>) -> Result<(), Failure> {
    stop.run_until_cancelled(host::install_packages()).await.unwrap_or_else(interrupted)?;
    let taken = host::take().await?;
    let mut node = Node::new(&taken)?;
    let started = stop.run_until_cancelled(node.start()).await.unwrap_or_else(interrupted);
    let site = Site::Own(Box::new(node));
    let worked = match started {
        Ok(()) => work(&site, args, stop, rows).await,
        Err(error) => Err(error),
    };
    let begun = Instant::now();
    // Otherwise the node is removed, with everything on it.
    let uninstalled = if worked.is_ok() { cluster::uninstall(&site).await } else { Ok(()) };
    if let Site::Own(node) = site {
        node.stop().await;
    }
    taken.give_back().await;
    worked.and(uninstalled)?;
    rows.push(Row::took("uninstalled, nothing left", begun.elapsed()));
    Ok(())
}

/// Installs the operator and runs the scenarios.
async fn work(
    site: &Site,
    args: &Args,
    stop: &CancellationToken,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let scenarios = async {
        site.load_images().await?;
        let cluster = Cluster::install(site).await?;
        scenarios::run(&cluster, args.short, rows).await
    };
    let worked = stop.run_until_cancelled(scenarios).await.unwrap_or_else(interrupted);
    if args.keep && !stop.is_cancelled() {
        let reach = site.kubeconfig().map(|path| format!("KUBECONFIG={}; ", path.display()));
        println!("kept: {}ends with this process (Ctrl-C)", reach.unwrap_or_default());
        stop.cancelled().await;
    }
    worked
}

fn interrupted() -> Result<(), Failure> {
    Err("interrupted".into())
}
