//! Reads the file that says which namespaces may use which accounts and regions, and follows its changes.
//!
//! ```yaml
//! - namespaces: [team-a, team-b]   # or ["*"]
//!   role_arn: arn:aws:iam::123456789012:role/booking   # absent: the operator's own account
//!   external_id: some-secret       # if the role's trust policy asks for one
//!   regions: [eu-central-1, us-east-1]
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::decide::locations::{Allowed, Locations, account};
use serde::Deserialize;
use tokio::sync::watch;

/// How often the file is read. The kubelet takes up to a minute to update a changed `ConfigMap`.
const INTERVAL: Duration = Duration::from_secs(10);
/// The largest file that is read. A `ConfigMap` holds at most a mebibyte.
const SIZE_MAX: u64 = 1 << 20;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FileError {
    path: String,
    problem: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    namespaces: Vec<String>,
    #[serde(default)]
    role_arn: String,
    external_id: Option<String>,
    regions: Vec<String>,
}

/// Reads the file.
///
/// # Errors
/// [`FileError`] names the entry and the field.
pub fn read(path: &Path) -> Result<Vec<Allowed>, FileError> {
    let failed = |problem: String| FileError { path: path.display().to_string(), problem };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > SIZE_MAX {
        return Err(failed(format!("has {size} bytes; at most {SIZE_MAX} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(failed)
}

fn parse(text: &str) -> Result<Vec<Allowed>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<Entry> = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    entries.into_iter().enumerate().map(|(index, entry)| allowed(index, entry)).collect()
}

fn allowed(index: usize, entry: Entry) -> Result<Allowed, String> {
    let number = index + 1;
    if !entry.role_arn.is_empty() && account(&entry.role_arn).is_empty() {
        let role = &entry.role_arn;
        return Err(format!("entry {number}: role_arn: {role:?} is not the ARN of a role"));
    }
    for (field, values) in [("namespaces", &entry.namespaces), ("regions", &entry.regions)] {
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(format!("entry {number}: {field}: is empty; name at least one"));
        }
    }
    Ok(Allowed {
        namespaces: entry.namespaces.into_iter().collect(),
        role_arn: entry.role_arn,
        regions: entry.regions.into_iter().collect(),
        external_id: entry.external_id.filter(|id| !id.is_empty()),
    })
}

/// Reads the file periodically and publishes changes. If the file cannot be read, nothing changes.
pub async fn follow(path: PathBuf, known: watch::Sender<Arc<Locations>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut said = None;
    loop {
        ticks.tick().await;
        match read(&path) {
            Ok(allowed) => {
                said = None;
                let locations = Arc::new(known.borrow().allowing(allowed));
                let is_news = known.send_if_modified(|now| {
                    let is_news = *now != locations;
                    *now = locations;
                    is_news
                });
                if is_news {
                    tracing::info!(path = %path.display(), "accounts and regions have changed");
                }
            }
            Err(error) if said.as_deref() != Some(error.problem.as_str()) => {
                tracing::error!(%error, "accounts and regions stay as they were");
                said = Some(error.problem);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_namespaces_role_regions_and_external_id() {
        let text = "- namespaces: [a, b]\n  role_arn: arn:aws:iam::123456789012:role/x\n  external_id: s\n  regions: \
                    [eu-central-1]\n- namespaces: ['*']\n  regions: [us-east-1]\n";
        let read = parse(text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].external_id.as_deref(), Some("s"));
        assert!(read[0].namespaces.contains("b") && read[1].role_arn.is_empty());
        assert_eq!(parse("").unwrap(), vec![]);
    }

    #[test]
    fn a_mistake_is_named() {
        let table = [
            ("- namespaces: [a]\n  role_arn: x\n  regions: [r]", "entry 1: role_arn: \"x\""),
            ("- namespaces: []\n  regions: [r]", "entry 1: namespaces"),
            ("- namespaces: [a]\n  regions: []", "entry 1: regions"),
            ("- namespaces: [a]", "regions"),
            ("- namespaces: [a]\n  region: r\n  regions: [r]", "region"),
            ("just text", "sequence"),
        ];
        for (text, says) in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_taken_and_a_broken_one_changes_nothing() {
        // given an operator that follows a file
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.yaml");
        std::fs::write(&path, "- namespaces: [a]\n  regions: [us-east-1]").unwrap();
        let sender = watch::Sender::new(Arc::new(Locations::new("", "eu-central-1", vec![])));
        let mut seen = sender.subscribe();
        let follows = tokio::spawn(follow(path.clone(), sender));
        // when it has an entry, then the entry is used
        seen.changed().await.unwrap();
        assert!(seen.borrow_and_update().find("a", None, Some("us-east-1")).is_ok());
        // when it is broken, then nothing changes
        std::fs::write(&path, "nonsense").unwrap();
        assert!(tokio::time::timeout(INTERVAL * 3, seen.changed()).await.is_err());
        // when it is repaired, then it is used again
        std::fs::write(&path, "[]").unwrap();
        seen.changed().await.unwrap();
        assert!(seen.borrow_and_update().find("a", None, Some("us-east-1")).is_err());
        follows.abort();
    }
}
