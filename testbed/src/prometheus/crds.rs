//! The kinds of the Prometheus operator that `deploy/` uses, as its project publishes them, in this user's cache.

use std::path::PathBuf;
use std::time::Duration;

use crate::cache_dir::{self, run, say, staging};
use crate::guard::GuardedCommand;

const VERSION: &str = "v0.92.0";

/// The SHA-256 of the files, from that version's module in Go's checksum database.
const FILES: [(&str, &str); 2] = [
    (
        "monitoring.coreos.com_podmonitors.yaml",
        "1f7dec723dd75a6d926dbadaabba8827577b2eca864cf59ac51ee9ccc5adc6dc",
    ),
    (
        "monitoring.coreos.com_prometheusrules.yaml",
        "322438a788fb7490c9bf3370bd7bca7aea856c50617df13b1c337f8649b3c87c",
    ),
];

/// The time for a module of 4 MB.
const LIMIT: Duration = Duration::from_mins(3);

/// Fetches a file from the repository's own address if there is a network, else from the module in Go's proxies. $1 is
/// the version, $2 the file, $3 the checksum.
const SCRIPT: &str = r#"set -e
from=https://raw.githubusercontent.com/prometheus-operator/prometheus-operator/$1/example/prometheus-operator-crd
{ [ -z "$BOOKING_TESTBED_OFFLINE" ] && curl --fail --silent --show-error --proto =https --connect-timeout 5 --output "$2" "$from/$2"; } || {
  export GOWORK=off GOFLAGS=
  module=$(go mod download -json "github.com/prometheus-operator/prometheus-operator@$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  cp "$module/example/prometheus-operator-crd/$2" "$2"
}
echo "$3  $2" | sha256sum --check --quiet -"#;

/// The definitions of the kinds, a file for each.
///
/// # Errors
/// If they are not there and cannot be fetched. The error says what was tried.
pub async fn crds() -> Result<Vec<PathBuf>, String> {
    let cache = cache_dir::find().ok_or("nowhere to put them: neither XDG_CACHE_HOME nor HOME is set")?;
    let directory = cache.join(format!("prometheus-operator-{VERSION}"));
    let file = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(&directory).map_err(file)?;
    let _lock = cache_dir::lock(&cache.join(".lock-prometheus-operator"), "its kinds").await.map_err(file)?;
    let mut found = Vec::new();
    for (name, checksum) in FILES {
        let path = directory.join(name);
        if !path.exists() {
            let made = staging(&cache)?;
            say(&format!("fetching {name} (once; it is then kept in {})", directory.display()));
            let command = GuardedCommand::new("/bin/sh", made.path().join("log"))
                .args(["-c", SCRIPT, "fetch", VERSION, name, checksum])
                .current_dir(made.path())
                .remove_at_end(made.path());
            let fetched = run(command, &format!("fetching {name}"), LIMIT).await?;
            std::fs::rename(made.path().join(name), &path).map_err(file)?;
            fetched.stop().await;
        }
        found.push(path);
    }
    Ok(found)
}
