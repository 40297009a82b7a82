//! Which workspace crate uses which, and whether it may.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    allowed::{Allowed, FILE, Uses},
    workspace::Member,
};

/// The differences between the graph and the file: uses that the file does not allow, and entries that do not exist any
/// more.
pub(crate) fn problems(crates: &BTreeMap<String, Member>, allowed: &Allowed) -> Vec<String> {
    let mut found = Vec::new();
    for (name, member) in crates {
        let Some(Uses { uses, tests }) = allowed.crates.get(name) else {
            found.push(format!("{name}: {FILE} does not name this crate"));
            continue;
        };
        for used in member.uses.difference(uses) {
            found.push(format!("{name} uses {used}: {FILE} does not allow it"));
        }
        for used in member.tests.iter().filter(|used| !uses.contains(*used) && !tests.contains(*used)) {
            found.push(format!("{name} uses {used} in its tests: {FILE} does not allow it"));
        }
    }
    let named = allowed.crates.iter().flat_map(|(name, Uses { uses, tests })| {
        [name].into_iter().chain(uses).chain(tests).map(String::as_str)
    });
    let named: BTreeSet<&str> = named.chain(allowed.feature_sets.iter().map(|set| set.of.as_str())).collect();
    for name in named.into_iter().filter(|name| !crates.contains_key(*name)) {
        found.push(format!("{FILE} names {name}, which is no crate of the workspace"));
    }
    found
}

/// A table of each crate with the crates that it uses.
pub(crate) fn table(crates: &BTreeMap<String, Member>) -> String {
    let list = |names: &BTreeSet<String>| match names.len() {
        0 => "-".to_owned(),
        _ => names.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let head = ["crate", "uses", "in tests, besides"].map(ToOwned::to_owned);
    let rows = crates.iter().map(|(name, member)| [name.clone(), list(&member.uses), list(&member.tests)]);
    let rows: Vec<[String; 3]> = [head].into_iter().chain(rows).collect();
    let width = |of: fn(&[String; 3]) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (first, second) = (width(|[name, ..]| name.len()), width(|[_, uses, _]| uses.len()));
    let line = |[name, uses, tests]: &[String; 3]| format!("  {name:first$}  {uses:second$}  {tests}\n");
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn member(uses: &[&str], tests: &[&str]) -> Member {
        Member { uses: set(uses), tests: set(tests), roots: Vec::new() }
    }

    fn workspace(members: Vec<(&str, Member)>) -> BTreeMap<String, Member> {
        members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect()
    }

    const ALLOWED: &str = "
crates:
  testbed: {}
  runtime: { tests: [testbed] }
  bookings: { uses: [runtime], tests: [testbed] }
";

    #[test]
    fn what_the_file_allows_is_no_problem() {
        // given crates that use what they may
        let crates = workspace(vec![
            ("testbed", member(&[], &[])),
            ("runtime", member(&[], &["testbed"])),
            ("bookings", member(&["runtime"], &["runtime"])),
        ]);

        // when
        let problems = problems(&crates, &Allowed::parse(ALLOWED).unwrap());

        // then
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_runtime_that_names_a_family_is_a_problem() {
        // given a use against the direction of the file, and one in product code of what only tests may use
        let crates = workspace(vec![
            ("testbed", member(&[], &[])),
            ("runtime", member(&["bookings", "testbed"], &[])),
            ("bookings", member(&[], &[])),
        ]);

        // when
        let problems = problems(&crates, &Allowed::parse(ALLOWED).unwrap());

        // then
        let expected = [
            "runtime uses bookings: layers/allowed.yaml does not allow it",
            "runtime uses testbed: layers/allowed.yaml does not allow it",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn file_and_workspace_name_the_same_crates() {
        // given a crate that the file does not name, and one that is no more
        let crates = workspace(vec![
            ("testbed", member(&[], &[])),
            ("runtime", member(&[], &[])),
            ("jobs", member(&[], &[])),
        ]);

        // when
        let problems = problems(&crates, &Allowed::parse(ALLOWED).unwrap());

        // then
        let expected = [
            "jobs: layers/allowed.yaml does not name this crate",
            "layers/allowed.yaml names bookings, which is no crate of the workspace",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_word_that_the_file_does_not_know_is_refused() {
        // given a misspelt list
        let text = "crates:\n  runtime: { use: [bookings] }\n";

        // when
        let refused = Allowed::parse(text).unwrap_err();

        // then
        assert!(refused.contains("unknown field `use`"), "{refused}");
    }

    #[test]
    fn the_table_has_a_line_for_each_crate() {
        // given
        let crates =
            workspace(vec![("app", member(&["core", "ring"], &["testbed"])), ("core", member(&[], &[]))]);

        // when
        let table = table(&crates);

        // then
        let expected =
            "  crate  uses        in tests, besides\n  app    core, ring  testbed\n  core   -           -\n";
        assert_eq!(table, expected);
    }
}
