//! Runs made for one bug each: a few faults at chosen phases, for what chance would seldom bring about.

use std::sync::Arc;

use super::{plan::Plan, planted::Bug};

/// Plans to be tried before random ones.
pub fn plans(_bug: Bug) -> Vec<Arc<Plan>> {
    vec![]
}
