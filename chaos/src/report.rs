//! `target/chaos/report.json`: each command writes its part and keeps those of the others.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// The path of the report, relative to the directory in which `make` runs.
pub fn default_path() -> PathBuf {
    PathBuf::from("target/chaos/report.json")
}

/// Sets one part of a report: `sim`, `is_injected`, or `live`.
///
/// If the report cannot be read as JSON, a new one is begun.
///
/// # Errors
/// If the file system fails.
pub fn write_part(path: &Path, part: &str, content: Value) -> io::Result<()> {
    change(path, part, |_| content)
}

/// Sets entries of one part of a report. Its other entries stay as an earlier run left them.
///
/// # Errors
/// The errors of [`write_part`].
pub fn merge_part(path: &Path, part: &str, entries: Map<String, Value>) -> io::Result<()> {
    change(path, part, |old| {
        let mut all = old.and_then(|old| old.as_object().cloned()).unwrap_or_default();
        all.extend(entries);
        Value::Object(all)
    })
}

fn change(path: &Path, part: &str, new: impl FnOnce(Option<Value>) -> Value) -> io::Result<()> {
    let mut report: Map<String, Value> =
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let content = new(report.remove(part));
    report.insert(part.to_owned(), content);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Another command may write at the same time. A rename ensures that no command reads half a file.
    let draft = path.with_extension(format!("{part}.tmp"));
    fs::write(&draft, format!("{:#}\n", Value::Object(report)))?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_part_is_replaced_and_the_others_stay() {
        // given a report with two parts, in a folder that did not exist
        let folder = std::env::temp_dir().join(format!("chaos-report-{}", std::process::id()));
        let path = folder.join("report.json");
        write_part(&path, "sim", json!({ "seeds": 1 })).unwrap();
        write_part(&path, "live", json!({ "n": 2 })).unwrap();
        // when one is written again
        write_part(&path, "sim", json!({ "seeds": 3 })).unwrap();
        // then the other is as it was
        let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(report, json!({ "sim": { "seeds": 3 }, "live": { "n": 2 } }));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn entries_of_a_part_are_replaced_and_the_others_stay() {
        // given a part with two entries
        let folder = std::env::temp_dir().join(format!("chaos-entries-{}", std::process::id()));
        let path = folder.join("report.json");
        write_part(&path, "live", json!({ "sigkill": 1, "graceful": 2 })).unwrap();
        // when one is written again
        merge_part(&path, "live", json!({ "sigkill": 3 }).as_object().cloned().unwrap()).unwrap();
        // then the other is as it was
        let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(report, json!({ "live": { "sigkill": 3, "graceful": 2 } }));
        fs::remove_dir_all(&folder).unwrap();
    }
}
