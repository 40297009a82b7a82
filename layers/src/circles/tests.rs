use super::*;
use crate::source::{imports::imports, tree::Tree};

/// Circles of a crate's files; the first is its root.
fn circles_of(files: &[(&str, &str)]) -> Vec<Circle> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let tree = Tree::read(Path::new(files[0].0), &read).unwrap();
    circles(&tree.files(), &imports(&tree))
}

#[test]
fn files_that_only_import_downwards_make_no_circle() {
    // given a chain, and two files above the same one
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("src/a.rs", "use crate::{b::B, c::C}; pub struct A(B, C);"),
        ("src/b.rs", "use crate::c::C; pub struct B(C);"),
        ("src/c.rs", "pub struct C;"),
    ];

    // when
    let circles = circles_of(&files);

    // then
    assert_eq!(circles, []);
}

#[test]
fn a_circle_across_folders_is_found_and_printed_with_its_imports() {
    // given files of two folders that import each other, by way of a third file
    let files = [
        ("src/lib.rs", "mod ec2;\nmod sts;\nmod clock;"),
        ("src/ec2/mod.rs", "pub mod wire;"),
        ("src/ec2/wire.rs", "use crate::sts::Request;\npub struct Params(Request);"),
        ("src/sts/mod.rs", "mod wire;\npub use wire::Request;"),
        ("src/sts/wire.rs", "use crate::clock::now;\npub struct Request;"),
        ("src/clock.rs", "\nfn f(_: crate::ec2::wire::Params) {}\npub fn now() {}"),
    ];

    // when
    let circles = circles_of(&files);

    // then
    let [circle] = circles.as_slice() else { panic!("{circles:?}") };
    assert!(circle.crosses_folders());
    assert_eq!(circle.folders, BTreeSet::from(["src", "src/ec2", "src/sts"].map(PathBuf::from)));
    assert_eq!(circle.files(), 3);
    let expected = "    src/clock.rs:2 -> src/ec2/wire.rs (crate::ec2::wire::Params)
    src/ec2/wire.rs:1 -> src/sts/wire.rs (crate::sts::Request)
    src/sts/wire.rs:1 -> src/clock.rs (crate::clock::now)";
    assert_eq!(circle.to_string(), expected);
}

#[test]
fn a_parent_lies_in_the_folder_of_its_children() {
    for parent in ["src/ring.rs", "src/ring/mod.rs"] {
        // given a parent and a child that import each other
        let files = [
            ("src/lib.rs", "mod ring;"),
            (parent, "mod member; use member::Member; pub struct Shared(Member);"),
            ("src/ring/member.rs", "use super::Shared; pub struct Member(Shared);"),
        ];

        // when
        let circles = circles_of(&files);

        // then
        let [circle] = circles.as_slice() else { panic!("{circles:?}") };
        assert!(!circle.crosses_folders(), "{parent}");
        assert_eq!(circle.folders, BTreeSet::from([PathBuf::from("src/ring")]));
    }
}

#[test]
fn a_constant_of_the_root_that_a_folder_uses_makes_a_circle_across_folders() {
    // given a root that uses a folder, which uses a constant of the root
    let files = [
        ("src/main.rs", "mod scenarios; const LIMIT: u8 = 1; fn main() { scenarios::steady::run(); }"),
        ("src/scenarios/mod.rs", "pub mod steady;"),
        ("src/scenarios/steady.rs", "use crate::LIMIT; pub fn run() {}"),
    ];

    // when
    let circles = circles_of(&files);

    // then
    let [circle] = circles.as_slice() else { panic!("{circles:?}") };
    assert!(circle.crosses_folders());
}

#[test]
fn tests_make_no_circle() {
    // given files that import each other only in tests
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a/mod.rs", "use crate::b::B; pub struct A(B);"),
        ("src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] mod more;"),
        ("src/b/more.rs", "use crate::a::A;"),
    ];

    // when
    let circles = circles_of(&files);

    // then
    assert_eq!(circles, []);
}

#[test]
fn each_circle_is_told_apart() {
    // given two circles, one above the other
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "use crate::{b::B, c::C}; pub struct A;"),
        ("src/b.rs", "use crate::a::A; pub struct B;"),
        ("src/c.rs", "use crate::d::D; pub struct C;"),
        ("src/d.rs", "use crate::c::C; pub struct D;"),
    ];

    // when
    let circles = circles_of(&files);

    // then
    let files: Vec<Vec<&Path>> =
        circles.iter().map(|circle| circle.edges.keys().map(|(from, _)| from.as_path()).collect()).collect();
    assert_eq!(files, [["src/a.rs", "src/b.rs"].map(Path::new), ["src/c.rs", "src/d.rs"].map(Path::new)]);
}
