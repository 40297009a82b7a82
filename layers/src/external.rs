//! Checks that builds do not contain forbidden crates.

use std::collections::BTreeSet;

use crate::{allowed::FeatureSet, workspace::cargo};

/// Asks cargo which crates the build contains. Returns a line for each forbidden one.
pub(crate) fn problems(set: &FeatureSet) -> Result<Vec<String>, String> {
    let options = options(set);
    let mut args = vec!["tree"];
    args.extend(options.iter().map(String::as_str));
    args.extend(["-e", "normal", "--prefix", "none", "--format", "{p}", "--locked"]);
    let tree = cargo(&args)?;
    let message = |name| {
        let why = format!("cargo tree {} -e normal --invert {name}", options.join(" "));
        format!("{}: has {name}, which it must not; see {why}", set.name)
    };
    Ok(forbidden(&tree, &set.without).into_iter().map(message).collect())
}

fn options(set: &FeatureSet) -> Vec<String> {
    let mut options = vec!["-p".to_owned(), set.of.clone()];
    if !set.default_features {
        options.push("--no-default-features".to_owned());
    }
    if !set.features.is_empty() {
        options.push(format!("--features={}", set.features.join(",")));
    }
    options
}

/// The crates of a tree whose names are in a list.
fn forbidden<'a>(tree: &'a str, names: &[String]) -> BTreeSet<&'a str> {
    let is_named = |name: &str| {
        names.iter().any(|named| match named.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == named,
        })
    };
    tree.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| is_named(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_crate_is_found_by_name_or_by_its_beginning() {
        // given a tree with two forbidden crates, one of them twice, and with names that only begin like one
        let tree =
            "core v0.1.0 (/w/core)\nhyper-util v0.1.0\nhyper v1.0.0\naws-sdk-ec2 v1.2.3\nhyper v1.0.0 (*)\n";

        // when
        let found = forbidden(tree, &["hyper".to_owned(), "tokio".to_owned(), "aws-sdk-*".to_owned()]);

        // then
        assert_eq!(found, BTreeSet::from(["aws-sdk-ec2", "hyper"]));
    }

    #[test]
    fn a_feature_set_becomes_options_of_cargo() {
        // given
        let set = FeatureSet {
            name: "decisions".to_owned(),
            of: "bookings".to_owned(),
            default_features: false,
            features: vec!["decide".to_owned(), "api".to_owned()],
            without: Vec::new(),
        };

        // when
        let options = options(&set);

        // then
        assert_eq!(options, ["-p", "bookings", "--no-default-features", "--features=decide,api"]);
    }
}
