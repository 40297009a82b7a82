//! One report that several commands write, each its own part.

use std::{fs, io, path::Path};

use serde_json::{Map, Value};

/// Puts `parts` into the object `name` of the report at `path`; what else is in it stays, other kinds of
/// earlier runs too.
///
/// # Errors
/// The file can't be read or written, or is no report.
pub(crate) fn merge(path: &Path, name: &str, parts: Map<String, Value>) -> io::Result<()> {
    let mut report: Map<String, Value> = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error),
    };
    let part = report.entry(name).or_insert_with(|| Value::Object(Map::new()));
    match part {
        Value::Object(old) => old.extend(parts),
        other => *other = Value::Object(parts),
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Nobody may find half a report.
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec_pretty(&report)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_writes_its_part_and_keeps_the_others() {
        // given
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/report.json");
        let parts = |value: Value| value.as_object().unwrap().clone();
        // when
        merge(&path, "sim", parts(json!({"seeds": 5}))).unwrap();
        merge(&path, "live", parts(json!({"sigkill": {"n": 1}, "scale": {"n": 3}}))).unwrap();
        merge(&path, "live", parts(json!({"sigkill": {"n": 2}}))).unwrap();
        // then
        let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = json!({"sim": {"seeds": 5}, "live": {"sigkill": {"n": 2}, "scale": {"n": 3}}});
        assert_eq!(report, expected);
    }
}
