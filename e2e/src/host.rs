//! What a node takes of the machine, and that nothing of it stays.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Failure;

/// The node's address, on a link of its own (a bridge without ports: small kernels have no dummy devices). Pods cannot reach loopback.
pub(crate) const ADDRESS: &str = "10.245.0.1";
pub(crate) const LINK: &str = "booking-e2e";
/// The bridge of its Pods.
pub(crate) const BRIDGE: &str = "booking-cni";
const PROGRAMS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("buildah", "buildah"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
];

/// Whether this machine can have a node.
pub(crate) fn can_have_a_node() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("it takes Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("it takes root, or a current cluster of kind or k3d".to_owned());
    }
    may_have_a_link()?;
    let installed = PROGRAMS.iter().all(|(program, _)| is_there(program));
    if !installed && !is_there("apt-get") {
        return Err("containerd, runc, iptables, conntrack, buildah or the CNI plugins are missing, and there is no apt-get".to_owned());
    }
    Ok(())
}

/// Root in a container may lack the right to make links, or rules for packets.
fn may_have_a_link() -> Result<(), String> {
    let ip = |args: [&str; 5]| std::process::Command::new("ip").args(args).output();
    let probe = "booking-probe";
    let made =
        ip(["link", "add", probe, "type", "bridge"]).map_err(|error| format!("there is no ip: {error}"))?;
    let _ = ip(["link", "delete", probe, "type", "bridge"]);
    if made.status.success() {
        return Ok(());
    }
    Err(format!("no network links may be made here: {}", String::from_utf8_lossy(&made.stderr).trim()))
}

/// Whether a program can be run.
pub(crate) fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Installs what is missing.
pub(crate) async fn install_packages() -> Result<(), Failure> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} ...", missing.join(", "));
    let install = format!(
        "apt-get install -y --no-install-recommends {0} || {{ apt-get update && apt-get install -y --no-install-recommends {0}; }}",
        missing.join(" ")
    );
    let output =
        Command::new("sh").args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive").output().await?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// Gives the node its link and lets packets through.
pub(crate) async fn prepare() -> Result<(), Failure> {
    run("ip", &["link", "add", LINK, "type", "bridge"]).await?;
    run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", LINK]).await?;
    run("ip", &["link", "set", LINK, "up"]).await?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(())
}

/// Removes links, rules and mounts. What is not there is no error.
pub(crate) async fn clean() {
    for link in [BRIDGE, LINK] {
        let _ = run("ip", &["link", "delete", link]).await;
    }
    // The chains of kube-proxy, kubelet and the CNI plugins, and the rules that lead to them.
    for (save, restore) in [("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore")] {
        let filter = format!("{save} | grep -vE 'KUBE-|CNI-' | {restore}");
        let _ = run("sh", &["-c", &filter]).await;
    }
    let _ =
        run("sh", &["-c", "grep -o '[^ ]*/booking-e2e-[^ ]*' /proc/mounts | sort -r | xargs -r umount -l"])
            .await;
    let _ = run("sh", &["-c", "rm -rf /tmp/booking-e2e-*"]).await;
}

/// Runs a command; what it complains of is the error.
pub(crate) async fn run(program: &str, args: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(args).output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
}
