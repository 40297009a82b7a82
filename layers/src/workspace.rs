//! The crates of the workspace, as cargo reports them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) crates: BTreeMap<String, Member>,
}

/// A crate of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// The crates of the workspace that its product code uses, with any features.
    pub(crate) uses: BTreeSet<String>,
    /// The crates that only its tests use.
    pub(crate) tests: BTreeSet<String>,
    /// The root files of its library and its programs.
    pub(crate) roots: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo for the workspace.
    pub(crate) fn find() -> Result<Self, String> {
        Self::parse(&cargo(&["metadata", "--no-deps", "--format-version=1", "--locked"])?)
    }

    fn parse(metadata: &str) -> Result<Self, String> {
        let Metadata { workspace_root, packages } =
            serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
        let names: BTreeSet<String> = packages.iter().map(|package| package.name.clone()).collect();
        let crates =
            packages.into_iter().map(|package| (package.name.clone(), package.member(&names))).collect();
        Ok(Self { root: workspace_root, crates })
    }
}

impl Package {
    fn member(self, names: &BTreeSet<String>) -> Member {
        let mut member = Member::default();
        for Dependency { name, kind } in self.dependencies.into_iter().filter(|it| names.contains(&it.name)) {
            let is_for_tests = kind.as_deref() == Some("dev");
            if is_for_tests { &mut member.tests } else { &mut member.uses }.insert(name);
        }
        let is_product =
            |target: &Target| target.kind.iter().any(|kind| kind == "bin" || kind.contains("lib"));
        member.roots = self.targets.into_iter().filter(is_product).map(|target| target.src_path).collect();
        member
    }
}

/// Runs cargo and returns its output. Its other messages and the reason of a failure go to the terminal.
pub(crate) fn cargo(args: &[&str]) -> Result<String, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let command = || format!("cargo {}", args.join(" "));
    let ran = Command::new(program)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", command()))?;
    if !ran.status.success() {
        return Err(format!("{}: {}", command(), ran.status));
    }
    String::from_utf8(ran.stdout).map_err(|error| format!("{}: {error}", command()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_uses_what_its_product_code_needs_and_tests_may_need_more() {
        // given what cargo says of two crates, one of which uses the other and an external one
        let metadata = r#"{
            "workspace_root": "/w",
            "packages": [
                { "name": "ring", "dependencies": [], "targets": [] },
                { "name": "testbed", "dependencies": [], "targets": [] },
                {
                    "name": "app",
                    "dependencies": [
                        { "name": "ring", "kind": null },
                        { "name": "serde", "kind": null },
                        { "name": "testbed", "kind": "dev" }
                    ],
                    "targets": [
                        { "kind": ["lib"], "src_path": "/w/app/src/lib.rs" },
                        { "kind": ["bin"], "src_path": "/w/app/src/main.rs" },
                        { "kind": ["test"], "src_path": "/w/app/tests/app.rs" }
                    ]
                }
            ]
        }"#;

        // when
        let workspace = Workspace::parse(metadata).unwrap();

        // then
        let app = &workspace.crates["app"];
        assert_eq!(app.uses, BTreeSet::from(["ring".to_owned()]));
        assert_eq!(app.tests, BTreeSet::from(["testbed".to_owned()]));
        let roots = ["/w/app/src/lib.rs", "/w/app/src/main.rs"].map(PathBuf::from);
        assert_eq!(app.roots, roots);
    }
}
