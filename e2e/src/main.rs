//! `e2e`: the operator as people install it, on a real node with real Pods: images are built, `kubectl apply -k`
//! `deploy/overlays/simulator` is run, and then what happens to Pods happens, while bookings fall due.
//!
//! | module | what is there |
//! |---|---|
//! | `site` | where it is installed: on a node of our own, or on the current cluster |
//! | `node` | the node of our own: etcd, control plane, containerd, kubelet, kube-proxy |
//! | `host` | what that takes of this machine, and that nothing of it stays |
//! | `pki` | certificates and kubeconfigs of the node's programs |
//! | `current` | the current cluster of kind or k3d |
//! | `image` | static programs in images |
//! | `cluster` | what is installed: kubectl, Pods |
//! | `bookings` | bookings that fall due, and the simulator's log |
//! | `scenarios` | what is done, and what is promised |
//! | `report` | what was measured |

mod bookings;
mod cluster;
mod current;
mod host;
mod image;
mod node;
mod pki;
mod report;
mod scenarios;
mod site;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;

use crate::{cluster::Cluster, current::Current, node::Node, report::Row, site::Site};

/// Why it cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Installs the operator, and sees it through what happens to Pods: on the current cluster if it is kind's or k3d's, else on a node of
/// its own, which needs root on Linux.
#[derive(Debug, Parser)]
struct Args {
    /// Install, one booking, the leader deleted, a roll-out: what a change must pass.
    #[arg(long)]
    short: bool,
    /// Leaves all up until Ctrl-C, and says how to reach it.
    #[arg(long)]
    keep: bool,
    /// A node of its own, whatever cluster is the current one.
    #[arg(long)]
    own: bool,
    /// Where the report goes.
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
    let begun = Instant::now();
    let outcome = tokio::select! {
        outcome = run(&args, current) => outcome,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    match outcome {
        Ok(true) => {
            println!("e2e: ok, {} s", begun.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("e2e: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, current: Option<Current>) -> Result<bool, Failure> {
    let site = if let Some(current) = current {
        println!("on the current cluster");
        current.is_free().await?;
        Site::Current(Box::new(current))
    } else {
        host::install_packages().await?;
        // Of a run that was killed.
        host::clean().await;
        Site::Own(Box::new(Node::start().await?))
    };
    let outcome = on(&site, args).await;
    if let Site::Own(node) = site {
        node.stop().await;
        host::clean().await;
    }
    report::publish(&outcome?, &args.report)
}

async fn on(site: &Site, args: &Args) -> Result<Vec<Row>, Failure> {
    site.load_images().await?;
    let cluster = Cluster::install(site).await?;
    let rows = scenarios::run(&cluster, args.short).await;
    if args.keep {
        let reach = site.kubeconfig().map(|path| format!("KUBECONFIG={}; ", path.display()));
        println!("kept: {}ends with this process (Ctrl-C)", reach.unwrap_or_default());
        tokio::signal::ctrl_c().await?;
    }
    let begun = Instant::now();
    let uninstalled = cluster.uninstall().await;
    let mut rows = rows?;
    uninstalled?;
    rows.push(Row::took("uninstalled, nothing left", begun.elapsed()));
    Ok(rows)
}
