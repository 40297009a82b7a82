//! Measures what users notice: how late a group is started and stopped, and when it is ready.

use std::time::Duration;

use crate::decide::groups::attempts::Action;
use metrics::{Unit, describe_histogram, histogram};

/// From the beginning of a window to its first start.
pub const START: &str = "booking_operator_start_lateness_seconds";
/// From the end of a hold to the first stop.
pub const STOP: &str = "booking_operator_stop_lateness_seconds";
/// From the beginning of a window until the group runs and is locked.
pub const READY: &str = "booking_operator_ready_seconds";

/// Describes the metrics to the process's recorder.
pub fn describe() {
    describe_histogram!(
        START,
        Unit::Seconds,
        "From the begin of a granted window to the first start of a group's machines that the cloud took."
    );
    describe_histogram!(
        STOP,
        Unit::Seconds,
        "From the end of the last hold to the first stop of a group's machines that the cloud took."
    );
    describe_histogram!(
        READY,
        Unit::Seconds,
        "From the begin of a booking to a group that runs and is locked for it."
    );
}

/// Creates the histograms before the first event. If a series began with its first event, no increase would be seen.
pub fn begin() {
    for name in [START, STOP, READY] {
        let _ = histogram!(name);
    }
}

/// Records that the cloud accepted a call, and how long the call had been due.
pub fn sent(action: &Action, late: Duration) {
    match action {
        Action::Start => histogram!(START).record(late.as_secs_f64()),
        Action::Stop => histogram!(STOP).record(late.as_secs_f64()),
        Action::Lock(_) | Action::Unlock(_) => {}
    }
}

/// Records after how many seconds a Booking's group was ready, if it was.
pub fn ready(seconds: Option<i64>) {
    if let Some(seconds) = seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
        histogram!(READY).record(f64::from(seconds));
    }
}
