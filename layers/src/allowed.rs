//! Reads the allowed graph from `layers/allowed.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The path of the file from the workspace's root.
pub(crate) const FILE: &str = "layers/allowed.yaml";

/// The content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    pub(crate) crates: BTreeMap<String, Uses>,
    #[serde(default)]
    pub(crate) feature_sets: Vec<FeatureSet>,
}

/// The workspace crates that a crate may use.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Uses {
    #[serde(default)]
    pub(crate) uses: BTreeSet<String>,
    /// The crates that only its tests may use, in addition.
    #[serde(default)]
    pub(crate) tests: BTreeSet<String>,
}

/// A build of a crate, and the crates that it must not contain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureSet {
    pub(crate) name: String,
    #[serde(rename = "crate")]
    pub(crate) of: String,
    #[serde(default)]
    pub(crate) default_features: bool,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// Names of crates; a `*` at the end stands for anything.
    pub(crate) without: Vec<String>,
}

impl Allowed {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_yaml_ng::from_str(text).map_err(|error| format!("{FILE}: {error}"))
    }
}
