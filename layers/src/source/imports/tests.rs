use std::path::{Path, PathBuf};

use super::*;

/// The imports of a crate, from files by name; the first is its root.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let tree = Tree::read(&PathBuf::from(files[0].0), &read).unwrap();
    let show = |((from, to), reason): (&(PathBuf, PathBuf), &Reason)| {
        format!("{} -> {} ({})", from.display(), to.display(), reason.path)
    };
    imports(&tree).iter().map(show).collect()
}

#[test]
fn a_path_leads_to_the_file_of_its_module() {
    // given files as `foo.rs`, as `foo/mod.rs`, and below each
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "mod inner;"),
        ("src/a/inner.rs", "use crate::b::deep::Deep; use super::super::b::Top;"),
        ("src/b/mod.rs", "mod deep; pub struct Top;"),
        ("src/b/deep.rs", "pub struct Deep;"),
    ];

    // when
    let edges = edges(&files);

    // then
    let expected = [
        "src/a/inner.rs -> src/b/deep.rs (crate::b::deep::Deep)",
        "src/a/inner.rs -> src/b/mod.rs (super::super::b::Top)",
    ];
    assert_eq!(edges, expected);
}

#[test]
fn a_module_that_is_imported_by_name_counts_when_something_is_taken_from_it() {
    // given
    let files = [
        ("src/main.rs", "mod a; mod b; mod c; fn main() { a::run(); }"),
        ("src/a.rs", "use crate::{b, c}; pub fn run() { b::help(); }"),
        ("src/b.rs", "pub fn help() {}"),
        ("src/c.rs", ""),
    ];

    // when
    let edges = edges(&files);

    // then
    assert_eq!(edges, ["src/a.rs -> src/b.rs (b::help)", "src/main.rs -> src/a.rs (a::run)"]);
}

#[test]
fn a_name_that_is_exported_again_leads_to_where_it_is_defined() {
    // given a root that re-exports by name and by glob, through a module that does so as well
    let files = [
        ("src/lib.rs", "mod a; mod b; pub use b::{Deep, Renamed as Other}; pub use b::*;"),
        ("src/a.rs", "use crate::{Deep, Other, Top}; const X: u8 = crate::Deep::X;"),
        ("src/b.rs", "mod deep; pub use deep::{Deep, Renamed}; pub struct Top;"),
        ("src/b/deep.rs", "pub struct Deep; pub struct Renamed;"),
    ];

    // when
    let edges = edges(&files);

    // then
    let from_a: Vec<&String> = edges.iter().filter(|edge| edge.starts_with("src/a.rs")).collect();
    assert_eq!(from_a, ["src/a.rs -> src/b/deep.rs (crate::Deep)", "src/a.rs -> src/b.rs (crate::Top)"]);
}

#[test]
fn what_belongs_to_other_crates_is_no_import_of_a_file() {
    // given paths of other crates, one of them named like a module elsewhere
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        (
            "src/a.rs",
            "use std::fmt; use ::b::X; use tokio::sync as s; fn f() { fmt::f(); s::g(); Vec::<u8>::new(); }",
        ),
        ("src/b.rs", ""),
    ];

    // when
    let edges = edges(&files);

    // then
    assert_eq!(edges, Vec::<String>::new());
}

#[test]
fn a_module_in_braces_belongs_to_its_file() {
    // given
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "mod inline { use super::Own; use crate::b::inline::Theirs; } struct Own;"),
        ("src/b.rs", "pub mod inline { pub struct Theirs; }"),
    ];

    // when
    let edges = edges(&files);

    // then
    assert_eq!(edges, ["src/a.rs -> src/b.rs (crate::b::inline::Theirs)"]);
}

#[test]
fn names_that_lead_round_in_a_circle_end() {
    // given re-exports that never reach a definition
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "pub use crate::b::X; pub use crate::b::*;"),
        ("src/b.rs", "pub use crate::a::X; pub use crate::a::*;"),
    ];

    // when
    let edges = edges(&files);

    // then
    assert_eq!(edges, ["src/a.rs -> src/b.rs (crate::b::X)", "src/b.rs -> src/a.rs (crate::a::X)"]);
}

#[test]
fn a_declared_module_without_a_file_is_an_error() {
    // given
    let read = |path: &Path| (path == Path::new("src/lib.rs")).then(|| "mod gone;".to_owned());

    // when
    let error = Tree::read(Path::new("src/lib.rs"), &read).unwrap_err();

    // then
    assert_eq!(error, "src/lib.rs: no file for mod gone");
}
