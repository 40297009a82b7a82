//! Prometheus metrics. No label ever has an object's name or an error's text.

use booking_runtime::outbox;
use bookings::{
    decide::groups::notices::Happening,
    run::{gauges, lateness},
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets of durations in seconds: from a read in memory to a call that timed out.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Buckets of lateness: from a delay that nobody notices to the delay that EC2's limits cause if ten thousand
/// machines are due at once.
const LATENESS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0];
/// Buckets of the time until machines run, databases included.
const READY: [f64; 12] = [1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];

/// Installs the recorder of the process. The handle renders the metrics.
///
/// # Errors
/// Another recorder is already installed.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(lateness::START.to_owned()), &LATENESS)?
        .set_buckets_for_metric(Matcher::Full(lateness::STOP.to_owned()), &LATENESS)?
        .set_buckets_for_metric(Matcher::Full(lateness::READY.to_owned()), &READY)?
        .install_recorder()?;
    describe();
    lateness::describe();
    lateness::begin();
    outbox::begin_metrics(&Happening::ALL.map(Happening::word));
    gauges::describe();
    booking_ring::kubernetes::telemetry::describe();
    booking_ring::kubernetes::telemetry::begin();
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("booking_operator_passes_total", "Passes over a group, by outcome.");
    describe_histogram!(
        "booking_operator_pass_duration_seconds",
        Unit::Seconds,
        "Duration of a pass, by outcome."
    );
    describe_histogram!("booking_operator_queue_latency_seconds", Unit::Seconds, "From due to begun.");
    describe_counter!("booking_operator_api_writes_total", "Writes to the API server, by write and outcome.");
    describe_counter!(
        "booking_operator_cloud_calls_total",
        "Provider operations, by action and result class."
    );
    describe_histogram!(
        "booking_operator_cloud_call_duration_seconds",
        Unit::Seconds,
        "Duration of a provider operation, by action."
    );
    describe_gauge!(
        "booking_operator_clock_skew_seconds",
        Unit::Seconds,
        "By how much the local wall clock is ahead of the API server's, beyond what is uncertain."
    );
    describe_gauge!("booking_operator_queue_depth", "Groups that are due and wait for a worker.");
    describe_gauge!(
        "booking_operator_family_waiting",
        "1 while a family waits for its CRDs or for the API server, else 0."
    );
    describe_counter!(
        "booking_operator_impossible_total",
        "What cannot happen and has happened, by place in the code: each is a bug."
    );
    describe_gauge!("booking_operator_build_info", "Always 1; the version is a label.");
    describe_counter!("booking_operator_notifications_total", "Tries to notify, by what came of them.");
    metrics::gauge!("booking_operator_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
