//! Builds etcd, kube-apiserver and kubectl with Go, from the modules that `testbed/control-plane` pins.
//!
//! On two cores this takes about four minutes for kube-apiserver, one for etcd, and half a minute for kubectl.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::versions::KUBERNETES_VERSION;
use crate::cache_dir::{executable, put, run, say, staging};
use crate::guard::GuardedCommand;

/// If a build takes longer than this, it hangs, even on one slow core.
const LIMIT: Duration = Duration::from_mins(45);

/// A program and its source.
struct Program {
    /// The name under which it is installed.
    name: &'static str,
    /// Its Go package.
    package: &'static str,
    /// The linker's flags, which give the program its version.
    linker_flags: fn() -> String,
    module: Module,
}

/// A pinned Go module. It exists only to name versions and checksums.
#[derive(Clone, Copy)]
struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
}

const KUBERNETES: Module = Module {
    go_mod: include_str!("../../control-plane/kubernetes/go.mod"),
    go_sum: include_str!("../../control-plane/kubernetes/go.sum"),
};

const ETCD: Module = Module {
    go_mod: include_str!("../../control-plane/etcd/go.mod"),
    go_sum: include_str!("../../control-plane/etcd/go.sum"),
};

const PROGRAMS: [Program; 3] = [
    Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", linker_flags: etcd_flags, module: ETCD },
    Program {
        name: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        linker_flags: kubernetes_flags,
        module: KUBERNETES,
    },
    Program {
        name: "kubectl",
        package: "k8s.io/kubernetes/cmd/kubectl",
        linker_flags: kubernetes_flags,
        module: KUBERNETES,
    },
];

const NODE_PROGRAMS: [Program; 4] = [
    node("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    node("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    node("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    node("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
];

const fn node(name: &'static str, package: &'static str) -> Program {
    Program { name, package, linker_flags: kubernetes_flags, module: KUBERNETES }
}

/// Builds the programs of a node and its control plane except etcd and kube-apiserver. It takes two minutes after
/// those.
pub(super) async fn install_node(cache: &Path, directory: &Path) -> Result<(), String> {
    install_all(&NODE_PROGRAMS, cache, directory).await
}

/// Builds the programs that `directory` does not have yet. Each program is installed as soon as it is built, so that an
/// interrupted build continues where it was.
pub(super) async fn install(cache: &Path, directory: &Path) -> Result<(), String> {
    install_all(&PROGRAMS, cache, directory).await
}

async fn install_all(programs: &[Program], cache: &Path, directory: &Path) -> Result<(), String> {
    for program in programs {
        if executable(directory.join(program.name)).is_none() {
            build(program, cache, directory).await?;
        }
    }
    Ok(())
}

async fn build(program: &Program, cache: &Path, directory: &Path) -> Result<(), String> {
    let staging = staging(cache)?;
    let at = staging.path();
    fs::write(at.join("go.mod"), program.module.go_mod)
        .and_then(|()| fs::write(at.join("go.sum"), program.module.go_sum))
        .map_err(|error| format!("cannot write {}: {error}", at.display()))?;
    let output = at.join(program.name);
    let command = GuardedCommand::new("go", at.join("log"))
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-ldflags",
            &(program.linker_flags)(),
            "-o",
        ])
        .arg(&output)
        .arg(program.package)
        .current_dir(at)
        .remove_at_end(at)
        // Static programs need no C compiler. A surrounding workspace or flags must not change the result.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env_remove("GOFLAGS");
    let what = format!("building {} from source", program.name);
    say(&format!("{what} (once; it is then kept in {})", directory.display()));
    let process = run(command, &what, LIMIT).await?;
    let installed = put(&output, directory);
    process.stop().await;
    installed
}

fn etcd_flags() -> String {
    "-s -w".to_owned()
}

/// Without these flags the server says that it is v0.0.0, and clients that compare versions go wrong.
fn kubernetes_flags() -> String {
    let package = "k8s.io/component-base/version";
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!(
        "-s -w -X {package}.gitVersion={KUBERNETES_VERSION} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::versions::ETCD_VERSION;
    use super::*;

    #[test]
    fn the_cache_is_named_after_the_versions_that_are_pinned() {
        assert!(KUBERNETES.go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}")));
        assert!(ETCD.go_mod.contains(&format!("go.etcd.io/etcd/server/v3 {ETCD_VERSION}")));
    }

    #[test]
    fn every_program_is_a_tool_of_its_pinned_module() {
        for program in PROGRAMS.iter().chain(&NODE_PROGRAMS) {
            assert!(program.module.go_mod.contains(program.package), "{}", program.name);
        }
    }
}
