//! What a node uses of this machine. Afterwards nothing of it remains except the packages that were missing.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::failure::Failure;

/// The node's address. It is on a link of its own (a bridge without ports, because small kernels have no dummy
/// devices). Pods cannot reach loopback.
pub(crate) const ADDRESS: &str = "10.245.0.1";
pub(crate) const LINK: &str = "booking-e2e";
/// The bridge of the node's Pods.
pub(crate) const BRIDGE: &str = "booking-cni";
const PROGRAMS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("buildah", "buildah"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
];

/// This file exists while our node is up, and after it was killed. It holds the earlier settings, for the cleanup.
const MARKER: &str = "/run/booking-e2e";
/// The settings that kubelet, kube-proxy and [`prepare`] change.
const SETTINGS: [&str; 9] = [
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "vm/overcommit_memory",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
];
/// What kubelet, containerd and CNI plugins make outside of the paths that they are told to use.
const MADE: [&str; 6] = [
    "/run/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// Checks that this machine can have a node. The error says why it cannot.
pub(crate) fn can_have_a_node() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("it takes Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("it takes root, or a current cluster of kind or k3d".to_owned());
    }
    let installed = PROGRAMS.iter().all(|(program, _)| is_there(program));
    if !installed && !is_there("apt-get") {
        return Err("containerd, runc, iptables, conntrack, buildah or the CNI plugins are missing, and there is no apt-get".to_owned());
    }
    may_have_a_link()?;
    may_have_control_groups()?;
    // Remains of our own killed node are cleaned away. Remains of other nodes are not.
    if Path::new(MARKER).exists() { Ok(()) } else { is_no_node() }
}

/// Refuses a machine on which containers of others use what our node would use and remove at its end.
fn is_no_node() -> Result<(), String> {
    let rules = rules();
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let cni = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("cni-");
    let found = [
        (rules.contains("KUBE-"), "rules of a kubelet or of kube-proxy"),
        (rules.contains("CNI-"), "rules of CNI plugins"),
        (namespaces.into_iter().any(|it| cni(&it.file_name())), "network namespaces of CNI plugins"),
        (pod_groups().next().is_some(), "control groups of Pods"),
    ];
    match found.into_iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(format!("this machine runs containers already: it has {what}")),
        None => Ok(()),
    }
}

/// The control groups of Pods of a kubelet on this machine. A node in a container has others.
fn pod_groups() -> impl Iterator<Item = PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(root.to_owned()).chain(controllers).map(|at| at.join("kubepods")).filter(|at| at.exists())
}

/// The packet rules, or none if they cannot be read.
fn rules() -> String {
    let saved = std::process::Command::new("iptables-save").env("PATH", system_path()).output();
    saved.map(|saved| String::from_utf8_lossy(&saved.stdout).into_owned()).unwrap_or_default()
}

/// Checks the rights to make links and packet rules. Root in a container may lack them.
fn may_have_a_link() -> Result<(), String> {
    let probe = "booking-probe";
    let ip = |verb: &str| {
        let args = ["link", verb, probe, "type", "bridge"];
        std::process::Command::new("ip").args(args).env("PATH", system_path()).output()
    };
    let made = ip("add").map_err(|error| format!("there is no ip: {error}"))?;
    let _ = ip("delete");
    if made.status.success() {
        return Ok(());
    }
    Err(format!("no network links may be made here: {}", String::from_utf8_lossy(&made.stderr).trim()))
}

/// Checks the right to make control groups. Root in a container may lack it, or may have only groups with processes.
fn may_have_control_groups() -> Result<(), String> {
    let root = Path::new("/sys/fs/cgroup");
    // This is the second version of control groups, below the root of all.
    if root.join("cgroup.type").exists() {
        return Err("the control groups are those of a container".to_owned());
    }
    let controller = if root.join("memory").exists() { root.join("memory") } else { root.to_owned() };
    let probe = controller.join("booking-probe");
    std::fs::create_dir(&probe)
        .and_then(|()| std::fs::remove_dir(&probe))
        .map_err(|error| format!("no control groups may be made here: {}: {error}", probe.display()))
}

/// `PATH`, with the folders of the system's own programs.
pub(crate) fn system_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    std::env::split_paths(&system_path()).any(|directory| directory.join(program).is_file())
}

/// The folder of the checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Installs missing packages.
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
    let mut apt = Command::new("sh");
    apt.args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive");
    output(apt).await.map(drop)
}

/// This machine while our node is on it.
pub(crate) struct Taken {
    directory: PathBuf,
    _lock: File,
}

/// Takes the machine for a node. Nobody else can take it meanwhile, and the remains of a killed node are removed.
pub(crate) async fn take() -> Result<Taken, Failure> {
    let lock = File::create(format!("{MARKER}.lock"))?;
    lock.try_lock().map_err(|_| "another e2e runs on this machine")?;
    clean().await;
    let setting =
        |name: &&str| Some(format!("{name}={}\n", std::fs::read_to_string(proc(name)).ok()?.trim()));
    let made = MADE.iter().filter(|path| !Path::new(path).exists()).map(|path| format!("{path}\n"));
    std::fs::write(MARKER, SETTINGS.iter().filter_map(setting).chain(made).collect::<String>())?;
    let directory = tempfile::Builder::new().prefix("booking-e2e-").tempdir_in("/tmp")?.keep();
    Ok(Taken { directory, _lock: lock })
}

impl Taken {
    /// The folder of everything that belongs to the node.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Restores the machine.
    pub(crate) async fn give_back(self) {
        clean().await;
    }
}

fn proc(setting: &str) -> String {
    format!("/proc/sys/{setting}")
}

/// Gives the node its link, and allows its packets.
pub(crate) async fn prepare() -> Result<(), Failure> {
    run("ip", &["link", "add", LINK, "type", "bridge"]).await?;
    run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", LINK]).await?;
    run("ip", &["link", "set", LINK, "up"]).await?;
    std::fs::write(proc("net/ipv4/ip_forward"), "1")?;
    Ok(())
}

/// Removes everything that our node leaves, if there is or was one: processes, mounts, links, rules, control groups,
/// files. Then it restores the settings. A missing item is not an error.
async fn clean() {
    let Ok(settings) = std::fs::read_to_string(MARKER) else { return };
    // Containers outlive the node's programs.
    let groups: Vec<String> = pod_groups().map(|at| at.display().to_string()).collect();
    let groups = groups.join(" ");
    let kill =
        format!("for f in $(find {groups} -name cgroup.procs); do kill -9 $(cat $f) 2>/dev/null; done");
    let remove = format!("find {groups} -depth -type d -exec rmdir {{}} +");
    let group = |script: String| if groups.is_empty() { "true".to_owned() } else { script };
    for script in [
        group(kill).as_str(),
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^[^ ]*containerd-shim.*/booking-e2e-' && kill -9 ${p#/proc/}; done",
        "sleep 0.2; grep -o '[^ ]*/booking-e2e-[^ ]*' /proc/mounts | sort -r | xargs -r umount -l",
        "for n in $(ls /run/netns 2>/dev/null | grep '^cni-'); do umount -l /run/netns/$n; rm -f /run/netns/$n; done",
        group(remove).as_str(),
        // These are the chains of kube-proxy, kubelet and the CNI plugins, and the rules that lead to them.
        "for v in iptables ip6tables; do $v-save | grep -vE 'KUBE-|CNI-' | $v-restore; done",
        "rm -f /var/lib/cni/results/e2e-*",
        "rm -rf /tmp/booking-e2e-*",
    ] {
        let _ = run("sh", &["-c", script]).await;
    }
    for link in [BRIDGE, LINK] {
        let _ = run("ip", &["link", "delete", link]).await;
    }
    for line in settings.lines() {
        match line.split_once('=') {
            Some((name, value)) => drop(std::fs::write(proc(name), value)),
            None if MADE.contains(&line) => drop(std::fs::remove_dir_all(line)),
            None => {}
        }
    }
    let _ = std::fs::remove_file(MARKER);
}

/// Runs a command. The error is what the command writes to stderr.
pub(crate) async fn run(program: &str, args: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.args(args);
    output(command).await
}

/// Runs a command and returns its output. The error is what the command writes to stderr.
pub(crate) async fn output(mut command: Command) -> Result<String, Failure> {
    let output = command.env("PATH", system_path()).kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let std = command.as_std();
    let words: Vec<_> =
        std::iter::once(std.get_program()).chain(std.get_args()).map(|it| it.to_string_lossy()).collect();
    Err(format!("{}: {told}", words.join(" ")).into())
}
