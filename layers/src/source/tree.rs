//! The modules of a crate, each with its file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::source::parse::{Child, Import, Mention, Module, parse};

/// All modules of one library or program. The first one is its root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Node>,
}

/// A module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    pub(crate) defines: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
}

/// Reads a file: its text, or None if there is no such file.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Tree {
    /// Reads a root file and all modules that it declares.
    pub(crate) fn read(root: &Path, read: Read<'_>) -> Result<Self, String> {
        let text = read(root).ok_or_else(|| format!("{}: cannot be read", root.display()))?;
        let mut tree = Self::default();
        tree.add(parse(&text), None, root, &directory(root), read)?;
        Ok(tree)
    }

    /// The files of all modules.
    pub(crate) fn files(&self) -> BTreeSet<&Path> {
        self.modules.iter().map(|module| module.file.as_path()).collect()
    }

    /// Adds a module with all modules below it. `home` is the directory of its children's files.
    fn add(
        &mut self,
        module: Module,
        parent: Option<usize>,
        file: &Path,
        home: &Path,
        read: Read<'_>,
    ) -> Result<usize, String> {
        let at = self.modules.len();
        let Module { defines, imports, mentions, .. } = module;
        let children = BTreeMap::new();
        self.modules.push(Node { file: file.to_owned(), parent, children, defines, imports, mentions });
        let mut children = BTreeMap::new();
        for (name, inline) in module.inline {
            let home = home.join(&name);
            children.insert(name, self.add(inline, Some(at), file, &home, read)?);
        }
        for child in module.children {
            let (found, text, home) = find(&child, file, home, read)
                .ok_or_else(|| format!("{}: no file for mod {}", file.display(), child.name))?;
            let module = parse(&text);
            if !module.is_test {
                children.insert(child.name, self.add(module, Some(at), &found, &home, read)?);
            }
        }
        if let Some(node) = self.modules.get_mut(at) {
            node.children = children;
        }
        Ok(at)
    }
}

/// A child's file, its text, and the directory of the child's own children.
fn find(child: &Child, file: &Path, home: &Path, read: Read<'_>) -> Option<(PathBuf, String, PathBuf)> {
    let candidates = match &child.path {
        Some(path) => vec![(directory(file).join(path), directory(&directory(file).join(path)))],
        None => vec![
            (home.join(&child.name).with_extension("rs"), home.join(&child.name)),
            (home.join(&child.name).join("mod.rs"), home.join(&child.name)),
        ],
    };
    candidates.into_iter().find_map(|(file, home)| read(&file).map(|text| (file, text, home)))
}

fn directory(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}
