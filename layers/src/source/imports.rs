//! The imports between files.
//!
//! A name is followed through `pub use` to the file that defines it, because a crate's root may re-export any name. The
//! import of a module by its name is not an edge. What is used from the module is.

use std::{collections::BTreeMap, path::PathBuf};

use crate::source::tree::{Node, Tree};

/// Imports between files: the importing file, the imported file, and the first place that imports.
pub(crate) type Edges = BTreeMap<(PathBuf, PathBuf), Reason>;

/// The place of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// The largest number of re-exports of re-exports that are followed.
const REEXPORTS: usize = 8;

#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    /// Something that a module defines.
    Item(usize),
}

/// All imports between the files of a crate.
pub(crate) fn imports(tree: &Tree) -> Edges {
    let mut edges = Edges::new();
    for (at, module) in tree.modules.iter().enumerate() {
        let imports = module.imports.iter().map(|it| (&it.segments, it.line, it.name.is_none()));
        let mentions = module.mentions.iter().map(|it| (&it.segments, it.line, false));
        for (segments, line, is_glob) in imports.chain(mentions) {
            let to = match tree.resolve(at, segments, REEXPORTS) {
                Some(Target::Item(to)) => to,
                Some(Target::Module(to)) if is_glob => to,
                Some(Target::Module(_)) | None => continue,
            };
            let Some(to) = tree.modules.get(to).filter(|to| to.file != module.file) else { continue };
            let reason = Reason { line, path: segments.join("::") };
            let known = edges.entry((module.file.clone(), to.file.clone())).or_insert_with(|| reason.clone());
            if reason.line < known.line {
                *known = reason;
            }
        }
    }
    edges
}

impl Tree {
    fn at(&self, at: usize) -> Option<&Node> {
        self.modules.get(at)
    }

    /// What a path means in a module. None if it belongs to another crate.
    fn resolve(&self, at: usize, segments: &[String], budget: usize) -> Option<Target> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, budget),
            "self" => self.walk(at, rest, budget),
            "super" => self.walk(self.at(at)?.parent?, rest, budget),
            name => self.member(at, name, rest, budget),
        }
    }

    /// What a path means from a module on. If a name is not found there, a macro of that module makes it.
    fn walk(&self, at: usize, segments: &[String], budget: usize) -> Option<Target> {
        let Some((first, rest)) = segments.split_first() else { return Some(Target::Module(at)) };
        match first.as_str() {
            "super" => self.walk(self.at(at)?.parent?, rest, budget),
            "self" => self.walk(at, rest, budget),
            name => self.member(at, name, rest, budget).or(Some(Target::Item(at))),
        }
    }

    /// What a name with a path behind it means in a module: its child, its own item, or an import.
    fn member(&self, at: usize, name: &str, rest: &[String], budget: usize) -> Option<Target> {
        let module = self.at(at)?;
        if let Some(child) = module.children.get(name) {
            return self.walk(*child, rest, budget);
        }
        if module.defines.contains(name) {
            return Some(Target::Item(at));
        }
        let budget = budget.checked_sub(1)?;
        if let Some(import) = module.imports.iter().find(|import| import.name.as_deref() == Some(name)) {
            return self.resolve(at, &[&import.segments, rest].concat(), budget);
        }
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        globs.into_iter().find_map(|import| match self.resolve(at, &import.segments, budget)? {
            Target::Module(from) if from != at => self.member(from, name, rest, budget),
            Target::Module(_) | Target::Item(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
