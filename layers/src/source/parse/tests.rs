use super::*;

/// Imports as `path as name`, or `path::*`.
fn imports(text: &str) -> Vec<String> {
    let show = |Import { segments, name, .. }: Import| match name {
        Some(name) => format!("{} as {name}", segments.join("::")),
        None => format!("{}::*", segments.join("::")),
    };
    parse(text).imports.into_iter().map(show).collect()
}

fn mentions(text: &str) -> Vec<String> {
    parse(text).mentions.into_iter().map(|mention| mention.segments.join("::")).collect()
}

fn children(text: &str) -> Vec<String> {
    parse(text).children.into_iter().map(|child| child.name).collect()
}

#[test]
fn a_use_is_read_with_its_groups_new_names_and_globs() {
    // given a tree of every form
    let text =
        "use crate::{a::{self, B as C}, d::*, self::e}; pub(in crate::x) use super::super::f; use ::g::h;";

    // when
    let imports = imports(text);

    // then
    let expected = [
        "crate::a as a",
        "crate::a::B as C",
        "crate::d::*",
        "crate::e as e",
        "super::super::f as f",
        "::g::h as h",
    ];
    assert_eq!(imports, expected);
}

#[test]
fn an_import_knows_its_line() {
    // given
    let text = "/* two\nlines */\nuse crate::{\n    a,\n    b,\n};\n";

    // when
    let imports = parse(text).imports;

    // then
    assert_eq!(imports.iter().map(|import| import.line).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn paths_in_code_are_mentions() {
    // given paths in a body, a type, a macro and a pattern
    let text =
        "fn f(x: super::X) -> Vec<u8> { g!($crate::a::b!()); match x { wire::C { .. } => x.h::<i::J>() } }";

    // when
    let mentions = mentions(text);

    // then
    assert_eq!(mentions, ["super::X", "crate::a::b", "wire::C", "i::J"]);
}

#[test]
fn what_stands_in_comments_strings_and_characters_is_no_mention() {
    // given
    let text = r##"
        /// [`crate::a`]
        /* crate::b /* crate::c */ crate::d */
        const X: &str = "crate::e \" crate::f"; // crate::g
        const Y: (&str, char, u8) = (r#"crate::h " crate::i"#, '"', b'\'');
        fn f<'a>(x: &'a str) -> &'a str { x }
        const Z: X = crate::found::Z;
    "##;

    // when
    let mentions = mentions(text);

    // then
    assert_eq!(mentions, ["crate::found::Z"]);
}

#[test]
fn an_attribute_mentions_what_it_names_in_a_string() {
    // given
    let text = r#"#[serde(with = "crate::instant")] #[error("see {}", super::NAME)] struct X;"#;

    // when
    let mentions = mentions(text);

    // then
    assert_eq!(mentions, ["crate::instant", "super::NAME"]);
}

#[test]
fn a_visibility_is_no_mention() {
    // given
    let text = "pub(in crate::a) struct X { pub(in super::super) y: u8, pub(crate) z: u8 }";

    // when
    let mentions = mentions(text);

    // then
    assert_eq!(mentions, Vec::<String>::new());
}

#[test]
fn modules_are_children_or_inline() {
    // given
    let text = "mod a; #[path = \"odd.rs\"] pub mod b; mod c { use super::X; mod d; } fn e() {}";

    // when
    let module = parse(text);

    // then
    let expected = [
        Child { name: "a".to_owned(), path: None },
        Child { name: "b".to_owned(), path: Some("odd.rs".to_owned()) },
    ];
    assert_eq!(module.children, expected);
    let inline = &module.inline["c"];
    assert_eq!((inline.imports.len(), inline.children.len()), (1, 1));
    assert_eq!(module.defines, BTreeSet::from(["e".to_owned()]));
}

#[test]
fn a_file_defines_what_stands_outside_of_bodies() {
    // given items of every kind, and some that only a body or a type knows
    let text =
        "pub struct A(u8); enum B { X } pub trait C { type Y; fn z(); } type D = A; static mut E: u8 = 0;
        pub const fn f() { const INNER: u8 = 0; } macro_rules! g { () => {} }
        impl A { fn method() {} } const H: u8 = 0;";

    // when
    let defines = parse(text).defines;

    // then
    let expected = ["A", "B", "C", "D", "E", "H", "f", "g"].map(ToOwned::to_owned);
    assert_eq!(defines, BTreeSet::from(expected));
}

#[test]
fn code_of_tests_is_left_out() {
    // given tests in every form, each with a neighbour that stays
    let text = "
        #[cfg(test)] mod tests; mod a;
        #[cfg(test)] mod inline { use crate::no; } mod b;
        #[cfg(test)] #[path = \"c_tests.rs\"] mod c_tests; mod c;
        #[cfg(test)] use crate::{no, not::this}; use crate::x;
        #[cfg(all(test, unix))] pub(crate) fn helper(y: no::Y<A, B>) -> no::Z { no::y() } use crate::y;
        #[cfg(test)] const LIST: [u8; 2] = { [no::A, no::B] }; use crate::z;
        struct S { #[cfg(test)] seen: no::Seen, kept: yes::Kept }
        #[tokio::test] async fn test() { no::test() }
    ";

    // when
    let module = parse(text);

    // then
    assert_eq!(children(text), ["a", "b", "c"]);
    assert_eq!(module.children.iter().filter(|child| child.path.is_some()).count(), 0);
    assert_eq!(imports(text), ["crate::x as x", "crate::y as y", "crate::z as z"]);
    assert_eq!(mentions(text), ["yes::Kept"]);
}

#[test]
fn code_that_is_not_of_tests_alone_stays() {
    // given
    let text = "#[cfg(any(test, feature = \"planted\"))] mod a; #[cfg(not(test))] mod b; #[cfg(unix)] mod c;";

    // when
    let children = children(text);

    // then
    assert_eq!(children, ["a", "b", "c"]);
}

#[test]
fn a_whole_file_may_be_of_tests() {
    // given
    let text = "//! Tests.\n#![cfg(test)]\nuse crate::x;";

    // when
    let module = parse(text);

    // then
    assert!(module.is_test);
}
