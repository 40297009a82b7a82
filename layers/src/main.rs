//! `layers`: checks which crates and which files may use each other.
//!
//! | module | what it checks |
//! |---|---|
//! | `crates` | each workspace crate uses only the workspace crates that `layers/allowed.yaml` allows |
//! | `external` | the builds that the file names do not contain the crates that it forbids |
//! | `circles` | files of different folders do not import each other in a circle |
//! | `allowed`, `workspace`, `source` | the file, the crates, the imports of files |

mod allowed;
mod circles;
mod crates;
mod external;
mod source;
mod workspace;

use std::{
    fs::read_to_string,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    allowed::{Allowed, FILE},
    circles::{Circle, circles},
    source::{imports::imports, tree::Tree},
    workspace::{Member, Workspace},
};

fn main() -> ExitCode {
    match check() {
        Ok(problems) if problems.is_empty() => {
            println!("layers: ok");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            println!("layers: {} problem(s)", problems.len());
            for problem in problems {
                println!("  {problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("layers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the graph. Returns the violations.
fn check() -> Result<Vec<String>, String> {
    let workspace = Workspace::find()?;
    let text = read_to_string(workspace.root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let allowed = Allowed::parse(&text)?;
    println!("crates\n{}", crates::table(&workspace.crates));
    let mut problems = crates::problems(&workspace.crates, &allowed);
    println!("builds");
    for set in allowed.feature_sets.iter().filter(|set| workspace.crates.contains_key(&set.of)) {
        let found = external::problems(set)?;
        let verdict = if found.is_empty() { "without" } else { "NOT without" };
        println!("  {}: {verdict} {}", set.name, set.without.join(", "));
        problems.extend(found);
    }
    println!("\nfiles");
    for (name, member) in &workspace.crates {
        problems.extend(check_files(&workspace.root, name, member)?);
    }
    println!();
    Ok(problems)
}

/// Prints a crate's circles. Returns those across folders.
fn check_files(root: &Path, name: &str, member: &Member) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut files = 0;
    for target in &member.roots {
        let target: PathBuf = target.strip_prefix(root).unwrap_or(target).to_owned();
        let tree = Tree::read(&target, &|file| read_to_string(root.join(file)).ok())?;
        files += tree.files().len();
        found.extend(circles(&tree.files(), &imports(&tree)));
    }
    let (across, within): (Vec<Circle>, Vec<Circle>) = found.into_iter().partition(Circle::crosses_folders);
    println!("  {name}: {files} files, {} circles across folders, {} within one", across.len(), within.len());
    for circle in &within {
        println!("    within {}, {} files:\n{circle}", folders(circle), circle.files());
    }
    let message = |circle: &Circle| {
        format!("{name}: {} files of {} import each other:\n{circle}", circle.files(), folders(circle))
    };
    Ok(across.iter().map(message).collect())
}

fn folders(circle: &Circle) -> String {
    circle.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}
