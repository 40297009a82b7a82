//! Files that import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use crate::source::imports::{Edges, Reason};

/// A circle of files: each file reaches all others by imports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    pub(crate) folders: BTreeSet<PathBuf>,
    /// The imports between the files of the circle.
    pub(crate) edges: Edges,
}

impl Circle {
    /// Whether the circle is a failure.
    pub(crate) fn crosses_folders(&self) -> bool {
        self.folders.len() > 1
    }

    /// The number of files in the circle.
    pub(crate) fn files(&self) -> usize {
        self.edges.keys().map(|(from, _)| from).collect::<BTreeSet<_>>().len()
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ((from, to), Reason { line, path })) in self.edges.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}    {}:{line} -> {} ({path})", from.display(), to.display())?;
        }
        Ok(())
    }
}

/// All circles. Each is a strongly connected component of more than one file.
pub(crate) fn circles(files: &BTreeSet<&Path>, edges: &Edges) -> Vec<Circle> {
    components(edges)
        .into_iter()
        .map(|component| Circle {
            folders: component.iter().map(|file| folder(file, files)).collect(),
            edges: edges
                .iter()
                .filter(|((from, to), _)| {
                    component.contains(from.as_path()) && component.contains(to.as_path())
                })
                .map(|(edge, reason)| (edge.clone(), reason.clone()))
                .collect(),
        })
        .collect()
}

/// The folder that a file belongs to. A parent module belongs to the folder of its children.
fn folder(file: &Path, files: &BTreeSet<&Path>) -> PathBuf {
    let own = file.with_extension("");
    let has_children = files.iter().any(|other| other.starts_with(&own));
    if has_children { own } else { file.parent().map(Path::to_owned).unwrap_or_default() }
}

/// The components of more than one file. The files of a component reach each other.
fn components(edges: &Edges) -> Vec<BTreeSet<&Path>> {
    let mut forth: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        forth.entry(from).or_default().push(to);
    }
    let below: BTreeMap<&Path, BTreeSet<&Path>> =
        forth.keys().map(|file| (*file, reached_from(file, &forth))).collect();
    let reaches = |from: &Path, to: &Path| below.get(from).is_some_and(|below| below.contains(to));
    let mut found: Vec<BTreeSet<&Path>> = Vec::new();
    for file in forth.keys().copied().filter(|file| reaches(file, file)) {
        if !found.iter().any(|component| component.contains(file)) {
            found.push(forth.keys().copied().filter(|to| reaches(file, to) && reaches(to, file)).collect());
        }
    }
    found
}

/// All files that a file imports, directly or not.
fn reached_from<'a>(file: &'a Path, forth: &BTreeMap<&'a Path, Vec<&'a Path>>) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        open.extend(forth.get(file).into_iter().flatten().filter(|to| reached.insert(**to)));
    }
    reached
}

#[cfg(test)]
mod tests;
