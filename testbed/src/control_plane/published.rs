//! Downloads the test control plane that the Kubernetes project publishes. If there is a network, this is faster than a
//! build.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache_dir::{put, run, staging};
use crate::guard::GuardedCommand;

/// The newest published 1.36. The archives do not follow every patch release.
const VERSION: &str = "v1.36.2";

const BASE: &str = "https://github.com/kubernetes-sigs/controller-tools/releases/download";

/// SHA-512 of the archives, from `envtest-releases.yaml` in the publisher's repository.
const SHA512_AMD64: &str = "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dc\
                            f30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08";
const SHA512_ARM64: &str = "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae2818\
                            1afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac";

/// Without a network this step must not take longer than this, in seconds.
const CONNECT_LIMIT: &str = "5";

/// The time for about 70 MB on a slow line.
const LIMIT: Duration = Duration::from_mins(5);

/// If this is set to anything but the empty string, the test bed does not download the archive.
const OFFLINE_VARIABLE: &str = "BOOKING_TESTBED_OFFLINE";

const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// Does the three steps in one guarded shell, so that they all end with the owner. $1 is the limit of the connection,
/// $2 the address, $3 the checksum.
const SCRIPT: &str = "set -e
curl --fail --silent --show-error --location --proto =https --connect-timeout \"$1\" --output archive \"$2\"
echo \"$3  archive\" | sha512sum --check --quiet -
tar -xzf archive --strip-components=2 controller-tools/envtest";

pub(super) fn directory(cache: &Path) -> PathBuf {
    cache.join(format!("control-plane-published-{VERSION}"))
}

/// Downloads, checks and unpacks the archive for this machine.
pub(super) async fn install(cache: &Path) -> Result<(), String> {
    if std::env::var_os(OFFLINE_VARIABLE).is_some_and(|value| !value.is_empty()) {
        return Err(format!("not tried, because {OFFLINE_VARIABLE} is set"));
    }
    let (architecture, checksum) = match ARCH {
        "x86_64" => ("amd64", SHA512_AMD64),
        "aarch64" => ("arm64", SHA512_ARM64),
        other => return Err(format!("there is none for {other}")),
    };
    let url = format!("{BASE}/envtest-{VERSION}/envtest-{VERSION}-linux-{architecture}.tar.gz");
    let staging = staging(cache)?;
    let at = staging.path();
    let command = GuardedCommand::new("/bin/sh", at.join("log"))
        .args(["-c", SCRIPT, "fetch", CONNECT_LIMIT, &url, checksum])
        .current_dir(at)
        .remove_at_end(at);
    let process = run(command, &format!("fetching {url}"), LIMIT).await?;
    let installed = PROGRAMS.iter().try_for_each(|program| put(&at.join(program), &directory(cache)));
    process.stop().await;
    installed
}
