//! `e2e`: the operator as people install it, on a real node with real Pods: images are built, `kubectl apply -k`
//! `deploy/overlays/simulator` is run, and then what happens to Pods happens, while bookings fall due.
//!
//! | module | what is there |
//! |---|---|
//! | `host` | packages, the network of the node, and that nothing of it stays |
//! | `pki` | certificates and kubeconfigs of the node's programs |
//! | `node` | etcd, control plane, containerd, kubelet, kube-proxy |
//! | `image` | static programs in images |
//! | `cluster` | kubectl, Pods, bookings, the simulator's log |
//! | `scenarios` | what is done, what is measured, what is promised |

mod cluster;
mod host;
mod image;
mod node;
mod pki;
mod scenarios;

use std::{process::ExitCode, time::Instant};

use clap::Parser;

/// Why it cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Installs the operator on a node of its own, and sees it through what happens to Pods. Needs root on Linux.
#[derive(Debug, Parser)]
struct Args {
    /// Install, one booking, the leader deleted, a roll-out: what a change must pass.
    #[arg(long)]
    short: bool,
    /// Leaves the node up, and says how to reach it.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(why) = host::can_have_a_node() {
        println!("e2e: skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let outcome = tokio::select! {
        outcome = run(&args) => outcome,
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

async fn run(args: &Args) -> Result<bool, Failure> {
    host::install_packages().await?;
    // Of a run that was killed.
    host::clean().await;
    let images = image::build().await?;
    let node = node::Node::start().await?;
    node.import(&images).await?;
    let cluster = cluster::Cluster::install(&node).await?;
    let outcome = scenarios::run(&cluster, args.short).await;
    if args.keep {
        println!("kept: KUBECONFIG={}; ends with this process (Ctrl-C)", node.kubeconfig().display());
        tokio::signal::ctrl_c().await?;
    }
    let removed = cluster.uninstall().await;
    node.stop().await;
    host::clean().await;
    removed?;
    outcome
}
