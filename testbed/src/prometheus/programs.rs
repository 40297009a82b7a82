//! Prometheus and its promtool: the programs on PATH, or else Debian's, unpacked into this user's cache.

use std::path::PathBuf;
use std::time::Duration;

use crate::cache_dir::{self, executable, on_path, run, say, staging};
use crate::guard::GuardedCommand;

/// The time for a package of 20 MB.
const LIMIT: Duration = Duration::from_mins(5);

/// `apt-get download` needs no rights. It needs lists of packages, which a new machine may not have.
const SCRIPT: &str = "set -e
apt-get download prometheus || { apt-get update -q && apt-get download prometheus; }
dpkg -x prometheus_*.deb .
mv usr/bin/prometheus usr/bin/promtool .";

/// A program of Prometheus: `prometheus` or `promtool`.
///
/// # Errors
/// If it is not there and cannot be fetched. The error says what was tried.
pub async fn program(name: &'static str) -> Result<PathBuf, String> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    let cache =
        cache_dir::find().ok_or("nowhere to put Prometheus: neither XDG_CACHE_HOME nor HOME is set")?;
    let directory = cache.join("prometheus-debian");
    let in_cache = || executable(directory.join(name));
    if let Some(found) = in_cache() {
        return Ok(found);
    }
    let file = |error: std::io::Error| format!("{}: {error}", cache.display());
    std::fs::create_dir_all(&cache).map_err(file)?;
    let _lock = cache_dir::lock(&cache.join(".lock-prometheus"), "Prometheus").await.map_err(file)?;
    // Another process may have put it there while this one waited.
    if let Some(found) = in_cache() {
        return Ok(found);
    }
    let made = staging(&cache)?;
    say(&format!("unpacking Prometheus (once; it is then kept in {})", directory.display()));
    let command = GuardedCommand::new("/bin/sh", made.path().join("log"))
        .args(["-c", SCRIPT])
        .current_dir(made.path())
        .remove_at_end(made.path());
    let unpacked = run(command, "unpacking Prometheus", LIMIT).await?;
    for program in ["prometheus", "promtool"] {
        cache_dir::put(&made.path().join(program), &directory)?;
    }
    unpacked.stop().await;
    in_cache().ok_or_else(|| format!("Debian's package has no {name}"))
}
