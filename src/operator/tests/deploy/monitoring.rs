//! The metrics that alerts and the dashboard use exist.

use std::collections::BTreeSet;

use super::cluster::deploy;

/// The endings of the parts of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("booking_operator_"));
    words.map(|word| PARTS.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word)).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_of_the_catalogue() {
    let known = include_str!("../../../../docs/reference-metrics.md");
    let known: BTreeSet<&str> = known
        .lines()
        .filter(|line| line.starts_with("| `booking_operator_"))
        .flat_map(|line| named(line.split('|').nth(1).unwrap()))
        .collect();
    for file in ["rules.yaml", "dashboard.json"] {
        let text = std::fs::read_to_string(deploy("components/monitoring").join(file)).unwrap();
        let asked = named(&text);
        assert!(asked.len() >= 8, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn each_alert_has_its_paragraph_of_what_to_do() {
    let rules = std::fs::read_to_string(deploy("components/monitoring/rules.yaml")).unwrap();
    let told = include_str!("../../../../docs/reference-metrics.md");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 8);
    for alert in alerts {
        assert!(told.contains(&format!("| `{alert}` |")), "the docs say nothing of {alert}");
    }
}

#[tokio::test]
async fn alerts_fire_when_they_should_and_not_before() {
    // given the rules as Prometheus reads them
    let promtool = testbed::prometheus::program("promtool").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let rules = std::fs::read_to_string(deploy("components/monitoring/rules.yaml")).unwrap();
    let rules: serde_yaml_ng::Value = serde_yaml_ng::from_str(&rules).unwrap();
    std::fs::write(directory.path().join("rules.yml"), serde_yaml_ng::to_string(&rules["spec"]).unwrap())
        .unwrap();
    std::fs::copy(deploy("components/monitoring/rules-test.yaml"), directory.path().join("test.yml"))
        .unwrap();
    // when their tests run, then none fails
    for args in [["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]] {
        let run = tokio::process::Command::new(&promtool)
            .args(args)
            .current_dir(directory.path())
            .output()
            .await
            .unwrap();
        let told = [run.stdout, run.stderr].concat();
        assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&told));
    }
}
