//! Compares `/metrics` with docs/reference-metrics.md: names, types, labels. Sends each query of the dashboard and
//! the alerts to a real Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, their helpers too"
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{World, eventually, in_ms, patience, soon};
use testbed::{
    control_plane::ControlPlane,
    ec2::InstanceState,
    prometheus::{Prometheus, Target},
    replica::{Replica, ReplicaConfig, quick_ring},
};

/// A metric: its type, and the labels of its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Metric {
    type_: String,
    labels: BTreeSet<String>,
}

/// Metrics that appear only in cases that this test does not cause.
const SELDOM: [&str; 3] = [
    "booking_operator_clock_skew_seconds",
    "booking_operator_impossible_total",
    "booking_operator_ring_incarnations_ended_total",
];

#[tokio::test]
async fn each_metric_is_in_the_catalogue_with_its_type_and_labels_and_the_other_way_round() {
    // given a process that has served a booking
    let world = World::without_operator("metrics").await;
    let directory = tempfile::tempdir().unwrap();
    let replica = replica(&world, directory.path()).await;
    let ids = world.machines("web", 2, InstanceState::Stopped);
    world.resource("ec2.web", "web").await;
    world.book("brief", "ec2.web", "ann", (in_ms(0), soon(6_000))).await;
    world.booking_with_reason("brief", "Held").await;
    world.booking_with_reason("brief", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
    // when it is scraped
    let text = scrape(&replica).await;
    // then its numbers match what happened
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let expected = [
        ("booking_operator_start_lateness_seconds_count", 1.0),
        ("booking_operator_start_lateness_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("booking_operator_stop_lateness_seconds_count", 1.0),
        ("booking_operator_ready_seconds_count", 1.0),
        ("booking_operator_bookings{state=\"finished\"}", 1.0),
        ("booking_operator_machines{use=\"stopped\"}", 2.0),
        ("booking_operator_cloud_broken", 0.0),
    ];
    for (name, number) in expected {
        assert!((value(name) - number).abs() < f64::EPSILON, "{name}: {}", value(name));
    }
    // and each metric is in the catalogue with its type and labels, and each metric of the catalogue exists
    let (told, known) = (told(&text), catalogue());
    for (name, metric) in &told {
        assert_eq!(known.get(name), Some(metric), "{name} in the catalogue");
    }
    let missing: Vec<&String> =
        known.keys().filter(|name| !told.contains_key(*name) && !SELDOM.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "in the catalogue only: {missing:?}");
    let unknown: Vec<&&str> = SELDOM.iter().filter(|name| !known.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
    // and Prometheus' own naming rules are kept
    let promtool = testbed::prometheus::program("promtool").await.unwrap();
    let mut check = tokio::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut check.stdin.take().unwrap(), text.as_bytes()).await.unwrap();
    let checked = check.wait_with_output().await.unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat())
    );
    replica.stop().await;
}

#[tokio::test]
async fn every_query_of_the_dashboard_returns_data_and_every_rule_is_evaluated() {
    // given a Prometheus that scrapes a process, as it would in the cluster
    let world = World::without_operator("dashboard").await;
    let directory = tempfile::tempdir().unwrap();
    let replica = replica(&world, directory.path()).await;
    let monitoring =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/components/monitoring");
    let read = |file: &str| std::fs::read_to_string(monitoring.join(file)).unwrap();
    let rules: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read("rules.yaml")).unwrap();
    let rules_file = directory.path().join("rules.yml");
    std::fs::write(&rules_file, serde_yaml_ng::to_string(&rules["spec"]).unwrap()).unwrap();
    let url = replica.metrics_url();
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let target = Target { address, labels: vec![("namespace", "booking-operator".to_owned())] };
    let prometheus = Prometheus::start(directory.path(), &[target], Some(&rules_file)).await.unwrap();
    let is_scraped = async || !prometheus.query("booking_operator_build_info").await.unwrap().is_empty();
    eventually("the first scrape", is_scraped).await;
    // when a booking has been served
    let ids = world.machines("web", 2, InstanceState::Stopped);
    world.resource("ec2.web", "web").await;
    world.book("brief", "ec2.web", "ann", (in_ms(0), soon(6_000))).await;
    world.booking_with_reason("brief", "Finished").await;
    world.settled(&ids, InstanceState::Stopped).await;
    // then each panel shows numbers
    let dashboard: serde_json::Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<String> = targets.map(|target| asked(target["expr"].as_str().unwrap())).collect();
    assert!(queries.len() >= 12, "{queries:?}");
    for query in &queries {
        let has_numbers = async || {
            let series = prometheus.query(query).await.unwrap();
            !series.is_empty() && series.iter().all(|one| one["value"][1] != "NaN")
        };
        eventually(query, has_numbers).await;
    }
    // and each alert is understood. With such short permits, a permit may lapse on a busy machine. No other alert
    // fires.
    let evaluated = prometheus.rules().await.unwrap();
    let alerts = read("rules.yaml").matches("- alert: ").count();
    assert_eq!(evaluated.len(), alerts);
    for rule in evaluated {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert!(rule["state"] != "firing" || rule["name"] == "BookingPermitLapses", "{rule}");
    }
    prometheus.stop().await;
    replica.stop().await;
}

/// A query as Grafana sends it, over a time that is longer than any run of this test.
fn asked(expression: &str) -> String {
    let asked = expression.replace("$namespace", "booking-operator").replace("$__rate_interval", "1h");
    assert!(!asked.contains('$'), "{asked}");
    asked
}

async fn replica(world: &World, directory: &std::path::Path) -> Replica {
    let (bookings, ring) =
        (format!("--namespace={}", world.namespace), format!("--ring-namespace={}", world.namespace));
    let quick = quick_ring();
    let flags = quick.iter().map(String::as_str);
    let args: Vec<&str> = flags.chain([&*bookings, &*ring, "--poll-shortest=50ms"]).collect();
    let config = ReplicaConfig {
        name: "metrics",
        kubeconfig: ControlPlane::shared().await.unwrap().kubeconfig(),
        ec2_url: &world.ec2.url(),
        log: &directory.join("operator.log"),
        args: &args,
    };
    Replica::start(&config).await.unwrap()
}

async fn scrape(replica: &Replica) -> String {
    // The last status may not be in the store yet. A scrape before that is too early, not wrong.
    let deadline = tokio::time::Instant::now() + patience();
    loop {
        let text = reqwest::get(replica.metrics_url()).await.unwrap().text().await.unwrap();
        let is_settled = text.contains("booking_operator_machines{use=\"stopped\"} 2")
            && text.contains("booking_operator_stop_lateness_seconds_count 1");
        if is_settled || tokio::time::Instant::now() > deadline {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The metrics of a scrape.
fn told(text: &str) -> BTreeMap<String, Metric> {
    let mut told = BTreeMap::<String, Metric>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_) = rest.split_once(' ').unwrap();
            type_.clone_into(&mut told.entry(name.to_owned()).or_default().type_);
        } else if !line.starts_with('#') && !line.is_empty() {
            let (sample, labels) =
                line.split_once('{').map_or((line.split(' ').next().unwrap(), ""), |(name, rest)| {
                    (name, rest.split_once('}').unwrap().0)
                });
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts
                .iter()
                .find_map(|part| sample.strip_suffix(part))
                .filter(|base| told.contains_key(*base));
            let metric =
                told.get_mut(base.unwrap_or(sample)).unwrap_or_else(|| panic!("{sample} has no type"));
            let labels =
                labels.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(label, _)| label);
            metric.labels.extend(labels.filter(|label| *label != "le").map(ToOwned::to_owned));
        }
    }
    told
}

/// The table of docs/reference-metrics.md.
fn catalogue() -> BTreeMap<String, Metric> {
    let text = include_str!("../../../docs/reference-metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `booking_operator_"));
    let words =
        |cell: &str| cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<String>>();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, unit, labels) =
            (words(cells[1]).remove(0), cells[3], words(cells[4]).into_iter().collect());
        // Prometheus' rules: the unit is a suffix of the name, except for things that are counted.
        assert_eq!(unit == "seconds", name.ends_with("_seconds"), "unit of {name} in the catalogue");
        assert!(!unit.is_empty(), "{name} has no unit in the catalogue");
        (name, Metric { type_: cells[2].to_owned(), labels })
    })
    .collect()
}
